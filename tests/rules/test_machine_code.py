"""Machine code that is kept on disk: the same bits in the next process, and never in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from symevo.native import cache as machine_code
from symevo.rules.backends import interpreter_loops as loops
from symevo.rules.primitives import PRIMITIVES, Primitive

PROGRAM = """
import hashlib, sys, numba, torch, numpy as np
from symevo.rules.backends.interpreter import Interpreter
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.program import Program

found = hashlib.sha256()
made = []
cfunc = numba.cfunc
numba.cfunc = lambda *a, **k: made.append(1) or cfunc(*a, **k)
for dtype in (torch.float32, torch.float64):
    calls = [name for name in PRIMITIVES if PRIMITIVES.get(name).kind == "function" and name in sys.argv[1].split()]
    texts = [f"theta = {name}(" + ("g < c, g, theta" if name == "where" else
             ", ".join(["g", "c", "theta"][: PRIMITIVES.get(name).arity])) + ")" for name in calls]
    texts += [f"theta = theta {sign} c{sign}g" for sign in ("+", "-", "*", "/", "**")]
    programs = [Program.parse(text) for text in texts]
    update = Interpreter(programs, 700, dtype)
    grad = torch.linspace(-3, 3, 700, dtype=dtype).repeat(len(programs), 1)
    theta = grad.flip(1).contiguous()
    hypers = [dict.fromkeys(program.hyper_names, 0.7) for program in programs]
    table = update.table(hypers, [np.ones(1)] * len(programs), 1).to(dtype)
    update(theta, grad, [], table[0], torch.ones(len(programs), 1, dtype=torch.bool))
    found.update(theta.numpy().tobytes())
print(found.hexdigest(), len(made))
"""


def run(cache, names):
    environ = {**os.environ, "XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, names], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    digest, compiled = done.stdout.split()
    return digest, int(compiled)


@pytest.mark.slow
def test_the_next_process_compiles_nothing_and_gets_the_same_bits(tmp_path):
    names = " ".join(PRIMITIVES)
    first = run(tmp_path / "whole", names)
    assert first[1] > 20
    assert run(tmp_path / "whole", names) == (first[0], 0)
    run(tmp_path / "part", "ratio tanh abs")
    mixed = run(tmp_path / "part", names)  # some loaded, some compiled
    assert mixed[0] == first[0]
    assert 0 < mixed[1] < first[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_code, "folder", lambda: tmp_path / "cache")
    loops._address.cache_clear()
    return tmp_path / "cache"


def address(name="abs"):
    loops._address.cache_clear()
    return loops.address(name, (True,), np.dtype(np.float32))


def test_a_damaged_file_is_made_anew(folder):
    address()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:-7], whole[:100] + b"x" + whole[101:], b"x" + whole):
        file.write_bytes(damaged)
        assert address()
        assert machine_code._load(file) is not None


def test_no_two_loops_share_a_symbol(folder):
    for name in ("abs", "sign", "sqrt"):  # closures of one function
        address(name)
    symbols = [json.loads(file.read_bytes()[16:].partition(b"\n")[0])[1] for file in folder.iterdir()]
    assert len(set(symbols)) == 3
    assert all(file.name in " ".join(symbols) for file in folder.iterdir())


def test_a_folder_that_cannot_be_made_is_no_error(folder):
    folder.write_text("a file in its place")
    assert address()


def test_a_form_of_the_users_own_is_not_kept(folder, monkeypatch):
    row = Primitive("halved", 1, lambda x: x / 2, lambda x: x / 2, lambda x: x / 2)
    PRIMITIVES.register("halved", row)
    try:
        assert address("halved")
    finally:
        del PRIMITIVES._items["halved"]
    assert not folder.exists()


def test_other_sources_are_another_place(folder, monkeypatch):
    address()
    monkeypatch.setattr(loops, "SOURCES", loops.SOURCES[:1])
    address()
    assert len(list(folder.iterdir())) == 2

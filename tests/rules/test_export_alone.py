"""Exported files alone: schedules, compiling, a folder without symevo, two processes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
import torch
from export_files import module_of
from optimizer_models import model, same, train, weight
from torch.optim import lr_scheduler as schedules

from symevo.rules.backends.base import BACKENDS, update_for
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.export.writer import source
from symevo.rules.primitives import PRIMITIVES, Primitive
from symevo.rules.program import Program
from symevo.rules.rule import Rule, rule
from symevo.rules.schedule import Schedule


@pytest.mark.parametrize(
    "schedule",
    [Schedule(3, "linear"), Schedule(0, "linear"), Schedule(0.3, "constant"), Schedule(0, "constant", 2, 0.7),
     Schedule(2, "cosine", 3, 0.5)],
    ids=str,
)  # fmt: skip
def test_schedules(schedule):
    one = Rule(Program.parse("theta = theta - lr*g"), {}, schedule)
    found = module_of(source(one))
    for total, step in itertools.product((1, 10), range(12)):
        assert found._schedule(step, total) == pytest.approx(float(schedule.factor(step, total)), rel=1e-15)


def test_a_number_compiles_nothing(monkeypatch):
    found = module_of(source(CLASSICS.get("adamw"), name="Found"))
    net = model()
    optimizer = found.Found(net.parameters(), 0.01)
    compiled = []
    make = found._compile
    monkeypatch.setattr(found, "_compile", lambda *args: compiled.append(args) or make(*args))
    scheduler = schedules.ExponentialLR(optimizer, 0.9)
    train(net, optimizer, 3, scheduler=scheduler)
    assert len(compiled) == 1
    optimizer.param_groups[0].update(weight_decay=0.5, eps=1e-3)
    optimizer.add_param_group({"params": [weight(9, 9)], "beta1": 0.5})
    train(net, optimizer, 3, scheduler=scheduler)
    assert len(compiled) == 1


def test_no_compiler_gives_one_warning(monkeypatch):
    found = module_of(source(CLASSICS.get("adamw"), name="Found"))

    def broken(*args):
        raise RuntimeError("no C++ compiler\nfound")

    monkeypatch.setattr(found, "_compile", broken)
    nets = model(), model()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(nets[0], found.Found(nets[0].parameters(), 0.01), 3)
        train(nets[1].double(), found.Found(nets[1].parameters(), 0.01), 3)
    assert [str(one.message) for one in said] == [
        "no compiled steps: torch.compile does not work here (RuntimeError: no C++ compiler found)"
    ]
    other = model()
    train(other, found.Found(other.parameters(), 0.01, compile=False), 3)
    assert same(nets[0], other)


_ALONE = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("symevo", "numba", "deap", "scipy", "typer", "rich"):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Block())
sys.path.insert(0, sys.argv[1])
import torch
from found import Found, split_decay

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
for compile in (False, True):
    optimizer = Found(split_decay(net), lr=0.01, compile=compile)
    for _ in range(20):
        optimizer.zero_grad()
        loss = (net(torch.ones(3, 4)) - 1).square().mean()
        loss.backward()
        optimizer.step()
assert loss < 0.5, loss
assert not any(name.split(".")[0] == "symevo" for name in sys.modules)
print("alone")
"""


@pytest.mark.slow
def test_a_file_needs_torch_alone(tmp_path: Path):
    (tmp_path / "found.py").write_text(source(CLASSICS.get("adamw"), name="Found"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "alone\n"


_RANK = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
import torch.distributed as dist
from found import Found

rank = int(sys.argv[2])
dist.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=2)
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
parallel = torch.nn.parallel.DistributedDataParallel(net)
optimizer = Found(parallel.parameters(), lr=0.01)
x = torch.randn(8, 4, generator=torch.Generator().manual_seed(rank))
for _ in range(5):
    optimizer.zero_grad()
    parallel(x).square().mean().backward()
    optimizer.step()
torch.save([param.detach() for param in net.parameters()], sys.argv[1] + f"/rank{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_distributed_data_parallel(tmp_path: Path):
    (tmp_path / "found.py").write_text(source(CLASSICS.get("adamw"), name="Found"), encoding="utf-8")
    ranks = [
        subprocess.Popen([sys.executable, "-c", _RANK, str(tmp_path), str(rank), str(tmp_path / "store")])
        for rank in range(2)
    ]
    try:
        assert [one.wait(timeout=240) for one in ranks] == [0, 0]
    finally:
        for one in ranks:
            one.kill()
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def _torch_cube_root(x: Any) -> Any:
    import torch

    return torch.where(x < 0, -1.0, 1.0) * torch.pow(torch.abs(x), 1 / 3)


def _sympy_cube_root(x: Any) -> Any:
    return sympy.sign(x) * sympy.Abs(x) ** sympy.Float(1 / 3)


CUBE_ROOT = Primitive("cube_root", 1, _torch_cube_root, np.cbrt, _sympy_cube_root, total=True)

_WITHOUT_SYMEVO = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("symevo", "numba", "deap"):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Block())
sys.path.insert(0, sys.argv[1])
import torch
from found import Found

weight = torch.nn.Parameter(torch.tensor([1.0, -8.0]))
for foreach in (False, True):
    optimizer = Found([weight], lr=0.25, foreach=foreach, compile=False)
    weight.grad = torch.tensor([8.0, -27.0])
    optimizer.step()
print(weight.tolist())
"""


@pytest.mark.slow
def test_a_primitive_whose_torch_form_is_a_helper_is_one_row(tmp_path: Path):
    """Trained by every backend, printed, exported, and imported where there is no symevo."""
    PRIMITIVES.register(CUBE_ROOT.name, CUBE_ROOT)
    one = rule("m = b*m + cube_root(g); theta = theta - lr*m - lr*cube_root(b)*theta", lr=0.25, b=0.0, name="Found")
    grads, states = torch.tensor([[8.0, -27.0]]), [torch.zeros(1, 2)]
    for backend in BACKENDS:
        theta = torch.tensor([[1.0, -8.0]])
        update = update_for([one.program], 2, dtype=torch.float32, device=torch.device("cpu"), backend=backend)
        slots = update.table([one.hyper], [np.array([0.25])], 1).float()
        update(theta, grads, states, slots[0], torch.ones(1, 1, dtype=torch.bool))
        torch.testing.assert_close(theta, torch.tensor([[0.5, -7.25]]))
    net, losses = model(), []
    optimizer = Optimizer(net.parameters(), one, lr=0.01)
    for _ in range(20):
        loss = (net(torch.ones(3, 4)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert "cube_root(g_t)" in one.unicode()
    assert r"\operatorname{cube\_root}" in one.latex()
    text = source(one)
    assert "def cube_root(x" in text
    assert "_torch_cube_root" not in text
    (tmp_path / "found.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-c", _WITHOUT_SYMEVO, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), [0.0, -6.5], atol=1e-6)

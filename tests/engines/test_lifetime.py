"""However the origin ends, its children end with it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_programs import SOON, Program, lines, wait_for

from symevo.engines.guard import cause_of_death, python

WORKERS = {"serial": 1, "process": 2}


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_leaves_no_children(
    start: Callable[..., Program], tmp_path: Path, name: str, number: int, code: int
) -> None:
    log = tmp_path / "log"
    program = start("engine_origin.py", name, str(log))
    assert wait_for(lambda: len(lines(log)) == WORKERS[name])
    assert len(program.family()) == 1 + WORKERS[name]
    program.process.send_signal(number)
    assert program.end()[0] == code
    assert program.is_gone()


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    not_my_parent = os.getppid()
    reads, writes = os.pipe()
    command = python("symevo.engines.guard", not_my_parent, reads, writes)
    try:
        assert subprocess.run(command, pass_fds=(reads, writes), timeout=SOON).returncode == 1
    finally:
        os.close(reads)
        os.close(writes)


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "exit code 3"), (-9, "killed by SIGKILL"), (-signal.SIGRTMIN - 1, "killed by signal 35")],
)
def test_cause_of_death(code: int, words: str) -> None:
    assert words in cause_of_death(code)

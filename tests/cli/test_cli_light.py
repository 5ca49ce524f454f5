"""What the command line answers at once: help, and wrong flags, tasks and presets, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from symevo.cli.app import COMMANDS
from symevo.cli.run import built_in_tasks
from symevo.tasks import TASKS
from symevo.tasks.task import BUILT_IN

HEAVY = {"torch", "sympy", "numpy", "deap", "scoop", "rich"}
VALIDATION = {"pydantic"}


def modules_of(line: str) -> tuple[int, set[str]]:
    """The exit code of a command line, and what it loaded."""
    command = [sys.executable, "-X", "importtime", "-m", "symevo", *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, {part.rpartition("|")[2].strip() for part in done.stderr.splitlines()}


@pytest.mark.parametrize(
    ("line", "code", "absent"),
    [
        ("--help", 0, HEAVY | VALIDATION),
        ("--version", 0, HEAVY | VALIDATION),
        ("run --help", 0, HEAVY),
        ("run --populaton 8", 2, HEAVY),
        ("run --tasks digits-mpl", 2, HEAVY),
        ("run --preset papr", 2, HEAVY),
        ("run term-sun", 2, HEAVY),
    ],
)
def test_nothing_heavy_is_loaded(line: str, code: int, absent: set[str]) -> None:
    found, loaded = modules_of(line)
    assert found == code
    assert not loaded & absent


def test_names_of_tasks_that_are_known_without_torch() -> None:
    assert set(built_in_tasks()) == BUILT_IN <= set(TASKS)


def test_the_list_of_commands_is_theirs() -> None:
    from importlib import import_module

    for name, (module, first_line) in COMMANDS.items():
        assert callable(getattr(import_module(f"symevo.cli.{module}"), name))
        assert len(first_line) <= 66

"""Who is told how far a search is: whatever a caller may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import symevo
from symevo.reporting.progress import PlainProgress, SilentProgress, as_progress

SMALL = {"population": 4, "elites": 1, "tournament": 2, "generations": 2, "steps": 3, "seeds": 1, "backend": "eager"}


class Heard(SilentProgress):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in ("plan", "advance", "generation", "message", "close"):
            self.calls.append(name)
        return super().__getattribute__(name)


def search(tmp_path: Path, progress: Any) -> symevo.Run:
    task = symevo.Task("here", model=model, train=(X, X), validation=(X, X), loss="mse", metric="loss")
    return symevo.evolve(tasks=task, **SMALL, out=tmp_path / "run", progress=progress)


def model() -> Any:
    import torch

    return torch.nn.Linear(1, 1)


X = [[0.0], [1.0], [2.0]]


def test_a_function_gets_each_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    search(tmp_path, lines.append)
    assert lines[0].startswith("tasks made in this process train in this process")
    assert sum(line.startswith("gen ") for line in lines) == 2
    assert any("4 candidates" in line or "at most" in line for line in lines)
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_true_is_the_display_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(tmp_path, True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "gen 0/1" in said.err
    assert "gen 1/1" in said.err


@pytest.mark.parametrize("nobody", [False, None])
def test_nobody_is_told(tmp_path: Path, nobody: Any, capsys: pytest.CaptureFixture[str]) -> None:
    search(tmp_path, nobody)
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_an_object_with_the_methods_is_called_by_them(tmp_path: Path) -> None:
    heard = Heard()
    assert as_progress(heard) is heard
    heard.calls.clear()
    search(tmp_path, heard)
    assert {"plan", "generation", "message", "close"} <= set(heard.calls)


class Half:
    def message(self, text: str) -> None: ...


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (1, "progress is int: give True, False, a function"),
        ("yes", "progress is str: give True"),
        (PlainProgress, "progress is the class PlainProgress: give True"),
        (Half(), "progress is Half, which lacks plan, advance, generation, close: give True"),
    ],
)
def test_anything_else_is_refused_before_anything_is_written(tmp_path: Path, given: Any, words: str) -> None:
    with pytest.raises(symevo.UserError, match=words) as caught:
        symevo.evolve(tasks="quadratic", **SMALL, out=tmp_path / "run", progress=given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()

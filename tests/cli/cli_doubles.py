"""Stand-ins for what the command line calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from symevo import cli
from symevo.reporting.text.tables import run_report
from symevo.rules.rule import Rule, rule
from symevo.settings.model import Settings
from symevo.settings.resolution import resolve


@dataclass
class FakeCandidate:
    rule: Rule
    fitness: float = 0.9
    per_task: dict[str, float] = field(default_factory=lambda: {"digits-mlp": 0.95, "digits-deep": 0.85})
    complexity: int = 7
    genome: Any = None
    controllers: bool = False

    def as_rule(self) -> Rule:
        return self.rule


@dataclass
class FakeRun:
    settings: Settings
    path: Path
    best: FakeCandidate = field(default_factory=lambda: FakeCandidate(rule("adamw")))
    simple: FakeCandidate = field(
        default_factory=lambda: FakeCandidate(rule("lion"), 0.8, genome={"tree": ["sign", ["mix", "g", "g", 0.9]]})
    )

    @property
    def front(self) -> list[FakeCandidate]:
        return [self.best, self.simple]

    @property
    def pick(self) -> FakeCandidate:
        return self.simple

    def ranked(self, rank: int) -> FakeCandidate:
        return self.front[rank - 1]

    def entry(self, rank: int) -> dict[str, Any]:
        return {"rank": rank}

    def summary(self) -> dict[str, Any]:
        generations = [{"gen": 0, "best": 0.9, "mean": 0.5, "evaluations": 4, "seconds": 1.0}]
        counts = {"proposals": {"count": 8, "shares": {"trained": 0.5, "climbs": 0.496, "known": 0.004}}}
        counts["operators"] = {"mutate_hoist": {"tried": 1200, "valid": 4, "improved": 1}}
        return {"system": "term-sum", "evaluations": 4, "seconds": 1.0, "generations": generations, **counts}

    def __str__(self) -> str:
        return run_report(self)


class FakeApi:
    """Stands in for ``symevo.evolution.evolve``; ``outcome`` is raised where it is an exception."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.outcome: BaseException | None = None

    def start(self, settings: Settings, *, progress: Any) -> FakeRun:
        return self._end("start", settings, FakeRun(settings, Path("runs/fake")))

    def resume(self, path: Path, flags: dict[str, Any], *, progress: Any) -> FakeRun:
        return self._end("resume", flags, FakeRun(resolve({}), path))

    def load(self, path: Path) -> FakeRun:
        return FakeRun(resolve({}), path)

    def _end(self, what: str, given: Any, run: FakeRun) -> FakeRun:
        self.calls.append((what, given))
        if self.outcome is not None:
            raise self.outcome
        return run


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs wrong use and returns its one line."""
    before = sorted(Path.cwd().rglob("*"))
    code = cli.main(argv)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.startswith("symevo: error: ")
    assert err.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return err

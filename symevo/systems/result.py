"""What a run found: candidates, best and front, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.report.tables import run_report
from symevo.rules.rule import Rule
from symevo.search.archive import pareto_front
from symevo.settings import Settings
from symevo.store import FILE, Store


@dataclass(frozen=True)
class Candidate:
    """An evaluated rule.

    Attributes:
        rule: The rule as printed and shipped.
        fitness: Mean score over tasks.
        per_task: Mean score of each task.
        identity: What it was trained as.
        gen: Generation in which it was first evaluated.
    """

    rule: Rule
    fitness: float
    per_task: dict[str, float]
    identity: str
    gen: int

    @property
    def complexity(self) -> int:
        """Numbers, names and operations of the rule's program."""
        return self.rule.complexity

    @property
    def memory(self) -> int:
        """Numbers that the rule keeps per weight."""
        return len(self.rule.states)

    def __str__(self) -> str:
        counts = f"size {self.complexity}, states {self.memory}"
        return f"fitness {self.fitness:.4f}, {counts}\n{self.rule}"

    def __repr__(self) -> str:
        return f"Candidate(fitness={self.fitness:.4f}, rule={self.rule!r})"

    def to_json(self) -> dict[str, Any]:
        """The candidate in the command line's JSON."""
        return {
            "rule": self.rule.to_json(),
            "fitness": self.fitness,
            "per_task": self.per_task,
            "complexity": self.complexity,
            "states": self.memory,
        }


class Run:
    """A run on disk, with at least one closed generation.

    Attributes:
        path: Its folder.
        settings: All settings, as recorded.
        candidates: Every distinct candidate that trained to its end, best first: by fitness, then by complexity, then
            by age.
        history: The generations' records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        store = Store.open(path)
        try:
            about = store.about("settings")
            self.settings = Settings.model_validate({**about["search"], **about["execution"]})
            self.history = store.records()
            evaluations = list(store.evaluations())
        finally:
            store.close()
        distinct = {one["identity"]: one for one in reversed(evaluations)}
        good = [one for one in evaluations if one["status"] == "ok" and distinct[one["identity"]] is one]
        self.structures = len({Rule.from_json(one["rule"]).key for one in distinct.values()})
        found = [_candidate(one) for one in good]
        self.candidates = sorted(found, key=lambda one: (-one.fitness, one.complexity))

    def __str__(self) -> str:
        """The closing report, as ``symevo show`` prints it."""
        return run_report(self) if self.candidates else f"{self.path}: no finished candidate yet"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, candidates={len(self.candidates)})"

    @property
    def best(self) -> Candidate:
        """The best candidate.

        Raises:
            UserError: No generation is closed, or no candidate trained to its end.
        """
        if not self.candidates:
            raise UserError(f"{self.path} holds no finished candidate yet: go on with symevo run --resume {self.path}")
        return self.candidates[0]

    @cached_property
    def front(self) -> list[Candidate]:
        """Candidates that none beats in fitness, complexity and memory at once."""
        return pareto_front(self.candidates)

    def summary(self) -> dict[str, Any]:
        """The command line's JSON object."""
        names = ("gen", "best", "mean", "evaluations", "seconds")
        return {
            "system": self.settings.system,
            "run": str(self.path),
            "seed": self.settings.seed,
            "best": self.best.to_json(),
            "front": [one.to_json() for one in self.front],
            "evaluations": sum(record["evaluations"] for record in self.history),
            "unique_structures": self.structures,
            "seconds": sum(record["seconds"] for record in self.history),
            "generations": [{name: record[name] for name in names} for record in self.history],
        }


def run_folder(path: str | Path) -> Path:
    """The folder of a run, given as such or as the file in it."""
    path = Path(path)
    return path.parent if path.name == FILE and path.is_file() else path


def _candidate(evaluation: dict[str, Any]) -> Candidate:
    names = ("fitness", "per_task", "identity", "gen")
    return Candidate(Rule.from_json(evaluation["rule"]), **{name: evaluation[name] for name in names})

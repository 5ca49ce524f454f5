"""A timetable: the numbers of a rule that change while it trains, in steps of time. What dynamic tuning finds."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from symevo.errors import UserError
from symevo.files import read_json
from symevo.rules.program import Rule

SCHEMA = 1


class Grouped(Protocol):
    """An optimizer as torch has them."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Timetable:
    """Numbers that hold from one boundary to the next.

    Attributes:
        rule: Whose numbers they are, with those of the first interval.
        boundaries: Steps at which an interval starts, 0 first, and at last the step at which the last one ends.
        numbers: For each name one number an interval.

    Raises:
        UserError: Boundaries that do not rise from 0, another count of numbers than of intervals, or a number that the
            rule cannot have.

    Example:
        >>> from symevo.rules.rule import rule
        >>> table = Timetable(rule("sgd"), (0, 50, 100), {"lr": (0.1, 0.01)})
        >>> table.at(49), table.at(50), table.at(10**6)
        ({'lr': 0.1}, {'lr': 0.01}, {'lr': 0.01})
    """

    rule: Rule
    boundaries: tuple[int, ...]
    numbers: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        steps = self.boundaries
        if len(steps) < 2 or steps[0] != 0 or any(b <= a for a, b in pairwise(steps)):
            raise UserError("a timetable's boundaries rise from 0, and there are at least two")
        for name, values in self.numbers.items():
            if len(values) != len(steps) - 1:
                raise UserError(f"a timetable of {len(steps) - 1} intervals has {len(values)} numbers for {name}")
        for interval in range(len(steps) - 1):
            self.rule.with_hyper(**self._interval(interval))

    def at(self, step: int) -> dict[str, float]:
        """The numbers of a step (0, 1, …); past the end those of the last interval."""
        return self._interval(min(bisect_right(self.boundaries, step) - 1, len(self.boundaries) - 2))

    def rules(self) -> list[Rule]:
        """The rule with the numbers of each interval."""
        return [self.rule.with_hyper(**self._interval(at)) for at in range(len(self.boundaries) - 1)]

    def set(self, optimizer: Grouped, step: int) -> None:
        """Gives every param group of a `symevo.Optimizer` the numbers of a step; to be called before it."""
        for group in optimizer.param_groups:
            group.update(self.at(step))

    def to_json(self) -> dict[str, Any]:
        """Plain data that :meth:`from_json` reads back exactly."""
        return {
            "schema": SCHEMA,
            "rule": self.rule.to_json(),
            "boundaries": list(self.boundaries),
            "numbers": {name: list(values) for name, values in self.numbers.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Timetable:
        """Reads :meth:`to_json`'s form; nothing in it is evaluated.

        Raises:
            UserError: Not such an object.
        """
        if not isinstance(data, dict) or set(data) != {"schema", "rule", "boundaries", "numbers"}:
            raise UserError("a timetable is an object with the keys schema, rule, boundaries and numbers")
        if data["schema"] != SCHEMA:
            raise UserError(f"a timetable of schema {data['schema']!r} cannot be read: this version reads {SCHEMA}")
        steps, numbers = data["boundaries"], data["numbers"]
        if not isinstance(steps, list) or any(isinstance(s, bool) or not isinstance(s, int) for s in steps):
            raise UserError("a timetable's boundaries are a list of whole numbers")
        if not isinstance(numbers, dict) or not all(isinstance(values, list) for values in numbers.values()):
            raise UserError("a timetable's numbers are lists by name")
        held = {name: tuple(values) for name, values in numbers.items()}
        return cls(Rule.from_json(data["rule"]), tuple(steps), held)

    @classmethod
    def load(cls, path: str | Path) -> Timetable:
        """Reads a file.

        Raises:
            UserError: No such file, or not a timetable.
        """
        return read_json(Path(path), cls.from_json, what="timetable")

    def save(self, path: str | Path) -> None:
        """Writes a file."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n")

    def _interval(self, at: int) -> dict[str, float]:
        return {name: values[at] for name, values in self.numbers.items()}

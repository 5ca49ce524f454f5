"""Trees apart from their numbers: one program for all values, and the numbers as a vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import log
from typing import Any

import numpy as np

from symevo.genomes.expression.genes import Nested, family, nested
from symevo.genomes.expression.grammar import LEAST, RANGES, Rate, constant
from symevo.genomes.expression.rule import direction
from symevo.rules.program import Program

Writer = Callable[[Nested], tuple[Program, Mapping[str, float]]]


class Shape:
    """A tree without its numbers; equal sub-trees keep equal numbers, so that they share their state.

    Args:
        tree: DEAP's list of nodes.
        write: Makes the program of a tree, and its numbers by name.

    Attributes:
        key: Equal for trees that differ in their numbers alone.
        size: Number of nodes.
        program: Of every tree of the shape.
        bounds: ``[2, numbers]``: lowest and highest on the scale of :meth:`point`.
    """

    def __init__(self, tree: Any, write: Writer = direction) -> None:
        self._nodes, self.size = list(tree), len(tree)
        groups: dict[Any, int] = {}
        self._places = {at: groups.setdefault(owner, len(groups)) for at, owner in _numbers(nested(tree))}
        self._kinds = {group: tree[at].ret for at, group in self._places.items()}
        # Markers tell which hyperparameter of the program is which number of the tree.
        marks = [0.25 + 1e-4 * group for group in range(len(groups))]
        self.key = nested(self._with(marks))
        self.program: Program
        self.program, values = write(self.key)
        self._groups: Mapping[str, int] = {name: marks.index(value) for name, value in values.items()}
        ranges = [_range(self._kinds[group]) for group in range(len(groups))]
        self.bounds = np.array(ranges).reshape(-1, 2).T

    def point(self, tree: Any) -> np.ndarray:
        """The numbers of a tree of this shape: log(1 − β), log c."""
        found = np.zeros(len(self._kinds))
        for at, group in self._places.items():
            found[group] = _coordinate(tree[at].ret, tree[at].value)
        return found

    def hyper(self, point: np.ndarray) -> dict[str, float]:
        """Hyperparameters of the program at a point."""
        return {name: _value(self._kinds[group], point[group]) for name, group in self._groups.items()}

    def tree(self, point: np.ndarray) -> list[Any]:
        """The tree at a point."""
        return self._with([_value(self._kinds[group], one) for group, one in enumerate(point)])

    def _with(self, values: list[float]) -> list[Any]:
        nodes = list(self._nodes)
        for at, group in self._places.items():
            nodes[at] = constant(nodes[at].ret, values[group])
        return nodes


def _numbers(tree: Nested) -> Iterator[tuple[int, Any]]:
    """Places of numbers in depth-first order, each with what makes two of them one."""
    at = -1

    def walk(tree: Nested, owner: Any) -> Iterator[tuple[int, Any]]:
        nonlocal at
        at += 1
        if isinstance(tree, tuple):
            key = (family(tree[0]), *tree[1:])
            for index, argument in enumerate(tree[1:]):
                yield from walk(argument, (key, index))
        elif not isinstance(tree, str):
            yield at, owner

    return walk(tree, None)


def _range(kind: type) -> tuple[float, float]:
    low, high = RANGES[kind]
    return (log(LEAST), 0.0) if kind is Rate else (log(low), log(high))


def _coordinate(kind: type, value: float) -> float:
    return log(max(1 - value, LEAST)) if kind is Rate else log(value)


def _value(kind: type, point: float) -> float:
    low, high = RANGES[kind]
    value = 1 - np.exp(point) if kind is Rate else np.exp(point)
    return float(min(max(value, low), high))

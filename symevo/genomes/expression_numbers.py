"""The numbers of a free-form rule as a vector: what tuning moves while the structure stays."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

from symevo.genomes.expression_genes import BOUNDS, FLAGS, ExpressionGenes
from symevo.genomes.expression_grammar import LEAST, RANGES, Rate, Signal, constant

_ALONG = ("lr", "weight_decay")


class NumberVector:
    """The decades of a tree's numbers, lr, and the weight decay if it is used; for a rate β those of 1 − β.

    Equal numbers of one type are one coordinate, so equal sub-trees stay equal and go on sharing their state.

    Args:
        genes: The structure; individuals that only differ from it in their numbers have the same vector form.
    """

    def __init__(self, genes: ExpressionGenes) -> None:
        places: dict[tuple[type, float], list[int]] = {}
        for at, node in enumerate(genes):
            if node.ret is not Signal:
                places.setdefault((node.ret, node.value), []).append(at)
        self._places = [(kind, found) for (kind, _), found in places.items()]
        self._along = [name for name in _ALONG if name != "weight_decay" or genes.use_wd]

    def read(self, genes: ExpressionGenes) -> list[float]:
        """The vector of an individual."""
        tree = [_decades(kind, genes[found[0]].value) for kind, found in self._places]
        return tree + [log10(max(getattr(genes, name), BOUNDS[name][0] or LEAST)) for name in self._along]

    def write(self, genes: ExpressionGenes, vector: Sequence[float]) -> None:
        """Sets an individual's numbers, each within its range."""
        values = list(vector)
        for (kind, found), value in zip(self._places, values, strict=False):
            node = constant(kind, 1 - 10**value if kind is Rate else 10**value)
            for at in found:
                list.__setitem__(genes, at, node)
        for name, value in zip(self._along, values[len(self._places) :], strict=True):
            low, high = BOUNDS[name]
            setattr(genes, name, min(max(10**value, low), high))


def structure(genes: ExpressionGenes) -> tuple[Any, ...]:
    """All but the numbers that :class:`NumberVector` moves: equal for individuals with the same vector form."""
    seen: dict[tuple[type, float], int] = {}
    nodes = [node.name if node.ret is Signal else seen.setdefault((node.ret, node.value), len(seen)) for node in genes]
    return (*nodes, *(getattr(genes, flag) for flag in FLAGS))


def _decades(kind: type, value: float) -> float:
    if kind is Rate:
        return log10(max(1 - value, LEAST))
    return log10(max(value, RANGES[kind][0]))

"""The genes of a free-form rule: a tree, and the numbers that ride along; their bounds and their plain form.

The numbers of a free-form rule as a vector: what tuning moves while the structure stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any, TypeAlias

from deap import gp

from symevo.errors import UserError
from symevo.genomes.base import Genes, check_flags, check_keys, check_number
from symevo.genomes.expression.grammar import (
    LEAST,
    RANGES,
    G,
    Grammar,
    Number,
    Rate,
    Signal,
    all_forms,
    constant,
    form_of,
)
from symevo.registry import nearest
from symevo.settings.explain import SettingError

Nested: TypeAlias = "str | float | tuple[Any, ...]"
"""A tree as nested tuples: ``"g"``, a number, or ``(form, argument, …)``."""

BOUNDS = {"lr": (1e-6, 10.0), "weight_decay": (0.0, 1.0), "warmup": (0.01, 0.5)}
FLAGS = ("use_wd", "use_warmup", "cosine")
_KINDS = {Signal: "signal", Rate: "rate", Number: "number"}


class ExpressionGenes(Genes, gp.PrimitiveTree):
    """A DEAP tree (nodes depth first) with a learning rate, weight decay and a schedule.

    Weight decay is decoupled, per step as a fraction of lr; ``warmup`` is a share of all steps.
    """

    def __init__(
        self,
        content: Any,
        *,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        use_wd: bool = False,
        warmup: float = 0.1,
        use_warmup: bool = False,
        cosine: bool = False,
    ) -> None:
        super().__init__(content)
        self.lr, self.weight_decay, self.use_wd = lr, weight_decay, use_wd
        self.warmup, self.use_warmup, self.cosine = warmup, use_warmup, cosine

    def genes(self) -> dict[str, Any]:
        """The tree as nested lists, and all numbers by name."""
        return {"tree": _listed(nested(self)), **{name: getattr(self, name) for name in (*BOUNDS, *FLAGS)}}


@dataclass(frozen=True)
class Limits:
    """What a tree may be: most levels below the root, most nodes, most numbers kept per weight.

    Raises:
        UserError: Limits that no tree, or no memory, fits into.
    """

    depth: int = 7
    size: int = 24
    states: int = 2

    def __post_init__(self) -> None:
        if self.depth < 1 or self.size < 2 or self.states < 0:
            raise SettingError("max_depth", "is 1 or more, max-size 2 or more and max-states 0 or more")
        if self.size <= self.depth:
            raise SettingError(
                "max_size",
                f"{self.size} contradicts max-depth {self.depth}: a tree of that depth has "
                f"{self.depth + 1} nodes or more; raise max-size or lower max-depth",
            )
        if self.states and self.size < 3:
            raise SettingError("max_states", f"{self.states} needs max-size 3 or more: a state takes three nodes")

    def hold(self, tree: ExpressionGenes) -> bool:
        """Whether a tree keeps to them."""
        return len(tree) <= self.size and tree.height <= self.depth and len(states_of(nested(tree))) <= self.states


def nested(tree: Any) -> Nested:
    """A DEAP list of nodes as nested tuples."""
    return _nested(iter(tree))


def _nested(nodes: Iterator[Any]) -> Nested:
    node = next(nodes)
    if node.arity:
        return (node.name, *(_nested(nodes) for _ in range(node.arity)))
    return node.value


def flat(tree: Nested, kind: type = Signal) -> list[Any]:
    """Nested tuples as DEAP's list of nodes."""
    if isinstance(tree, str):
        return [G]
    if not isinstance(tree, tuple):
        return [constant(kind, tree)]
    form = form_of(tree[0])
    return [form.node, *(node for arg, kind in zip(tree[1:], form.args, strict=True) for node in flat(arg, kind))]


def family(form: str) -> str:
    """Forms of one family keep the same state for the same arguments."""
    return "ema" if form.startswith("ema") else form


def state_key(tree: tuple[Any, ...]) -> tuple[Any, ...]:
    """What the state of a form with memory is known by: (family, arguments…)."""
    return (family(tree[0]), *tree[1:])


def states_of(tree: Nested) -> dict[tuple[Any, ...], None]:
    """The different states of a tree, inner ones first: (family, arguments…)."""
    found: dict[tuple[Any, ...], None] = {}
    if isinstance(tree, tuple):
        for argument in tree[1:]:
            found |= states_of(argument)
        if form_of(tree[0]).update is not None:
            found[state_key(tree)] = None
    return found


def _listed(tree: Nested) -> Any:
    return [_listed(part) for part in tree] if isinstance(tree, tuple) else tree


def genes_from_json(data: Any) -> dict[str, Any]:
    """Keyword arguments of :class:`ExpressionGenes` from its ``genes()``; numbers are not checked, a tree is."""
    names = ["tree", *BOUNDS, *FLAGS]
    check_keys(data, names, f"an expression genome is an object with the keys {', '.join(names)}")
    nodes = _nodes(data["tree"], Signal, depth=0)
    return {"content": nodes, **{name: data[name] for name in names[1:]}}


def _nodes(tree: Any, kind: type, *, depth: int) -> list[Any]:
    if depth > 50:
        raise UserError("the tree is nested too deeply")
    if kind is not Signal:
        low, high = RANGES[kind]
        if isinstance(tree, bool) or not isinstance(tree, int | float) or not low <= tree <= high:
            raise UserError(f"a {_KINDS[kind]} lies from {low:g} to {high:g}: not {str(tree)[:40]!r}")
        return [constant(kind, tree)]
    if tree == "g":
        return [G]
    forms = all_forms()
    if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
        raise UserError(f"a tree is 'g' or a list of a form and its arguments: not {str(tree)[:40]!r}")
    if tree[0] not in forms:
        raise UserError(f"unknown primitive {tree[0]!r}: {nearest(tree[0], sorted(forms))}")
    form = forms[tree[0]]
    if len(tree) - 1 != len(form.args):
        raise UserError(f"{form.name} takes {len(form.args)} arguments, not {len(tree) - 1}")
    parts = [_nodes(argument, kind, depth=depth + 1) for argument, kind in zip(tree[1:], form.args, strict=True)]
    return [form.node, *(node for part in parts for node in part)]


def check(genes: ExpressionGenes, limits: Limits, grammar: Grammar) -> None:
    """Raise UserError where a gene is out of bounds; it names the gene, its value and its bounds."""
    for name, (low, high) in BOUNDS.items():
        check_number(name, getattr(genes, name), low, high)
    check_flags(genes, FLAGS)
    unknown = [node.name for node in genes if node.arity and node.name not in grammar.forms]
    if unknown:
        raise UserError(f"primitive {unknown[0]!r} is not one of this search's: {', '.join(grammar.forms)}")
    if not limits.hold(genes):
        raise UserError(
            f"the tree has {len(genes)} nodes, depth {genes.height} and {len(states_of(nested(genes)))} states: "
            f"at most {limits.size}, {limits.depth} and {limits.states}"
        )


class NumberVector:
    """The decades of a tree's numbers, lr, and the weight decay if it is used; for a rate β those of 1 − β.

    Equal numbers of one type are one coordinate, so equal sub-trees go on sharing their state. Individuals that differ
    in their numbers alone have the same vector form.
    """

    def __init__(self, genes: ExpressionGenes) -> None:
        places: dict[tuple[type, float], list[int]] = {}
        for at, node in enumerate(genes):
            if node.ret is not Signal:
                places.setdefault((node.ret, node.value), []).append(at)
        self._places = [(kind, found) for (kind, _), found in places.items()]
        self._along = ["lr", "weight_decay"] if genes.use_wd else ["lr"]

    def read(self, genes: ExpressionGenes) -> list[float]:
        """The vector of an individual."""
        tree = [_decades(kind, genes[found[0]].value) for kind, found in self._places]
        return tree + [log10(max(getattr(genes, name), BOUNDS[name][0] or LEAST)) for name in self._along]

    def write(self, genes: ExpressionGenes, vector: Sequence[float]) -> None:
        """Set an individual's numbers, each within its range."""
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

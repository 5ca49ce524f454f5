"""Operators on free-form rules. Each works in place and leaves a tree within its limits, or as it was.

Sources: subtree crossover and mutation, Koza 1992; point, hoist and shrink mutation, Poli, Langdon & McPhee, "A Field
Guide to Genetic Programming", 2008, section 5.2.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import wraps
from typing import Any

from symevo.genomes.base import cross_uniformly, flip
from symevo.genomes.expression.genes import BOUNDS, FLAGS, ExpressionGenes, Limits, family
from symevo.genomes.expression.grammar import LEAST, Form, Grammar, Rate, Signal, all_forms, constant

_TRIES = 8
_NEW_DEPTH, _NEW_SIZE = 3, 10
_SIGMA = 0.3
"""Standard deviation of a perturbed number, in decades."""
Nodes = list[Any]


def _attempt(limits: Limits, genes: ExpressionGenes, change: Callable[[], Nodes | None]) -> tuple[Any]:
    """Applies the first of a few changes that keeps to the limits."""
    for _ in range(_TRIES):
        nodes = change()
        if nodes is not None and limits.hold(ExpressionGenes(nodes)):
            list.__setitem__(genes, slice(None), nodes)
            break
    return (genes,)


def _attempted(change: Callable[..., Nodes | None]) -> Callable[..., tuple[Any]]:
    """An operator of a change: the nodes that a tree may become, or None."""

    @wraps(change)
    def operator(self: ExpressionOperators, genes: ExpressionGenes, *, progress: float) -> tuple[Any]:
        return _attempt(self.limits, genes, lambda: change(self, genes, progress=progress))

    return operator


class ExpressionOperators:
    """The operators of one grammar under one set of limits."""

    def __init__(self, grammar: Grammar, limits: Limits) -> None:
        self.grammar, self.limits = grammar, limits

    # --- crossover

    def mate_subtrees(self, a: ExpressionGenes, b: ExpressionGenes) -> tuple[Any, Any]:
        """Each child gets one random subtree of the other parent in place of one of its own."""
        first, second = list(a), list(b)
        _attempt(self.limits, a, lambda: _graft(first, second))
        _attempt(self.limits, b, lambda: _graft(second, first))
        return a, b

    def mate_numbers(self, a: ExpressionGenes, b: ExpressionGenes) -> tuple[Any, Any]:
        """Uniform crossover of the numbers and flags that ride along."""
        return cross_uniformly(a, b, (*BOUNDS, *FLAGS))

    # --- mutation of the tree

    @_attempted
    def mutate_subtree(self, genes: ExpressionGenes, *, progress: float) -> Nodes | None:
        """A random subtree gives way to a new one."""
        return _put(genes, _anywhere(genes), self.grammar.tree(_NEW_DEPTH, _NEW_SIZE, full=_coin()))

    @_attempted
    def mutate_point(self, genes: ExpressionGenes, *, progress: float) -> Nodes | None:
        """One form becomes another with arguments of the same types, or one number another."""
        places = [at for at, node in enumerate(genes) if node.arity or node.ret is not Signal]
        if not places:
            return None
        at = random.choice(places)
        node = genes[at]
        if not node.arity:
            return _swapped(genes, at, self.grammar.number(node.ret))
        forms = self._like(node)
        return _swapped(genes, at, random.choice(forms).node) if forms else None

    @_attempted
    def mutate_insert(self, genes: ExpressionGenes, *, progress: float) -> Nodes | None:
        """A new form takes a subtree as one of its arguments."""
        forms = [one for one in self.grammar.forms.values() if Signal in one.args]
        if not forms:
            return None
        form = random.choices(forms, [one.weight for one in forms])[0]
        at = _anywhere(genes)
        kept = random.choice([index for index, kind in enumerate(form.args) if kind is Signal])
        nodes = [form.node]
        for index, kind in enumerate(form.args):
            if index == kept:
                nodes += genes[genes.searchSubtree(at)]
            else:
                nodes += self.grammar.tree(1, 4) if kind is Signal else [self.grammar.number(kind)]
        return _put(genes, at, nodes)

    @_attempted
    def mutate_shrink(self, genes: ExpressionGenes, *, progress: float) -> Nodes | None:
        """A form gives way to one of its arguments."""
        places = [at for at, node in enumerate(genes) if node.arity]
        if not places:
            return None
        at = random.choice(places)
        return _put(genes, at, random.choice(_arguments(genes, at)))

    @_attempted
    def mutate_hoist(self, genes: ExpressionGenes, *, progress: float) -> Nodes | None:
        """A subtree becomes the whole tree."""
        inner = [at for at in _signals(genes) if at and genes[at].arity]
        return list(genes[genes.searchSubtree(random.choice(inner))]) if inner else None

    @_attempted
    def mutate_states(self, genes: ExpressionGenes, *, progress: float) -> Nodes | None:
        """A form with memory becomes another one, or reads the state of another one in the tree."""
        forms = all_forms()
        places = [at for at, node in enumerate(genes) if node.arity and forms[node.name].update is not None]
        if not places:
            return None
        at = random.choice(places)
        node = genes[at]
        others = [one.node for one in self._like(node) if one.update is not None]
        donors = [p for p in places if p != at and family(genes[p].name) == family(node.name)]
        if donors and _coin():
            donor = genes[genes.searchSubtree(random.choice(donors))]
            return _put(genes, at, [node, *donor[1:]])
        return _swapped(genes, at, random.choice(others)) if others else None

    @_attempted
    def mutate_constants(self, genes: ExpressionGenes, *, progress: float) -> Nodes | None:
        """One number of the tree, or every one, moves by N(0, σ) decades; a rate β moves in 1 − β."""
        places = [at for at, node in enumerate(genes) if not node.arity and node.ret is not Signal]
        if not places:
            return None
        nodes = list(genes)
        for at in places if _coin() else [random.choice(places)]:
            nodes[at] = moved(nodes[at], random.gauss(0, _SIGMA * (1 - 0.5 * progress)))
        return nodes

    def _like(self, node: Any) -> list[Form]:
        """Other forms with arguments of the same types."""
        return [one for one in self.grammar.forms.values() if list(one.args) == node.args and one.name != node.name]

    # --- mutation of the numbers that ride along

    def mutate_numbers(self, genes: ExpressionGenes, *, progress: float) -> tuple[Any]:
        """Lr and weight decay move by N(0, σ) decades, warmup by N(0, 0.06); a flag flips with p = 0.1."""
        sigma = _SIGMA * (1 - 0.5 * progress)
        for name, value in (
            ("lr", genes.lr * 10 ** random.gauss(0, sigma)),
            ("weight_decay", genes.weight_decay * 10 ** random.gauss(0, sigma)),
            ("warmup", genes.warmup + random.gauss(0, 0.06)),
        ):
            low, high = BOUNDS[name]
            setattr(genes, name, min(max(value, low), high))
        flip(genes, FLAGS, 0.1)
        return (genes,)


def moved(node: Any, decades: float) -> Any:
    """A number moved on its scale."""
    if node.ret is Rate:
        return constant(Rate, 1 - max(1 - node.value, LEAST) * 10**decades)
    return constant(node.ret, node.value * 10**decades)


def _coin() -> bool:
    return random.random() < 0.5


def _signals(nodes: Nodes) -> list[int]:
    return [at for at, node in enumerate(nodes) if node.ret is Signal]


def _anywhere(nodes: Nodes) -> int:
    """A place of signal type; forms nine times as often as leaves, as Koza has it."""
    places = _signals(nodes)
    inner = [at for at in places if nodes[at].arity]
    return random.choice(inner if inner and random.random() < 0.9 else places)


def _put(genes: Any, at: int, nodes: Nodes) -> Nodes:
    cut = genes.searchSubtree(at)
    return [*genes[: cut.start], *nodes, *genes[cut.stop :]]


def _swapped(genes: Any, at: int, node: Any) -> Nodes:
    return [*genes[:at], node, *genes[at + 1 :]]


def _graft(onto: Nodes, source: Nodes) -> Nodes:
    tree, donor = ExpressionGenes(onto), ExpressionGenes(source)
    return _put(tree, _anywhere(onto), donor[donor.searchSubtree(_anywhere(source))])


def _arguments(genes: Any, at: int) -> list[Nodes]:
    """The arguments of signal type of the form at a place."""
    found, place = [], at + 1
    for kind in genes[at].args:
        cut = genes.searchSubtree(place)
        if kind is Signal:
            found.append(genes[cut])
        place = cut.stop
    return found

"""Free-form update rules as a DEAP individual: a typed tree over the rule language, with memory in the tree.

lr·tree(g) is the step. Momentum, RMSProp, Adam, Lion and signum are trees of a few nodes; see
:mod:`symevo.genomes.expression.grammar` for the forms.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from deap import creator

from symevo.genomes.base import FITNESS, GENOMES, Genome
from symevo.genomes.expression.genes import (
    ExpressionGenes,
    Limits,
    Nested,
    NumberVector,
    check,
    flat,
    genes_from_json,
    structure,
)
from symevo.genomes.expression.grammar import Grammar
from symevo.genomes.expression.match import genes_for
from symevo.genomes.expression.operators import ExpressionOperators
from symevo.genomes.expression.rule import express
from symevo.rules.behaviour_index import BehaviourIndex
from symevo.rules.program import Program
from symevo.rules.rule import Rule

if TYPE_CHECKING:
    from symevo.rules.probe import Probe

creator.create("ExpressionIndividual", ExpressionGenes, fitness=FITNESS)

_CREATED_DEPTH = 5
_TRIES = 50
_ADAM = ("ratio", ("ema_hat", "g", 0.9), ("root", ("ema_hat", ("square", "g"), 0.999)))
_CLASSICS: dict[str, tuple[Nested, float]] = {
    "momentum": (("ema", "g", 0.9), 0.1),
    "rmsprop": (("ratio", "g", ("root", ("ema", ("square", "g"), 0.99))), 1e-3),
    "adam": (_ADAM, 1e-3),
    "signum": (("sign", ("ema", "g", 0.9)), 1e-3),
    "lion": (("sign", ("mix", ("ema_last", "g", 0.99), "g", 0.9)), 1e-3),
}
RATES = {
    "mutate_subtree": 2.0,
    "mutate_point": 2.0,
    "mutate_insert": 2.0,
    "mutate_shrink": 1.5,
    "mutate_hoist": 0.5,
    "mutate_states": 1.0,
    "mutate_constants": 2.0,
    "mutate_numbers": 3.0,
}
"""How often each mutation is drawn, relative to the others."""


@GENOMES.register("expression")
class Expression(Genome):
    """Free-form rules; see :class:`symevo.genomes.base.Genome`.

    Args:
        preset: ``"default"``.
        limits: Depth, size and states of a tree.
        primitives: Names of the forms to use; None: all.

    Example:
        >>> genome = Expression()
        >>> print(genome.express(genome.seeded()[0]).program.text)
        m = beta1*m + (1 - beta1)*g
        theta = theta - lr*m
    """

    presets: ClassVar[tuple[str, ...]] = ("default",)
    individual = creator.ExpressionIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time
    numbers = NumberVector
    structure = staticmethod(structure)

    def __init__(
        self, preset: str = "default", *, limits: Limits | None = None, primitives: Iterable[str] | None = None
    ) -> None:
        super().__init__(preset)
        self.limits, self.grammar = limits or Limits(), Grammar(primitives)
        self._catalogue = BehaviourIndex()
        ops = ExpressionOperators(self.grammar, self.limits)
        self.operators = {name: getattr(ops, name) for name in ("mate_subtrees", "mate_numbers", *RATES)}

    def create(self) -> Any:
        """Ramped half-and-half: depths from 1 to 5, one half full trees, the other grown (Koza 1992)."""
        numbers = {
            "lr": 10 ** random.uniform(-4, 0),
            "weight_decay": 10 ** random.uniform(-4, -0.5),
            "use_wd": random.random() < 0.5,
            "warmup": random.uniform(0.02, 0.3),
            "use_warmup": random.random() < 0.5,
            "cosine": random.random() < 0.5,
        }
        depth = random.randint(1, min(_CREATED_DEPTH, self.limits.depth))
        full = random.random() < 0.5
        for attempt in range(_TRIES):
            memory = bool(self.limits.states) and attempt < _TRIES - 1
            tree = self.individual(self.grammar.tree(depth, self.limits.size, full=full, memory=memory), **numbers)
            if len(tree) > 1 and self.limits.hold(tree):
                return tree
        return self.individual(flat("g"), **numbers)

    def seeded(self) -> list[Any]:
        """SGD with momentum, RMSProp, Adam, signum and Lion, as far as the limits and the grammar hold them."""
        found = [self.individual(flat(tree), lr=lr) for tree, lr in _CLASSICS.values()]
        return [one for one in found if self._holds(one)]

    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Exchanges subtrees and numbers."""
        self.operators["mate_subtrees"](a, b)
        return self.operators["mate_numbers"](a, b)  # type: ignore[return-value]

    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        """One mutation, drawn by :data:`RATES`; the individual's ``operator`` says which."""
        (name,) = random.choices(list(RATES), list(RATES.values()))
        individual.operator = name
        return self.operators[name](individual, progress=progress)  # type: ignore[return-value]

    def express(self, individual: Any) -> Rule:
        return express(individual)

    def identity(self, candidate: Rule) -> str:
        """The direction and the numbers that ride along, as the first equal candidate of this search had them.

        Equal are directions and numbers within 1e-5, see :mod:`symevo.rules.probe`. A factor of the direction
        counts as one of the learning rate, for that is all it does.
        """
        found = _probed(candidate)
        if found.reason is not None:
            return candidate.identity
        rate, pull = candidate.lr * found.scale, candidate.lr * candidate.hyper.get("weight_decay", 0.0)
        schedule = candidate.schedule
        parts = [found.fingerprint, f"{rate:.8e}", f"{pull:.8e}", schedule.to_json()]
        exact = blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()
        positive = [value for value in (rate, pull, *found.sizes) if value > 0]
        kind = (schedule.decay, schedule.warmup >= 1, *(value > 0 for value in (pull, *found.sizes)))
        return self._catalogue.name(exact, kind, [*map(math.log, positive), schedule.warmup], found.steps)

    def reason(self, rule: Rule) -> str | None:
        """What the probe has against it, such as ``"climbs"``; None for what may learn."""
        return _probed(rule).reason

    def from_rule(self, rule: Rule) -> Any | None:
        """The tree that has the rule's formula, or None."""
        genes = genes_for(rule)
        if genes is None:
            return None
        found = self.individual(flat(genes.pop("tree")), **genes)
        return found if self._holds(found) else None

    def from_json(self, data: Any) -> Any:
        individual = self.individual(**genes_from_json(data))
        self.validate(individual)
        return individual

    def validate(self, individual: Any) -> None:
        check(individual, self.limits, self.grammar)

    def _holds(self, individual: Any) -> bool:
        return self.limits.hold(individual) and all(
            not node.arity or node.name in self.grammar.forms for node in individual
        )


def _probed(rule: Rule) -> Probe:
    return _probe(rule.program, tuple(sorted(rule.hyper.items())))


@lru_cache(maxsize=4096)
def _probe(program: Program, hyper: tuple[tuple[str, float], ...]) -> Probe:
    from symevo.rules.probe import probe

    values = {name: value for name, value in hyper if name != "lr"}
    return probe([program], [values])[0]

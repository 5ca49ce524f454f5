"""Formulas of named signals as DEAP individuals: the trees and operators of free-form rules, without memory.

They are fitted to given values (:mod:`symevo.search.surrogate`), never trained.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from symevo.genomes.expression.genes import ExpressionGenes, Limits, Nested
from symevo.genomes.expression.genome import RATES, Expression
from symevo.genomes.expression.grammar import Grammar
from symevo.genomes.expression.operators import ExpressionOperators
from symevo.genomes.expression.rule import formula
from symevo.rules.formula import Formula

FORMS = ("add", "sub", "plus", "minus", "neg", "scale", "shift", "relu", "abs", "clamp", "maximum", "minimum")
"""Formulas are linear in pieces, as the small nets are which they stand for: what curves fails beyond what was seen."""
_RATES = {name: rate for name, rate in RATES.items() if name not in ("mutate_states", "mutate_numbers")}


class Formulas:
    """What a search needs of them.

    Args:
        signals: Names of the inputs.
        size: Most nodes of a tree.
        depth: Most levels below its root.
    """

    individual = Expression.individual

    def __init__(self, signals: Sequence[str], *, size: int, depth: int = 6) -> None:
        self.signals, self.limits = tuple(signals), Limits(depth=min(depth, size - 1), size=size, states=0)
        self.grammar = Grammar(FORMS, signals=signals)
        operators = ExpressionOperators(self.grammar, self.limits)
        self.operators = {name: getattr(operators, name) for name in ("mate_subtrees", *_RATES)}

    def create(self) -> Any:
        """Ramped half-and-half, as :meth:`symevo.genomes.expression.genome.Expression.create` has it."""
        depth = random.randint(0, self.limits.depth)
        return self.individual(self.grammar.tree(depth, self.limits.size, full=random.random() < 0.5, memory=False))

    def mutate(self, individual: ExpressionGenes, *, progress: float) -> tuple[Any]:
        """One mutation of the tree or of its numbers."""
        (name,) = random.choices(list(_RATES), list(_RATES.values()))
        return self.operators[name](individual, progress=progress)  # type: ignore[return-value]

    def formula(self, tree: Nested) -> tuple[Formula, Mapping[str, float]]:
        """The formula of a tree, and its numbers."""
        return formula(tree, self.signals)

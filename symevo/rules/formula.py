"""Formulas of several named inputs: expressions of the rule language that are no rules, and have no memory.

::

    theta = maximum(c1*logits - onehot, 0)

A formula is a program that assigns its value to theta, and whose inputs stand where a rule's states stand; it only
reads them. So the interpreter evaluates any number of formulas in one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from symevo.rules.expression import Expr
from symevo.rules.program import Program


@dataclass(frozen=True)
class Formula(Program):
    """A formula.

    Attributes:
        inputs: Names of the inputs, in the order in which their values are given; it may read less.
    """

    inputs: tuple[str, ...] = ()

    @cached_property
    def memory(self) -> tuple[str, ...]:
        """The inputs, which lie where a rule keeps its states."""
        return self.inputs

    @cached_property
    def per_weight(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.inputs)

    @cached_property
    def hyper_names(self) -> tuple[str, ...]:
        """Its numbers."""
        return tuple(name for name in Program(self.statements).hyper_names if name not in self.inputs)

    @property
    def value(self) -> Expr:
        """What it computes."""
        return self.statements[-1][1]


def values(formulas: Sequence[Formula], numbers: Sequence[Mapping[str, float]], columns: np.ndarray) -> np.ndarray:
    """What formulas are of the same inputs.

    Args:
        formulas: Of the same inputs.
        numbers: The numbers of each.
        columns: Values of the inputs, float64 ``[inputs, N]``.

    Returns:
        float64 ``[formulas, N]``; what the exact value would be, NaN and infinities too.
    """
    import torch

    from symevo.rules.backends.interpreter import Interpreter

    rows, count = len(formulas), columns.shape[1]
    interpreter = Interpreter(formulas, count, torch.float64)
    found = torch.zeros(1, rows, count, dtype=torch.float64)
    unused = torch.zeros(1, 1, count, dtype=torch.float64)  # the gradient
    inputs = [torch.from_numpy(np.ascontiguousarray(one))[None, None] for one in columns]
    table = interpreter.table(numbers, [np.ones(1)] * rows, 1)
    interpreter.run(found, unused, inputs, table, torch.ones(rows, 1, dtype=torch.bool))
    return found[0].numpy()

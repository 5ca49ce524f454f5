"""The primitive table: one row gives a primitive every meaning that it has.

A row holds the torch form (per-weight tensors, inside the kernel), the numpy form (float64 scalars, outside
the kernel), the sympy form (printing, simplification), the arity and the cost. The language, the kernels, the
symbolic view and the contract tests read this table and nothing else, so a new primitive is one row.

The unprotected forms mean what torch means by them: ``sqrt(-1)`` and ``0/0`` are NaN, ``1/0`` is infinite.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from symevo.registry import Registry


@dataclass(frozen=True, slots=True)
class Primitive:
    """One row of the table.

    Attributes:
        name: How the language writes it: a function's name, or the operator's symbol.
        arity: Number of arguments.
        torch: Path of the torch form, ``"torch.sqrt"``, or a callable on tensors; resolved when a kernel is
            built, so that the language itself never needs torch.
        numpy: Form on float64 numpy values; it must agree with the torch form in float64.
        sympy: Name in ``sympy``, or a callable on sympy expressions.
        cost: Relative cost of one application to one weight (an addition is 1).
        commutative: Whether the operands may change places without changing the value.
        kind: ``"function"``, ``"operator"`` or ``"comparison"`` (allowed only as the first argument of
            ``where``).
    """

    name: str
    arity: int
    torch: str | Callable[..., Any]
    numpy: Callable[..., Any]
    sympy: str | Callable[..., Any]
    cost: float = 1.0
    commutative: bool = False
    kind: str = "function"


def _sign(x: Any) -> Any:
    import torch

    # torch.sign(NaN) is 0, and a diverged rule would look alive. Two selections also compile to half the time.
    return torch.where(x > 0, 1.0, torch.where(x < 0, -1.0, x))


def _sympy_clip(x: Any, low: Any, high: Any) -> Any:
    import sympy

    return sympy.Min(sympy.Max(x, low), high)


def _sympy_where(condition: Any, x: Any, y: Any) -> Any:
    import sympy

    return sympy.Piecewise((x, condition), (y, True))


def _numpy_pow(x: Any, y: Any) -> Any:
    return np.power(np.asarray(x, dtype=np.float64), y)[()]


PRIMITIVES: Registry[Primitive] = Registry("primitive")

for _row in (
    Primitive("+", 2, operator.add, operator.add, operator.add, 1, True, "operator"),
    Primitive("-", 2, operator.sub, operator.sub, operator.sub, 1, False, "operator"),
    Primitive("*", 2, operator.mul, operator.mul, operator.mul, 1, True, "operator"),
    Primitive("/", 2, operator.truediv, np.divide, operator.truediv, 4, False, "operator"),
    Primitive("**", 2, "torch.pow", _numpy_pow, operator.pow, 8, False, "operator"),
    Primitive("neg", 1, operator.neg, operator.neg, operator.neg, 1, False, "operator"),
    Primitive("<", 2, operator.lt, operator.lt, "Lt", 1, False, "comparison"),
    Primitive("<=", 2, operator.le, operator.le, "Le", 1, False, "comparison"),
    Primitive(">", 2, operator.gt, operator.gt, "Gt", 1, False, "comparison"),
    Primitive(">=", 2, operator.ge, operator.ge, "Ge", 1, False, "comparison"),
    Primitive("==", 2, operator.eq, operator.eq, "Eq", 1, True, "comparison"),
    Primitive("!=", 2, operator.ne, operator.ne, "Ne", 1, True, "comparison"),
    Primitive("where", 3, "torch.where", np.where, _sympy_where, 1),
    Primitive("sign", 1, _sign, np.sign, "sign", 1),
    Primitive("abs", 1, "torch.abs", np.abs, "Abs", 1),
    Primitive("sqrt", 1, "torch.sqrt", np.sqrt, "sqrt", 4),
    Primitive("exp", 1, "torch.exp", np.exp, "exp", 10),
    Primitive("log", 1, "torch.log", np.log, "log", 10),
    Primitive("tanh", 1, "torch.tanh", np.tanh, "tanh", 12),
    Primitive("minimum", 2, "torch.minimum", np.minimum, "Min", 1, True),
    Primitive("maximum", 2, "torch.maximum", np.maximum, "Max", 1, True),
    Primitive("clip", 3, "torch.clamp", lambda x, low, high: np.minimum(np.maximum(x, low), high), _sympy_clip, 2),
):
    PRIMITIVES.register(_row.name, _row)

RESERVED_FUNCTIONS = frozenset({"norm", "mean", "rms"})
"""Reductions over one parameter tensor: reserved, so that no rule may use these names for something else."""

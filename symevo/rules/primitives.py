"""The primitive table: one row gives a primitive every meaning that it has.

A row holds the torch form (per-weight tensors, inside the kernel), the numpy form (float64 scalars, outside
the kernel), the sympy form (printing, simplification) and the arity. The language, the kernels, the symbolic view,
exported files and the contract tests read this table and nothing else, so a new primitive is one row.

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
        torch: Path of the torch form, ``"torch.sqrt"``, or a function of tensors, which an exported file carries: it
            reads its arguments, and imports torch itself, so that the language never needs torch.
        numpy: Form on float64 numpy values; it must agree with the torch form in float64.
        sympy: Name in ``sympy``, or a callable on sympy expressions.
        commutative: Whether the operands may change places without changing the value.
        kind: ``"function"``, ``"operator"`` or ``"comparison"`` (allowed only as the first argument of
            ``where``).
        scalar: Form on single floats that numba can compile, for the interpreter; None: the numpy form will do.
        total: Whether finite arguments give a finite value, up to the range of the type: a sum, a product and a square
            overflow where the exact result does, and nothing else may. Only total primitives are searched over.
        reads: What it stands for, as text of the language in x, y and z; it is printed so. None: printed by name.
    """

    name: str
    arity: int
    torch: str | Callable[..., Any]
    numpy: Callable[..., Any]
    sympy: str | Callable[..., Any]
    commutative: bool = False
    kind: str = "function"
    scalar: Callable[..., Any] | None = None
    total: bool = False
    reads: str | None = None


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


def _scalar_where(condition: Any, x: Any, y: Any) -> Any:
    return x if condition != 0 else y


def _scalar_pow(x: Any, y: Any) -> Any:
    return np.power(x, y)


def _clip(x: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


# The protected forms. Each is total: where the plain form would leave the finite numbers, it does not.

_EPSILON = 1e-8
_LARGEST_EXPONENT = 20.0


def _ratio(x: Any, y: Any) -> Any:
    return x / (abs(y) + _EPSILON)


def _torch_root(x: Any) -> Any:
    return x.abs().sqrt()


def _root(x: Any) -> Any:
    return np.sqrt(np.abs(x))


def _sympy_root(x: Any) -> Any:
    import sympy

    return sympy.sqrt(sympy.Abs(x))


def _square(x: Any) -> Any:
    return x * x


def _torch_signed_log(x: Any) -> Any:
    import torch

    # log and not log1p: a ratio of this and the compiled form must not depend on which the compiler has
    return torch.where(x < 0, -1.0, 1.0) * (1.0 + x.abs()).log()


def _signed_log(x: Any) -> Any:
    return np.where(np.less(x, 0), -1.0, 1.0)[()] * np.log(1.0 + np.abs(x))


def _scalar_signed_log(x: Any) -> Any:
    return np.log(x - x + 1 + abs(x)) if x >= 0 else -np.log(x - x + 1 + abs(x))


def _sympy_signed_log(x: Any) -> Any:
    import sympy

    return sympy.sign(x) * sympy.log(1 + sympy.Abs(x))


def _torch_bounded_exp(x: Any) -> Any:
    return x.clamp(max=_LARGEST_EXPONENT).exp()


def _bounded_exp(x: Any) -> Any:
    return np.exp(np.minimum(x, _LARGEST_EXPONENT))


def _sympy_bounded_exp(x: Any) -> Any:
    import sympy

    return sympy.exp(sympy.Min(x, int(_LARGEST_EXPONENT)))


PRIMITIVES: Registry[Primitive] = Registry("primitive")

for _row in (
    Primitive("+", 2, operator.add, operator.add, operator.add, True, "operator", total=True),
    Primitive("-", 2, operator.sub, operator.sub, operator.sub, False, "operator", total=True),
    Primitive("*", 2, operator.mul, operator.mul, operator.mul, True, "operator", total=True),
    Primitive("/", 2, operator.truediv, np.divide, operator.truediv, False, "operator"),
    Primitive("**", 2, "torch.pow", _numpy_pow, operator.pow, False, "operator", _scalar_pow),
    Primitive("neg", 1, operator.neg, operator.neg, operator.neg, False, "operator", total=True),
    Primitive("<", 2, operator.lt, operator.lt, "Lt", False, "comparison"),
    Primitive("<=", 2, operator.le, operator.le, "Le", False, "comparison"),
    Primitive(">", 2, operator.gt, operator.gt, "Gt", False, "comparison"),
    Primitive(">=", 2, operator.ge, operator.ge, "Ge", False, "comparison"),
    Primitive("==", 2, operator.eq, operator.eq, "Eq", True, "comparison"),
    Primitive("!=", 2, operator.ne, operator.ne, "Ne", True, "comparison"),
    Primitive("where", 3, "torch.where", np.where, _sympy_where, scalar=_scalar_where),
    Primitive("sign", 1, _sign, np.sign, "sign", total=True),
    Primitive("abs", 1, "torch.abs", np.abs, "Abs", total=True),
    Primitive("sqrt", 1, "torch.sqrt", np.sqrt, "sqrt"),
    Primitive("exp", 1, "torch.exp", np.exp, "exp"),
    Primitive("log", 1, "torch.log", np.log, "log"),
    Primitive("tanh", 1, "torch.tanh", np.tanh, "tanh", total=True),
    Primitive("minimum", 2, "torch.minimum", np.minimum, "Min", True, total=True),
    Primitive("maximum", 2, "torch.maximum", np.maximum, "Max", True, total=True),
    Primitive("clip", 3, "torch.clamp", _clip, _sympy_clip, total=True),
    Primitive("ratio", 2, _ratio, _ratio, _ratio, total=True, reads="x/(abs(y) + 1e-8)"),
    Primitive("root", 1, _torch_root, _root, _sympy_root, total=True, reads="sqrt(abs(x))"),
    Primitive("square", 1, _square, _square, _square, total=True, reads="x**2"),
    Primitive(
        "signed_log",
        1,
        _torch_signed_log,
        _signed_log,
        _sympy_signed_log,
        scalar=_scalar_signed_log,
        total=True,
        reads="sign(x)*log(1 + abs(x))",
    ),
    Primitive(
        "bounded_exp", 1, _torch_bounded_exp, _bounded_exp, _sympy_bounded_exp, total=True, reads="exp(minimum(x, 20))"
    ),
):
    PRIMITIVES.register(_row.name, _row)

RESERVED_FUNCTIONS = frozenset({"norm", "mean", "rms"})
"""Reductions over one parameter tensor: reserved, so that no rule may use these names for something else."""

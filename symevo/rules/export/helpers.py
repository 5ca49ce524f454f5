"""Functions that an exported file holds because its rule needs them: primitives that torch has not."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from typing import Any

from symevo.errors import UserError
from symevo.rules.export.names import RESERVED
from symevo.rules.expression import Expr, Op
from symevo.rules.parser import written_out as formula_of
from symevo.rules.primitives import PRIMITIVES, Primitive

_MODULES = frozenset({"torch", "math"})
_TEXTS = {
    "divide": '''
def _divide(x: float, y: float) -> float:
    """x/y, and infinite or NaN where y is 0."""
    return x / y if y else x * math.copysign(math.inf, y)
''',
    "sqrt": '''
def _sqrt(x: float) -> float:
    """The root of x, and NaN where x is negative."""
    return math.sqrt(x) if x >= 0 else math.nan
''',
    "float64": '''
def _float64(function: Callable[..., Tensor], *values: float) -> float:
    """A function of torch on numbers, in float64: infinite or NaN where Python's own would raise."""
    return float(function(*(torch.tensor(value, dtype=torch.float64) for value in values)))
''',
    "sign": '''
def _sign(x: Tensor) -> Tensor:
    """The sign of x, and NaN where x is: torch.sign has 0 there."""
    return torch.where(x > 0, 1.0, torch.where(x < 0, -1.0, x))
''',
    "signed_log": '''
def _signed_log(x: Tensor) -> Tensor:
    """log(1 + |x|) with the sign of x."""
    return torch.where(x < 0, -1.0, 1.0) * torch.log(1.0 + torch.abs(x))
''',
}


class Helpers:
    """Collects what the text of a file calls."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def need(self, name: str) -> None:
        """Has one of the functions in the file."""
        self._texts[name] = _TEXTS[name].strip("\n")

    def function(self, name: str) -> str:
        """What a primitive of the language is called in the file.

        Raises:
            UserError: It cannot be in one; the message names it and says what would be right.
        """
        row = PRIMITIVES.get(name)
        if isinstance(row.torch, str):
            return row.torch
        if name in _TEXTS:
            self.need(name)
            return f"_{name}"
        self._texts[name] = source_of(row)
        return name

    @property
    def texts(self) -> list[str]:
        """The functions, in the order in which they were first needed."""
        return list(self._texts.values())


def written_out(expr: Any) -> Expr:
    """``expr`` with protected forms of symevo's own as the formulas that they stand for."""
    if not isinstance(expr, Op):
        return expr
    args = tuple(map(written_out, expr.args))
    op = Op(expr.name, args)
    formula = None if expr.name in _TEXTS or _is_own(PRIMITIVES.get(expr.name)) else formula_of(op)
    return op if formula is None else written_out(formula)


def _is_own(row: Primitive) -> bool:
    """Whether a primitive is the user's, who may have written it otherwise than he has it read."""
    return getattr(row.torch, "__module__", None) != Primitive.__module__


def source_of(row: Primitive) -> str:
    """The text of a user's function, as he wrote it.

    Raises:
        UserError: There is none, or it needs more than torch and its arguments.
    """
    try:
        text = textwrap.dedent(inspect.getsource(row.torch))  # type: ignore[arg-type]
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndentationError):
        raise _cannot(row, "its text is not in a file: write it in one") from None
    if not isinstance(node, ast.FunctionDef) or row.name in RESERVED:
        raise _cannot(row, "it is no plain function of a name of its own: write def")
    more = sorted(_free_names(node) - _MODULES - frozenset(dir(builtins)))
    if more:
        raise _cannot(row, f"it reads {', '.join(more)} from outside: write that into the function")
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    return "\n".join(["# fmt: off", *(line.rstrip() for line in lines), "# fmt: on"])


def _cannot(row: Primitive, why: str) -> UserError:
    return UserError(f"primitive {row.name!r} cannot be exported: {why}")


def _free_names(node: ast.FunctionDef) -> set[str]:
    """Names that a function reads and does not make, and modules that it imports.

    Decorators are left behind, and annotations are never evaluated.
    """
    inside = [one for part in [*node.args.defaults, *node.body] for one in ast.walk(part)]
    made = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
    made |= {one.arg for one in inside if isinstance(one, ast.arg)}
    made |= {one.id for one in inside if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)}
    modules: set[str] = set()
    for one in inside:
        if isinstance(one, ast.Import | ast.ImportFrom):
            made |= {alias.asname or alias.name.split(".")[0] for alias in one.names}
            names = [str(one.module)] if isinstance(one, ast.ImportFrom) else [alias.name for alias in one.names]
            modules |= {name.split(".")[0] for name in names}
    read = {one.id for one in inside if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
    return (read - made) | modules

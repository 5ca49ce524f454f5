"""Expressions as Python text, of numbers, of tensors and of lists of tensors; and the functions that the text calls.

Each is written with no parenthesis and no space that a formatter would change.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from typing import Any

from symevo.errors import UserError
from symevo.rules.export.names import RESERVED
from symevo.rules.expression import PRECEDENCE, Expr, Name, Num, Op, number_text
from symevo.rules.parser import written_out as formula_of
from symevo.rules.primitives import PRIMITIVES, Primitive

CHOICE, ATOM = 0, 9
_COUNTS = (Name("t"), Op("+", (Name("t"), Num(1.0))))
_SIMPLE = re.compile(r"-?([A-Za-z_][A-Za-z0-9_.]*|[0-9][0-9.e+-]*)\Z")


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
        """What a primitive of the language is called in the file; UserError where it cannot be in one."""
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
    """The text of a primitive's function as it was written, under the primitive's own name.

    Raises:
        UserError: There is none, or it needs more than torch and its arguments.
    """
    try:
        text = textwrap.dedent(inspect.getsource(row.torch))  # type: ignore[arg-type]
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndentationError):
        raise _cannot(row, "its text is not in a file: write it in one") from None
    if not isinstance(node, ast.FunctionDef) or row.name in RESERVED or not row.name.isidentifier():
        raise _cannot(row, "it is no plain function of a name of its own: write def")
    more = sorted(_free_names(node) - _MODULES - frozenset(dir(builtins)))
    if more:
        raise _cannot(row, f"it reads {', '.join(more)} from outside: write that into the function")
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    lines[0] = lines[0].replace(f"def {node.name}", f"def {row.name}", 1)
    return "\n".join(["# fmt: off", *(line.rstrip() for line in lines), "# fmt: on"])


def _cannot(row: Primitive, why: str) -> UserError:
    return UserError(f"primitive {row.name!r} cannot be exported: {why}")


def _free_names(node: ast.FunctionDef) -> set[str]:
    """Names that a function reads and does not make, and modules that it imports; annotations are not evaluated."""
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


class Code:
    """Infix text; what a primitive is written as is left to :meth:`call`. The helpers learn what the text needs."""

    def __init__(self, helpers: Helpers) -> None:
        self.helpers = helpers

    def text(self, expr: Expr) -> str:
        return self.bound(expr)[0]

    def bound(self, expr: Expr) -> tuple[str, int]:
        """The text and the strength with which it binds."""
        if isinstance(expr, Num):
            return number_text(expr.value), ATOM
        if isinstance(expr, Name):
            return expr.id, ATOM
        kind = PRIMITIVES.get(expr.name).kind
        if kind == "function":
            return self.call(expr)
        if expr.name == "**":
            return self.power(*expr.args)
        strength = PRECEDENCE[expr.name]
        if expr.name == "neg":
            return f"-{self.operand(expr.args[0], strength)}", strength
        if expr.name == "/":
            return self.quotient(*expr.args)
        return self.infix(expr.name, *expr.args), strength

    def infix(self, sign: str, left: Expr, right: Expr) -> str:
        strength = PRECEDENCE[sign]
        return f"{self.operand(left, strength)} {sign} {self.operand(right, strength + 1)}"

    def operand(self, expr: Expr, needed: int) -> str:
        text, strength = self.bound(expr)
        return text if strength >= needed else f"({text})"

    def call(self, expr: Op) -> tuple[str, int]:
        raise NotImplementedError

    def quotient(self, over: Expr, under: Expr) -> tuple[str, int]:
        return self.infix("/", over, under), PRECEDENCE["/"]

    def power(self, base: Expr, exponent: Expr) -> tuple[str, int]:
        return powered(self.operand(base, PRECEDENCE["**"] + 1), self.operand(exponent, 4)), PRECEDENCE["**"]


class ScalarCode(Code):
    """Numbers in float64: infinite or NaN where arithmetic is, and never an exception.

    The constructor keeps the hyperparameters in ``rates`` in [0, 1).
    """

    def __init__(self, helpers: Helpers, rates: Collection[str] = ()) -> None:
        super().__init__(helpers)
        self.rates = rates

    def call(self, expr: Op) -> tuple[str, int]:
        if expr.name == "where":
            condition, x, y = expr.args
            return f"{self.operand(x, 1)} if {self.operand(condition, 1)} else {self.text(y)}", CHOICE
        if expr.name == "abs":
            return f"abs({self.text(expr.args[0])})", ATOM
        if expr.name == "sqrt":
            if not self.is_positive(expr.args[0]):
                self.helpers.need("sqrt")
            return f"{'math.' if self.is_positive(expr.args[0]) else '_'}sqrt({self.text(expr.args[0])})", ATOM
        return self.float64(self.helpers.function(expr.name), expr.args)

    def float64(self, function: str, args: tuple[Expr, ...]) -> tuple[str, int]:
        self.helpers.need("float64")
        return f"_float64({', '.join([function, *map(self.text, args)])})", ATOM

    def quotient(self, over: Expr, under: Expr) -> tuple[str, int]:
        if self.is_positive(under):
            return super().quotient(over, under)
        self.helpers.need("divide")
        return f"_divide({self.text(over)}, {self.text(under)})", ATOM

    def power(self, base: Expr, exponent: Expr) -> tuple[str, int]:
        if self.is_rate(base) and exponent in _COUNTS:
            return super().power(base, exponent)
        return self.float64("torch.pow", (base, exponent))

    def is_rate(self, expr: Expr) -> bool:
        """Whether a number is certainly in [0, 1)."""
        return isinstance(expr, Name) and expr.id in self.rates

    def is_positive(self, expr: Expr) -> bool:
        """Whether a number is certainly above 0: a literal, 1 - beta or 1 - beta**t."""
        match expr:
            case Num(value):
                return value > 0
            case Op("-", (Num(1.0), Op("**", (base, exponent)))):
                return self.is_rate(base) and exponent in _COUNTS
            case Op("-", (Num(1.0), rate)):
                return self.is_rate(rate)
        return False


class TensorCode(Code):
    """Tensors of one shape, with numbers as tensors of no dimension."""

    def call(self, expr: Op) -> tuple[str, int]:
        args = [self.text(one) for one in expr.args]
        literal = [not isinstance(one, Name) and is_literal(one) for one in expr.args]
        if expr.name == "where":
            return f"torch.where({self.condition(expr.args[0])}, {args[1]}, {args[2]})", ATOM
        if expr.name in ("maximum", "minimum") and any(literal):
            x, bound = (args[1], args[0]) if literal[0] else args
            return f"torch.clamp({x}, {'min' if expr.name == 'maximum' else 'max'}={bound})", ATOM
        return f"{self.helpers.function(expr.name)}({', '.join(args)})", ATOM

    def condition(self, expr: Expr) -> str:
        """A comparison of tensors; what was decided once for all weights is a number, 0 or 1."""
        return self.text(expr) if isinstance(expr, Op) else f"{self.text(expr)} > 0"

    def power(self, base: Expr, exponent: Expr) -> tuple[str, int]:
        if isinstance(exponent, Num):
            return super().power(base, exponent)
        return f"torch.pow({self.text(base)}, {self.text(exponent)})", ATOM


class ListCode(Code):
    """Lists of tensors by torch's foreach functions; names that have no list are tensors of no dimension."""

    _BOTH: Mapping[str, str] = {"+": "add", "-": "sub", "*": "mul", "/": "div", "maximum": "maximum",
                                "minimum": "minimum"}  # fmt: skip
    _ONE: Mapping[str, str] = {"neg": "neg", "abs": "abs", "sqrt": "sqrt", "exp": "exp", "log": "log", "tanh": "tanh"}

    def __init__(self, lists: Mapping[str, str]) -> None:
        self.lists = lists

    def bound(self, expr: Expr) -> tuple[str, int]:
        """The text; LookupError where no foreach function takes these arguments."""
        if not isinstance(expr, Op):
            return self.lists[expr.id] if self.is_list(expr) else scalar_text(expr), ATOM  # type: ignore[union-attr]
        kinds = [self.is_list(one) for one in expr.args]
        if not any(kinds):
            raise LookupError(expr.name)
        write: Callable[..., str] = self.both if len(kinds) == 2 else self.other
        return write(expr.name, *expr.args), ATOM

    def is_list(self, expr: Expr) -> bool:
        """Whether an expression is one number a weight."""
        return expr.id in self.lists if isinstance(expr, Name) else not is_literal(expr)

    def both(self, name: str, x: Expr, y: Expr) -> str:
        """A function of two arguments, of which one at least is a list."""
        if self.is_list(x) and self.is_list(y):
            return self.foreach(self._BOTH[name], x, y)
        if name == "-":
            return self.difference(x, y)
        if name in ("+", "*"):
            return self.foreach(self._BOTH[name], *((x, y) if self.is_list(x) else (y, x)))
        if name == "/" and self.is_list(x):
            return self.foreach("div", x, y)
        if name == "/" and isinstance(x, Num):  # what torch does with a literal over a tensor
            inverse = f"torch._foreach_reciprocal({self.text(y)})"
            return inverse if x == Num(1.0) else f"torch._foreach_mul({inverse}, {scalar_text(x)})"
        if name == "**" and y == Num(2.0) and isinstance(x, Name):
            return self.foreach("mul", x, x)  # the same bits; a shard takes no power of lists in every torch
        if name == "**" and isinstance(y, Num):
            return self.foreach("pow", x, y)
        if name in ("maximum", "minimum") and (is_literal(x) or is_literal(y)):
            return self.foreach(name, *((x, y) if self.is_list(x) else (y, x)))
        raise LookupError(name)

    def difference(self, x: Expr, y: Expr) -> str:
        """Torch has no foreach function that takes a tensor of no dimension away, but one that adds it."""
        if not self.is_list(x):
            return f"torch._foreach_add(torch._foreach_neg({self.text(y)}), {scalar_text(x)})"
        if is_literal(y):
            return self.foreach("sub", x, y)
        return f"torch._foreach_add({self.text(x)}, -{scalar_text(y)})"

    def other(self, name: str, x: Expr, *more: Expr) -> str:
        if name == "clip" and all(map(is_literal, more)):
            return self.both("minimum", Op("maximum", (x, more[0])), more[1])
        if more:
            raise LookupError(name)
        return self.foreach(self._ONE[name], x)

    def foreach(self, name: str, x: Expr, *more: Expr) -> str:
        """A call of which the first argument is a list."""
        rest = [self.text(one) if self.is_list(one) else scalar_text(one) for one in more]
        return f"torch._foreach_{name}({', '.join([self.text(x), *rest])})"


def scalar_text(expr: Expr) -> str:
    """A number's name, or a literal of either sign."""
    if isinstance(expr, Op):
        return f"-{scalar_text(expr.args[0])}"
    return expr.id if isinstance(expr, Name) else number_text(expr.value)


def is_literal(expr: Expr) -> bool:
    """Whether an expression is a number as such, of either sign."""
    return isinstance(expr, Num) or (isinstance(expr, Op) and expr.name == "neg" and isinstance(expr.args[0], Num))


def powered(base: str, exponent: str) -> str:
    """``base**exponent`` with the spaces that formatters give it."""
    return ("{}**{}" if _SIMPLE.match(base) and _SIMPLE.match(exponent) else "{} ** {}").format(base, exponent)

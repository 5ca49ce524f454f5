"""Text to program: Python's own grammar, read with ``ast`` and let through by a whitelist.

Nothing is ever evaluated. Text is checked for length and ASCII first, then parsed line by line, so that an
error can name line and column, and no line is long enough to trouble the parser.
"""

from __future__ import annotations

import ast
import math
import re
import warnings

from symevo.errors import UserError
from symevo.registry import nearest
from symevo.rules.expression import Expr, Name, Num, Op, to_text
from symevo.rules.primitives import PRIMITIVES, RESERVED_FUNCTIONS

MAX_CHARACTERS = 20_000
MAX_LINES = 200
MAX_LINE = 1_000
MAX_DEPTH = 60
READ_ONLY = frozenset({"g", "t", "T", "lr"})
"""The gradient, the step count (1, 2, …), the total number of steps, the scheduled learning rate."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


class RuleError(UserError):
    """A text that is no rule: names line, column and what would be right."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        place = f"line {line}, column {column}: " if line else ""
        super().__init__(f"{place}{message}")
        self.line, self.column = line, column


def parse_statements(text: str) -> tuple[tuple[str, Expr], ...]:
    """Reads assignments, one a line or separated by ``;``; ``#`` starts a comment.

    Returns:
        Pairs of target and expression, in order.

    Raises:
        RuleError: The text is too long, not ASCII, or holds anything but assignments of allowed expressions.
    """
    if not isinstance(text, str):
        raise RuleError(f"a program is text, not {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise RuleError(f"the program has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise RuleError(f"the program has {len(lines)} lines; at most {MAX_LINES} are allowed")
    statements = [statement for number, line in enumerate(lines, 1) for statement in _parse_line(line, number)]
    if not statements:
        raise RuleError("the program is empty; write assignments such as theta = theta - lr*g")
    _check_canonical(statements)
    return tuple(statements)


def _check_canonical(statements: list[tuple[str, Expr]]) -> None:
    """Holds the canonical text, a statement a line, to the limits too: what was read once reads back."""
    if len(statements) > MAX_LINES:
        raise RuleError(f"the program has {len(statements)} assignments; at most {MAX_LINES} are allowed")
    total = 0
    for number, (target, expr) in enumerate(statements, 1):
        length = len(target) + 3 + len(to_text(expr))
        total += length + 1
        if length > MAX_LINE:
            raise RuleError(f"assignment {number} has {length} characters when written out; at most {MAX_LINE} may be")
    if total > MAX_CHARACTERS:
        raise RuleError(f"the program has {total} characters in canonical form; at most {MAX_CHARACTERS} are allowed")


def _parse_line(line: str, number: int) -> list[tuple[str, Expr]]:
    for column, character in enumerate(line, 1):
        if not (" " <= character <= "~" or character == "\t"):
            raise RuleError(f"character {character!a} is not allowed; use plain ASCII", number, column)
    if len(line) > MAX_LINE:
        raise RuleError(f"the line has {len(line)} characters; at most {MAX_LINE} are allowed", number, MAX_LINE + 1)
    stripped = line.lstrip()
    indent = len(line) - len(stripped)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "1(x)" and the like are refused below
            tree = ast.parse(stripped)
    except SyntaxError as error:
        column = indent + (error.offset or 1)
        raise RuleError(
            f"not an assignment such as m = beta1*m + (1 - beta1)*g ({error.msg})", number, column
        ) from None
    except (ValueError, MemoryError, RecursionError):
        raise RuleError("the expression is nested too deeply or holds too long a number", number, 1) from None
    return [_Reader(number, indent).statement(node) for node in tree.body]


class _Reader:
    """Turns one line's syntax tree into expressions; everything that is not listed is refused."""

    def __init__(self, line: int, indent: int) -> None:
        self.line, self.indent = line, indent

    def error(self, message: str, node: ast.AST) -> RuleError:
        return RuleError(message, self.line, getattr(node, "col_offset", 0) + 1 + self.indent)

    def statement(self, node: ast.stmt) -> tuple[str, Expr]:
        if not isinstance(node, ast.Assign):
            raise self.error("only assignments such as m = beta1*m + (1 - beta1)*g are allowed", node)
        if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise self.error("an assignment has one plain name on its left", node)
        return self.target(node.targets[0]), self.expression(node.value, 1)

    def target(self, node: ast.Name) -> str:
        name = self.identifier(node)
        if name in READ_ONLY:
            raise self.error(f"{name!r} cannot be assigned; assign theta, a state or a temporary", node)
        return name

    def identifier(self, node: ast.Name) -> str:
        if not _IDENTIFIER.match(node.id):
            raise self.error("a name starts with a letter and has at most 40 letters, digits and underscores", node)
        if node.id in RESERVED_FUNCTIONS or node.id in PRIMITIVES:
            raise self.error(f"{node.id!r} is a function's name; choose another", node)
        return node.id

    def expression(self, node: ast.expr, depth: int) -> Expr:
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels; split the line with a temporary", node)
        if isinstance(node, ast.Constant):
            return self.number(node)
        if isinstance(node, ast.Name):
            return Name(self.identifier(node))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return Op("neg", (self.expression(node.operand, depth + 1),))
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            sides = self.expression(node.left, depth + 1), self.expression(node.right, depth + 1)
            return Op(_BINARY[type(node.op)], sides)
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        if isinstance(node, ast.Compare):
            raise self.error("a comparison stands only as the first argument of where(a < b, x, y)", node)
        raise self.error("only numbers, names, + - * / **, unary minus and functions are allowed", node)

    def number(self, node: ast.Constant) -> Num:
        if type(node.value) not in (int, float):
            raise self.error(f"a constant is a real number, not {type(node.value).__name__}", node)
        try:
            value = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.error("the number is too large for a float64", node)
        return Num(value)

    def call(self, node: ast.Call, depth: int) -> Op:
        functions = sorted(name for name in PRIMITIVES if PRIMITIVES.get(name).kind == "function")
        if not isinstance(node.func, ast.Name):
            raise self.error("only functions called by their plain name are allowed", node)
        name = node.func.id
        if name in RESERVED_FUNCTIONS:
            raise self.error(f"{name!r} is reserved for a reduction that is not there yet", node)
        if name not in functions:
            raise self.error(f"unknown function {name!r}: {nearest(name, functions)}", node)
        arity = PRIMITIVES.get(name).arity
        if node.keywords or len(node.args) != arity:
            given = len(node.args) + len(node.keywords)
            raise self.error(f"{name} takes {arity} plain argument{'s' * (arity > 1)}, not {given}", node)
        if name == "where":
            head: Expr = self.condition(node.args[0], depth + 1)
        else:
            head = self.expression(node.args[0], depth + 1)
        return Op(name, (head, *(self.expression(argument, depth + 1) for argument in node.args[1:])))

    def condition(self, node: ast.expr, depth: int) -> Op:
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
            raise self.error("the first argument of where is one comparison such as a < b", node)
        sides = self.expression(node.left, depth + 1), self.expression(node.comparators[0], depth + 1)
        return Op(_COMPARE[type(node.ops[0])], sides)

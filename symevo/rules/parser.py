"""Text to program: Python's own grammar, read with ``ast`` and let through by a whitelist.

Nothing is ever evaluated. Text is checked for length and ASCII first, then parsed line by line, so that an
error can name line and column, and no line is long enough to trouble the parser.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import warnings

from symevo.errors import RuleError
from symevo.registry import nearest
from symevo.rules.expression import Expr, Name, Num, Op, computed, replace_names, to_text
from symevo.rules.primitives import PRIMITIVES, RESERVED_FUNCTIONS

MAX_CHARACTERS = 20_000
MAX_LINES = 200
MAX_LINE = 1_000
MAX_DEPTH = 60
_SHOWN = 40
"""Characters of an expression that a message repeats."""
READ_ONLY = frozenset({"g", "t", "T", "lr"})
"""The gradient, the step count (1, 2, …), the total number of steps, the scheduled learning rate."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_WORD = re.compile(r"[A-Za-z_]\w*")
_INSTEAD = {"lambda": "write lam or weight_decay"}
"""What to write for a keyword that formulas have as a name."""
_KEYWORD = "{!r} is a keyword of Python, which cannot be the name of anything: {}"
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def parse_statements(text: str, *, finite: bool = False) -> tuple[tuple[str, Expr], ...]:
    """Reads assignments, one a line or separated by ``;``; ``#`` starts a comment.

    Args:
        text: The assignments.
        finite: Whether to refuse parts such as ``9**9**9`` that hold no name and whose value is not finite.

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
    statements = [statement for number, line in enumerate(lines, 1) for statement in _parse_line(line, number, finite)]
    if not statements:
        raise RuleError("the program is empty; write assignments such as theta = theta - lr*g")
    _check_canonical(statements)
    return tuple(statements)


def written_out(op: Op) -> Expr | None:
    """The formula that a protected form stands for, such as ``x/(abs(y) + 1e-8)``; None for what has none."""
    text = PRIMITIVES.get(op.name).reads
    if text is None:
        return None
    ((_, body),) = parse_statements(f"value = {text}")
    return replace_names(body, dict(zip("xyz", op.args, strict=False)))


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


def _parse_line(line: str, number: int, finite: bool) -> list[tuple[str, Expr]]:
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
        _check_keywords(line, number)
        column = indent + (error.offset or 1)
        raise RuleError(
            f"not an assignment such as m = beta1*m + (1 - beta1)*g ({error.msg})", number, column
        ) from None
    except (ValueError, MemoryError, RecursionError):
        raise RuleError("the expression is nested too deeply or holds too long a number", number, 1) from None
    reader = _Reader(stripped, number, indent, finite)
    return [reader.statement(node) for node in tree.body]


def _check_keywords(line: str, number: int) -> None:
    """Names the keyword that Python does not take as a name, in a line that it cannot read."""
    for match in _WORD.finditer(line.partition("#")[0]):
        if keyword.iskeyword(match[0]):
            instead = _INSTEAD.get(match[0], "choose another name")
            raise RuleError(_KEYWORD.format(match[0], instead), number, match.start() + 1) from None


class _Reader:
    """Turns one line's syntax tree into expressions; everything that is not listed is refused.

    Args:
        text: The line, without the blanks before it.
        line: Its number.
        indent: How many blanks there were.
        finite: See :func:`parse_statements`.
    """

    def __init__(self, text: str, line: int, indent: int, finite: bool) -> None:
        self.text, self.line, self.indent, self.finite = text, line, indent, finite
        self.values: dict[int, float] = {}

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
            return self.applied("neg", (self.expression(node.operand, depth + 1),), node)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            sides = self.expression(node.left, depth + 1), self.expression(node.right, depth + 1)
            return self.applied(_BINARY[type(node.op)], sides, node)
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        raise self.no_expression(node)

    def no_expression(self, node: ast.expr) -> RuleError:
        if isinstance(node, ast.Compare):
            return self.error("a comparison stands only as the first argument of where(a < b, x, y)", node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            column = self.text.index("^", node.left.end_col_offset) + 1 + self.indent
            return RuleError("^ is no operator: write ** for a power, such as g**2", self.line, column)
        if isinstance(node, ast.Lambda):
            return self.error(_KEYWORD.format("lambda", _INSTEAD["lambda"]), node)
        return self.error("only numbers, names, + - * / **, unary minus and functions are allowed", node)

    def applied(self, name: str, args: tuple[Expr, ...], node: ast.AST) -> Op:
        """A primitive of arguments; where these are numbers, so is its value."""
        op = Op(name, args)
        values = [self.values[id(one)] for one in args if id(one) in self.values]
        if self.finite and len(values) == len(args):
            value = self.values[id(op)] = computed(name, values)
            if not math.isfinite(value):
                text = to_text(op)
                shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
                raise self.error(f"{shown} is {value}: write a finite number, at most 1.7e308 in size", node)
        return op

    def number(self, node: ast.Constant) -> Num:
        if type(node.value) not in (int, float):
            raise self.error(f"a constant is a real number, not {type(node.value).__name__}", node)
        try:
            value = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.error("the number is too large for a float64", node)
        found = Num(value)
        self.values[id(found)] = value
        return found

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
        return self.applied(name, (head, *(self.expression(argument, depth + 1) for argument in node.args[1:])), node)

    def condition(self, node: ast.expr, depth: int) -> Op:
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
            raise self.error("the first argument of where is one comparison such as a < b", node)
        sides = self.expression(node.left, depth + 1), self.expression(node.comparators[0], depth + 1)
        return self.applied(_COMPARE[type(node.ops[0])], sides, node)

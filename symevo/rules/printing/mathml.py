"""Equations as MathML, for pages: the same terms in the same order as in plain unicode and LaTeX.

Presentation MathML of the Core that browsers draw by themselves. Sympy's own printer orders terms anew, writes a case
distinction as a call and leaves ``<`` as it is, so this is a third printer beside :mod:`symevo.rules.printing.text`'s
two.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from symevo.rules.expression import Expr, Op
from symevo.rules.printing.text import Unicode
from symevo.rules.program import Rule

_MINUS = "<mo>−</mo>"
_ACCENTS = {"hat": "^", "bar": "¯", "tilde": "~"}
_BINDS = {"sum": 2, "product": 3, "sign": 4, "fraction": 5, "power": 6}


class MathML(Unicode):
    """Prints expressions as rows of MathML elements."""

    where_strength = 1  # cases have a brace on one side only

    def equations(self, statements: Sequence[tuple[str, Expr]]) -> list[str]:
        """One ``math`` element for each equation."""
        return [math(f"{self.name(label)}<mo>=</mo>{self.text(expr)}") for label, expr in statements]

    def bound(self, expr: Expr) -> tuple[str, int]:
        """The row and the strength with which it binds."""
        if isinstance(expr, Op) and expr.name == "neg":
            return _MINUS + self.operand(expr.args[0], _BINDS["sign"]), _BINDS["sign"]
        if isinstance(expr, Op) and expr.name in ("+", "-"):
            left, right = self.operand(expr.args[0], 2), self.operand(expr.args[1], 3)
            negative = right.startswith(_MINUS)  # a - -2*b reads a + 2*b
            sign = "+" if (expr.name == "+") != negative else "−"
            return f"{left}<mo>{sign}</mo>{right.removeprefix(_MINUS)}", _BINDS["sum"]
        return super().bound(expr)

    def number(self, value: float) -> str:
        text = super().number(value)
        mantissa, _, exponent = text.removeprefix("-").partition("e")
        power = f"<msup><mn>10</mn><mrow>{_signed(exponent)}</mrow></msup>" if exponent else ""
        digits = "" if power and mantissa == "1" else f"<mn>{escape(mantissa)}</mn>"
        times = "<mo>·</mo>" if power and digits else ""
        return (_MINUS if text.startswith("-") else "") + _row(digits + times + power)

    def parenthesis(self, text: str) -> str:
        return _row(f"<mo>(</mo>{text}<mo>)</mo>")

    def product(self, left: str, right: str) -> str:
        return f"{left}<mo>·</mo>{right}"

    def quotient(self, over: Expr, under: Expr) -> tuple[str, int]:
        return f"<mfrac>{_row(self.text(over))}{_row(self.text(under))}</mfrac>", _BINDS["fraction"]

    def power(self, base: Expr, exponent: Expr) -> tuple[str, int]:
        raised = _row(self.text(exponent))
        return f"<msup>{_row(self.operand(base, _BINDS['power']))}{raised}</msup>", _BINDS["fraction"]

    def comparison(self, expr: Op) -> str:
        sign = {"<=": "≤", ">=": "≥", "!=": "≠", "==": "="}.get(expr.name, expr.name)
        return f"{self.text(expr.args[0])}<mo>{escape(sign)}</mo>{self.text(expr.args[1])}"

    def call(self, name: str, args: tuple[Expr, ...]) -> str:
        inner = [_row(self.text(argument)) for argument in args]
        if name == "where":
            condition, x, y = inner
            rows = _case(x, f"<mtext>if&#160;</mtext>{condition}") + _case(y, "<mtext>otherwise</mtext>")
            return _row(f"<mo>{{</mo><mtable>{rows}</mtable>")
        if name == "abs":
            return _row(f"<mo>|</mo>{inner[0]}<mo>|</mo>")
        if name == "sqrt":
            return f"<msqrt>{inner[0]}</msqrt>"
        shown = {"minimum": "min", "maximum": "max"}.get(name, name)
        return _row(f"<mi>{escape(shown)}</mi><mo>(</mo>{'<mo>,</mo>'.join(inner)}<mo>)</mo>")

    def name(self, label: str) -> str:
        base, accent, number, primes, index = self.parts(label)
        letter = f"<mi>{escape(base)}{'′' * len(primes)}</mi>"
        if accent:
            letter = f'<mover accent="true">{letter}<mo>{_ACCENTS[accent]}</mo></mover>'
        below = [f"<mn>{number}</mn>"] if number else []
        below += {"": [], "t": ["<mi>t</mi>"], "t-1": ["<mi>t</mi><mo>−</mo><mn>1</mn>"]}[index]
        # Without a font for mathematics browsers lower an index by no more than its base reaches down.
        deep = f'<mpadded depth=".14em">{letter}</mpadded>'
        return f"<msub>{deep}{_row('<mo>,</mo>'.join(below))}</msub>" if below else letter


def equations(rule: Rule, *, numbers: bool = False) -> list[str]:
    """A rule's equations, one ``math`` element each; a last one tells the schedule, if there is one.

    Args:
        rule: What to print.
        numbers: Values of hyperparameters, to 4 significant digits, instead of their names.
    """
    from symevo.rules.printing.symbolic import DIGITS, bases, describe, statements

    found = statements(rule, numbers, False)
    printer = MathML(bases(found), digits=DIGITS if numbers else None)
    lines = printer.equations(found)
    if not rule.schedule.is_constant:
        rate = printer.number(rule.lr) if numbers else printer.name("lr")
        factors = "<mo>×</mo>".join(f"<mtext>{escape(part)}</mtext>" for part in describe(rule.schedule).split(" × "))
        lines.append(math(f"{printer.name('lr_{t}')}<mo>=</mo>{rate}<mo>×</mo>{factors}"))
    return lines


def math(row: str) -> str:
    """A row as an element of its own."""
    return f'<math display="block">{_row(row)}</math>'


def _row(text: str) -> str:
    return f"<mrow>{text}</mrow>"


def _case(value: str, condition: str) -> str:
    return f"<mtr><mtd>{value}</mtd><mtd>{condition}</mtd></mtr>"


def _signed(number: str) -> str:
    digits = number.removeprefix("-").removeprefix("+")
    return (_MINUS if number.startswith("-") else "") + f"<mn>{int(digits)}</mn>"

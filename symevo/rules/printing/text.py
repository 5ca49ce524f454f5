"""Expressions as people read them: plain unicode and LaTeX.

Both print the program's own expressions, in the order in which they were written. Names are *labels*: a plain
name for a hyperparameter, ``m_{t}`` or ``m_{t-1}`` for a value of a step, ``m'_{t}`` for a value that the
step overwrites.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from symevo.rules.expression import PRECEDENCE, Expr, Name, Num, Op, number_text
from symevo.rules.parser import written_out
from symevo.rules.primitives import PRIMITIVES

LABEL = re.compile(r"(?P<base>\w+?)(?P<primes>'*)(?:_\{(?P<index>t|t-1)\})?\Z")
"""How a label is made up."""

_LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
_ALIASES = {
    "eps": "epsilon", "lr": "eta", "weight_decay": "lambda", "lam": "lambda", "momentum": "mu",
    "dampening": "tau", "momentum_decay": "psi",
}  # fmt: skip
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPTS = str.maketrans("0123456789-.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻·")
_COMPARISONS = {"<=": ("≤", r"\le"), ">=": ("≥", r"\ge"), "!=": ("≠", r"\ne"), "==": ("=", "=")}
_ATOM, _SIGNED = 9, PRECEDENCE["neg"]


class Unicode:
    """Prints expressions in plain unicode.

    Args:
        names: All base names that will be printed: two that would look alike keep their spelled form.
        digits: Significant digits of numbers; None for all.
    """

    where_strength = _ATOM

    def __init__(self, names: Iterable[str] = (), *, digits: int | None = None) -> None:
        self.digits = digits
        self.symbols = _symbols(names)

    def equation(self, label: str, expr: Expr) -> str:
        """``label = expr`` on one line."""
        return f"{self.name(label)} = {self.text(expr)}"

    def lines(self, equations: Sequence[tuple[str, Expr]]) -> str:
        """Several equations, one a line."""
        return "\n".join(self.equation(label, expr) for label, expr in equations)

    def text(self, expr: Expr) -> str:
        """One expression."""
        return self.bound(expr)[0]

    def bound(self, expr: Expr) -> tuple[str, int]:
        """The text and the strength with which it binds."""
        if isinstance(expr, Num):
            return self.number(expr.value), _ATOM
        if isinstance(expr, Name):
            return self.name(expr.id), _ATOM
        if expr.name == "neg":
            return "-" + self.operand(expr.args[0], _SIGNED), _SIGNED
        if expr.name in ("+", "-"):
            left, right = self.operand(expr.args[0], 2), self.operand(expr.args[1], 3)
            negative = right.startswith("-")  # a - -2*b reads a + 2*b
            sign = expr.name if not negative else "-+"[expr.name == "-"]
            return f"{left} {sign} {right.removeprefix('-')}", 2
        if expr.name == "*":
            return self.product(self.operand(expr.args[0], 3), self.operand(expr.args[1], 4, sign=False)), 3
        if expr.name == "/":
            return self.quotient(*expr.args)
        if expr.name == "**":
            return self.power(*expr.args)
        if expr.name in PRIMITIVES and PRIMITIVES.get(expr.name).kind == "comparison":
            return self.comparison(expr), 1
        if expr.name in PRIMITIVES and (formula := written_out(expr)) is not None:
            return self.bound(formula)
        return self.call(expr.name, expr.args), self.where_strength if expr.name == "where" else _ATOM

    def operand(self, expr: Expr, needed: int, *, sign: bool = True) -> str:
        """The text, in parentheses where it binds too weakly or, without ``sign``, starts with one."""
        text, strength = self.bound(expr)
        return text if strength >= needed and (sign or strength != _SIGNED) else self.parenthesis(text)

    def number(self, value: float) -> str:
        return _tidy(number_text(value) if self.digits is None else rounded(value, self.digits))

    def parenthesis(self, text: str) -> str:
        return f"({text})"

    def product(self, left: str, right: str) -> str:
        return f"{left}·{right}"

    def quotient(self, over: Expr, under: Expr) -> tuple[str, int]:
        return f"{self.operand(over, 3)}/{self.operand(under, 4)}", 3

    def power(self, base: Expr, exponent: Expr) -> tuple[str, int]:
        raised = self.text(exponent)
        if raised == "t" or re.fullmatch(r"-?\d+", raised):
            raised = "ᵗ" if raised == "t" else raised.translate(_SUPERSCRIPTS)
        else:
            raised = "^" + (raised if isinstance(exponent, Num | Name) else self.parenthesis(raised))
        return self.operand(base, 6) + raised, 5

    def comparison(self, expr: Op) -> str:
        return f"{self.text(expr.args[0])} {_COMPARISONS.get(expr.name, expr.name)[0]} {self.text(expr.args[1])}"

    def call(self, name: str, args: tuple[Expr, ...]) -> str:
        inner = ", ".join(map(self.text, args))
        if name == "abs":
            return f"|{inner}|"
        if name == "sqrt":
            return f"√{inner}" if isinstance(args[0], Name | Num) else f"√({inner})"
        return f"{_SHORT.get(name, name)}({inner})"

    def parts(self, label: str) -> tuple[str, str, str, str, str]:
        """Letter, accent, number, primes and index of a label."""
        base, primes, index = _parts(label)
        symbol, accent, number = self.symbols.get(base) or (base, "", "")
        return _LETTERS.get(symbol, symbol), accent, number, primes, index

    def name(self, label: str) -> str:
        """A label in letters: ``m̂_t``, ``β₁``, ``θ_{t-1}``."""
        letter, accent, number, primes, index = self.parts(label)
        letter += _ACCENTS.get(accent, "") + number.translate(_SUBSCRIPTS) + "′" * len(primes)
        return letter + {"": "", "t": "_t", "t-1": "_{t-1}"}[index]


class Latex(Unicode):
    """Prints expressions in LaTeX, for mathematics mode."""

    where_strength = 1  # cases have a brace on one side only

    def lines(self, equations: Sequence[tuple[str, Expr]]) -> str:
        rows = (f"{self.name(label)} &= {self.text(expr)}" for label, expr in equations)
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def number(self, value: float) -> str:
        mantissa, _, exponent = super().number(value).partition("e")
        if not exponent:
            return mantissa
        power = f"10^{{{int(exponent)}}}"
        return f"{{{power}}}" if mantissa == "1" else f"({mantissa} \\cdot {power})"

    def parenthesis(self, text: str) -> str:
        return rf"\left({text}\right)"

    def product(self, left: str, right: str) -> str:
        return (
            f"{left} {right}" if not right[:1].isdigit() and not right.startswith("{10") else rf"{left} \cdot {right}"
        )

    def quotient(self, over: Expr, under: Expr) -> tuple[str, int]:
        return rf"\frac{{{self.text(over)}}}{{{self.text(under)}}}", 5

    def power(self, base: Expr, exponent: Expr) -> tuple[str, int]:
        return f"{{{self.operand(base, 6)}}}^{{{self.text(exponent)}}}", 5

    def comparison(self, expr: Op) -> str:
        sign = _COMPARISONS.get(expr.name, (expr.name, expr.name))[1]
        return f"{self.text(expr.args[0])} {sign} {self.text(expr.args[1])}"

    def call(self, name: str, args: tuple[Expr, ...]) -> str:
        inner = [self.text(argument) for argument in args]
        if name == "where":
            condition, x, y = inner
            return rf"\begin{{cases}} {x} & \text{{if }} {condition} \\ {y} & \text{{otherwise}} \end{{cases}}"
        if name == "abs":
            return rf"\left|{inner[0]}\right|"
        if name == "sqrt":
            return rf"\sqrt{{{inner[0]}}}"
        operator = _SHORT.get(name, name)
        command = f"\\{operator}" if operator in _LATEX_OPERATORS else rf"\operatorname{{{_escape(operator)}}}"
        return rf"{command}\left({', '.join(inner)}\right)"

    def name(self, label: str) -> str:
        base, primes, index = _parts(label)
        symbol, accent, number = self.symbols.get(base) or (base, "", "")
        if symbol in _LETTERS:
            letter = rf"\{symbol}"
        else:
            letter = symbol if len(symbol) == 1 else rf"\mathrm{{{_escape(symbol)}}}"
        letter = rf"\{accent}{{{letter}}}" if accent else letter
        below = ",".join(part for part in (number, index) if part)
        return letter + "'" * len(primes) + (f"_{{{below}}}" if below else "")


_SHORT = {"minimum": "min", "maximum": "max"}
_LATEX_OPERATORS = frozenset({"min", "max", "exp", "log", "tanh", "sin", "cos", "sinh", "cosh"})


def rounded(value: float, digits: int) -> str:
    """``value`` to so many significant digits, or to as many more as tell it from 1.

    A factor such as 1 - lr*weight_decay would else read as 1, as if there were no weight decay.
    """
    text = f"{value:.{digits}g}"
    while abs(float(text)) == 1 != abs(value):
        digits += 1
        text = f"{value:.{digits + 1}g}"  # two digits of the difference
    return text


def _tidy(text: str) -> str:
    return re.sub(r"e([+-])0*(\d+)", lambda match: "e" + match[1].strip("+") + match[2], text)


def _escape(text: str) -> str:
    return text.replace("_", r"\_")


def _parts(label: str) -> tuple[str, str, str]:
    match = LABEL.match(label)
    return (match["base"], match["primes"], match["index"] or "") if match else (label, "", "")


def _symbols(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """For each name its letter, accent and number; a name whose form is taken keeps its spelling."""
    forms: dict[str, tuple[str, str, str]] = {}
    for name in sorted(set(names), key=lambda name: (_form(name)[0] != name, name in _ALIASES, name)):
        form = _form(name)
        forms[name] = form if form not in forms.values() else (name, "", "")
    return forms


def _form(name: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"([A-Za-z]+?)_?(\d*)(?:_(hat|bar|tilde))?", name)
    if name in _ALIASES or not match:
        return _ALIASES.get(name, name), "", ""
    symbol, number, accent = match[1], match[2], match[3] or ""
    symbol = _ALIASES.get(symbol, symbol)
    if len(symbol) > 1 and symbol not in _LETTERS:
        return name, "", ""  # words keep their spelling: step2_hat is no letter with a hat
    return symbol, accent, number

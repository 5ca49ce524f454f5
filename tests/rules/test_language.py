"""Text to program: what is read, what is refused, and that nothing ever runs."""

from __future__ import annotations

import random
import re
import string
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import COMPARISONS, any_numbers, programs

from symevo.errors import RuleError
from symevo.rules.backends.lowering import evaluate
from symevo.rules.classic import CLASSICS
from symevo.rules.expression import Expr, Op, names_in, walk
from symevo.rules.parser import MAX_CHARACTERS, MAX_DEPTH, MAX_LINE, MAX_LINES, parse_statements
from symevo.rules.program import Program

HOSTILE = {
    "import": "theta = __import__('os').system('true')",
    "bare import": "import os",
    "attribute": "theta = theta.grad",
    "method": "theta = g.add_(1)",
    "class climb": "theta = ().__class__.__bases__",
    "subscript": "theta = theta[0]",
    "lambda": "theta = (lambda: 1)()",
    "comprehension": "theta = [x for x in g]",
    "generator": "theta = sum(x for x in g)",
    "walrus": "theta = (y := g)",
    "f-string": "theta = f'{g}'",
    "string": "theta = 'g'",
    "bytes": "theta = b'g'",
    "eval": "theta = eval('g')",
    "exec": "theta = exec('g')",
    "open": "theta = open('/etc/passwd')",
    "print": "theta = print(g)",
    "def": "def theta(): return g",
    "class": "class theta: pass",
    "if": "if g: theta = g",
    "for": "for theta in g: pass",
    "while": "while 1: theta = g",
    "with": "with g as theta: pass",
    "try": "try: theta = g",
    "return": "return theta",
    "yield": "theta = yield g",
    "await": "theta = await g",
    "delete": "del theta",
    "global": "global theta",
    "decorator": "@g",
    "augmented": "theta += g",
    "annotated": "theta: int = g",
    "chained": "theta = m = g",
    "tuple": "theta, m = g, g",
    "starred": "theta = abs(*g)",
    "keyword": "theta = abs(x=g)",
    "dict": "theta = {g: 1}",
    "set": "theta = {g}",
    "ternary": "theta = g if g else m",
    "boolean": "theta = g and m",
    "not": "theta = not g",
    "bit": "theta = g ^ m",
    "shift": "theta = g << 3",
    "floor": "theta = g // 2",
    "modulo": "theta = g % 2",
    "matrix": "theta = g @ m",
    "invert": "theta = ~g",
    "plus": "theta = +g",
    "comparison": "theta = g < 1",
    "chained comparison": "theta = where(0 < g < 1, g, m)",
    "complex": "theta = 1j*g",
    "none": "theta = None",
    "true": "theta = True",
    "ellipsis": "theta = ...",
    "assign g": "g = theta",
    "assign lr": "lr = 1",
    "assign t": "t = 1",
    "assign T": "T = 1",
    "assign function": "sqrt = g",
    "reserved": "theta = norm(g)",
    "unknown function": "theta = sqroot(g)",
    "arity": "theta = sqrt(g, m)",
    "underscore": "theta = __builtins__",
    "long name": f"theta = {'x' * 41}",
    "huge integer": f"theta = g*{'9' * 990}",
    "huge float": "theta = g*1e999",
    "long line": f"theta = g{'+ g' * MAX_LINE}",
    "deep parentheses": f"theta = {'(' * 400}g{')' * 400}",
    "deep minus": f"theta = {'-' * 900}g",
    "deep power": "theta = " + "**".join(["9"] * 300),
    "deep call": f"theta = {'sqrt(' * 150}g{')' * 150}",
    "many lines": "theta = g\n" * (MAX_LINES + 1),
    "many statements": "theta=g;" * 120 + "\n" + "theta=g;" * 120,
    "grows when written out": "theta=" + "g+" * 497 + "g",
    "too long": "#" * (MAX_CHARACTERS + 1),
    "empty": "",
    "comment": "# theta = g",
    "no theta": "m = g",
    "no assignment": "theta",
    "nul": "theta = g\x00",
    "escape": "theta = \x1b[31mg",
    "form feed": "theta = g\x0c",
    "greek": "θ = θ - g",
    "cyrillic": "theta = thet\u0430",
    "full width": "theta = \uff47",
    "superscript": "theta = g\u00b2",
    "invisible": "theta = g\u200b",
    "direction": "theta = \u202eg",
    "line separator": "theta = g\u2028m = g",
    "surrogate": "theta = \ud800",
    "continuation": "theta = g + \\\n g",
    "open parenthesis": "theta = (g",
    "indented block": "if 1:\n    theta = g",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(RuleError) as error:
        Program.parse(text)
    assert time.process_time() - start < 1
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("wrong", [None, 3, [1], ["theta = g", None], b"theta = g", [["theta = g"]]])
def test_what_is_no_text_is_refused(wrong):
    with pytest.raises((RuleError, TypeError)):
        Program.parse(wrong)


def random_text(stream: random.Random) -> str:
    words = ["theta", "g", "m", "=", "+", "*", "**", "(", ")", "sqrt(", "where(", ",", "<", "\n", ";", "1"]
    words += ["__import__('os')", ".", "lambda", "[", "]", "for", "in", ":=", "'", "\\", "#", " ", "eval("]
    if stream.random() < 0.3:
        alphabet = string.printable + "\x00θ²\u202e"
        return "".join(stream.choice(alphabet) for _ in range(stream.randrange(80)))
    return "".join(stream.choice(words) for _ in range(stream.randrange(40)))


def test_ten_thousand_random_strings_are_refused_and_nothing_runs():
    watching, seen = True, []
    bad = ("exec", "import", "open", "os.", "subprocess.", "socket.", "pickle.", "ctypes.")

    def watch(event: str, args: tuple) -> None:
        # for the text of a syntax error, Python itself looks for a file of the name that ast gives
        if watching and event.startswith(bad) and not (event == "open" and args[0] == "<unknown>"):
            seen.append(event)

    stream = random.Random(5)
    texts = [random_text(stream) for _ in range(10_000)]
    sys.addaudithook(watch)  # audit hooks cannot be removed: the flag silences it
    try:
        slowest, read = 0.0, 0
        for text in [*texts, *HOSTILE.values()]:
            start = time.process_time()
            try:
                Program.parse(text)
                read += 1
            except RuleError:
                pass
            slowest = max(slowest, time.process_time() - start)
    finally:
        watching = False
    assert seen == []
    assert slowest < 1
    assert read < 100  # a few of them happen to be rules


def test_the_watch_would_see_something_run():
    seen = []
    watching = True
    sys.addaudithook(lambda event, _: seen.append(event) if watching else None)
    compile("1 + 1", "<test>", "eval")
    watching = False
    assert "compile" in seen


@settings(max_examples=100, deadline=None)
@given(programs(lines=8, depth=5, numbers=any_numbers))
def test_program_to_text_to_program_is_stable(program):
    again = Program.parse(program.text)
    assert again == program
    assert again.lines == program.lines
    assert Program.parse(program.lines) == program


@settings(max_examples=100, deadline=None)
@given(programs(lines=4))
def test_layout_and_comments_do_not_matter(program):
    noisy = "\r\n".join(f"\t {line}   # {index}" for index, line in enumerate(program.lines)) + "\n\n"
    assert Program.parse(noisy) == program
    assert Program.parse(";".join(program.lines[:3]) + "\n" + "\n".join(program.lines[3:])) == program


@pytest.mark.parametrize(
    ("text", "line", "column", "hint"),
    [
        ("m = g\ntheta = theta - lr*sqroot(g)", 2, 20, "did you mean 'sqrt'"),
        ("theta = g\n  g = theta", 2, 3, "assign theta, a state or a temporary"),
        ("theta = theta - lr*where(g, 1, 2)", 1, 26, "one comparison such as a < b"),
        ("theta = theta - ²", 1, 17, "plain ASCII"),
        ("theta = g\n\n   theta = g +* 2", 3, 15, "not an assignment"),
        ("theta = sqrt(g, 2)", 1, 9, "sqrt takes 1 plain argument, not 2"),
        ("theta = g.x", 1, 9, "only numbers, names"),
        ("theta = 2 < g", 1, 9, "only as the first argument of where"),
        ("theta = theta - lr*lambda*g", 1, 20, "'lambda' is a keyword of Python, .*: write lam or weight_decay"),
        ("m = g\n lambda = 0.9", 2, 2, "write lam or weight_decay"),
        ("theta = theta - (lambda: g)", 1, 18, "write lam or weight_decay"),
        ("theta = theta - lr*is*g  # for", 1, 20, "'is' is a keyword of Python, .*: choose another name"),
        ("theta = theta - lr*g^2", 1, 21, r"write \*\* for a power, such as g\*\*2"),
        ("m = g; theta = theta - (lr*(g) ^ 2)", 1, 32, r"write \*\* for a power"),
    ],
)
def test_errors_name_line_column_and_what_would_be_right(text, line, column, hint):
    with pytest.raises(RuleError, match=rf"line {line}, column {column}: ") as error:
        Program.parse(text)
    assert (error.value.line, error.value.column) == (line, column)
    assert re.search(hint, str(error.value))


@pytest.mark.parametrize(
    ("text", "line", "column", "value"),
    [
        ("theta = theta - lr*g*9**9**9**9", 1, 25, r"9\*\*9\*\*9 is inf: write a finite number"),
        ("theta = theta - lr*1e308*10*g + 1e308*10", 1, 33, r"1e\+308\*10 is inf"),
        ("m = g\n\ttheta = theta - m*(-2 - 1/0)", 2, 26, "1/0 is inf"),
        ("theta = theta - lr*g*sqrt(1 - 2)", 1, 22, r"sqrt\(1 - 2\) is nan"),
        ("theta = theta - lr*where(g > log(0), g, 1)", 1, 30, r"log\(0\) is -inf"),
        ("theta = theta - minimum(where(1 < 2, 3, 4)**1e9, g)", 1, 25, "is inf"),
        ("theta = theta - lr*(" + "9 + " * 40 + "9)**9**9", 1, 20, r"… is inf: write"),
    ],
)
def test_numbers_that_are_not_finite_are_refused_where_a_user_writes_them(text, line, column, value):
    start = time.perf_counter()
    with pytest.raises(RuleError, match=f"^line {line}, column {column}: .*{value}") as error:
        Program.parse(text, finite=True)
    assert len(str(error.value)) < 150
    assert time.perf_counter() - start < 30  # and not for ever
    assert Program.parse(text).lines  # as runs have recorded it


@settings(max_examples=100, deadline=None)
@given(programs(lines=4, depth=4, numbers=any_numbers))
def test_what_is_left_is_finite(program):
    try:
        assert Program.parse(program.text, finite=True) == program
    except RuleError:
        assert any(not finite(expr) for _, expr in program.statements)
    else:
        assert all(finite(expr) for _, expr in program.statements)


def finite(expr: Expr) -> bool:
    """Whether every part that holds no name, and is no comparison, has a finite value."""
    parts = [one for one in walk(expr) if not any(True for _ in names_in(one))]
    with np.errstate(all="ignore"):
        values = [evaluate(one, {}) for one in parts if not isinstance(one, Op) or one.name not in COMPARISONS]
    return bool(np.isfinite(np.array(values, dtype=float)).all())


def test_depth_limit_is_exact():
    def nested(depth: int) -> str:
        return f"theta = {'sqrt(' * (depth - 1)}g{')' * (depth - 1)}"

    Program.parse(nested(MAX_DEPTH))
    with pytest.raises(RuleError, match="nested deeper"):
        Program.parse(nested(MAX_DEPTH + 1))


def test_names_find_their_kinds():
    program = CLASSICS.get("nadam").program
    assert program.states == ("m", "v")
    assert program.scalar_states == ("mu_product",)
    assert program.temporaries == ("d", "mu", "mu_next", "v_hat", "m_hat")
    assert set(program.hyper_names) == {"weight_decay", "beta1", "beta2", "eps", "momentum_decay"}
    assert "T" not in program.reads
    assert "t" in program.reads


def test_precedence_is_pythons():
    assert parse_statements("x = -a**2")[0][1] == parse_statements("x = -(a**2)")[0][1]
    assert parse_statements("x = a**b**c")[0][1] == parse_statements("x = a**(b**c)")[0][1]
    assert parse_statements("x = a - b - c")[0][1] != parse_statements("x = a - (b - c)")[0][1]
    assert parse_statements("x = a/b*c")[0][1] == parse_statements("x = (a/b)*c")[0][1]

"""Exported files: any name that the language lets through, in any role, and names that change between roles."""

from __future__ import annotations

import builtins
import io
import keyword
import re
import tokenize
import warnings

import pytest
import torch
from export_files import module_of
from hypothesis import HealthCheck, Phase, given, settings
from strategies import retyped
from test_export import assert_same_bits

from symevo.errors import RuleError, UserError
from symevo.rules.classic import CLASSICS
from symevo.rules.export.writer import TAKEN, source
from symevo.rules.hyper import RESERVED
from symevo.rules.parser import parse_statements
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule

RETYPED = {
    "weight, then number": ("u = g\nw = u*u\nu = 3\ntheta = theta - lr*(w + u)", 1 - 0.1 * (0.25 + 3)),
    "number, then weight": ("c = 2\nc = where(g < 0, c, g)\ntheta = theta - lr*c", 1 - 0.1 * 0.5),
    "there and back": ("c = 2\nd = c*g\nc = d*g\nd = c\nc = 4\ntheta = theta - lr*(d + c)", 1 - 0.1 * (0.5 + 4)),
    "a remembered number": ("a = 1 + s\ns = a*g\nb = s\ns = a + 1\ntheta = theta - lr*(b + s)", 1 - 0.1 * (0.5 + 2)),
    "a remembered weight": ("m = m + 1\nw = m\nm = m*g\ntheta = theta - lr*(m + w)", 1 - 0.1 * (0.5 + 1)),
}
COMPILED = [text for text, _ in list(RETYPED.values())[:2]]


def usable(name: str) -> bool:
    """Whether the language lets a name be assigned."""
    try:
        parse_statements(f"{name} = 1")
    except RuleError:
        return False
    return name != "theta"


def words() -> list[str]:
    """Names of Python, and all that stand in exported files."""
    files = [CLASSICS.get("adamw"), CLASSICS.get("nadam")]
    files.append(Rule(files[0].program, files[0].hyper, Schedule(0.1, "cosine")))
    found = {*dir(builtins), *keyword.softkwlist, "k", "number", "part1", "thetas", "row"}
    for one in files:
        tokens = tokenize.generate_tokens(io.StringIO(source(one, name="Found")).readline)
        found |= {token.string for token in tokens if token.type == tokenize.NAME}
    return sorted(filter(usable, found))


WORDS = words()
ROLES = {
    "hyperparameters": ("", "theta = theta - lr*g*({sum})"),
    "numbers": ("{0} = t", "theta = theta - lr*g*({sum})"),
    "states": ("{0} = 0.5*{0} + g", "theta = theta - lr*({sum})"),
    "remembered numbers": ("{0} = {0} + 0.5", "theta = theta - lr*g*({sum})"),
    "numbers and weights": ("{0} = t\n{0} = {0}*g", "theta = theta - lr*({sum})"),
}
"""What each name's line is, and the last one."""
TOGETHER = 40
"""Names that one rule has: a sum of them fits in a line."""


@pytest.mark.parametrize(("text", "right"), RETYPED.values(), ids=RETYPED)
def test_a_name_may_be_a_number_and_a_weight(text, right):
    one = Rule(Program.parse(text), {"lr": 0.1})
    found = module_of(source(one, name="Found")).Found
    ways: list[dict[str, bool]] = [{"compile": False}, {"compile": False, "foreach": False}]
    for way in [{}, *ways] if text in COMPILED else ways:
        param = torch.nn.Parameter(torch.ones(1))
        param.grad = torch.tensor([0.5])
        found([param], **way).step()
        assert param.item() == pytest.approx(right, rel=1e-6), way
    assert_same_bits(one)


@settings(
    max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(retyped(["u", "w", "s", "m", "k", "part1"]))
def test_any_rule_whose_names_change(one):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same_bits(one, dtypes=(torch.float32,))


@pytest.fixture(scope="module")
def refused() -> set[str]:
    """Words that no hyperparameter of a file can be called, each of which is refused in one line that names it."""
    messages = {}
    for word in WORDS:
        try:
            source(Rule(Program.parse(f"theta = theta - lr*{word}*g"), {word: 0.5}))
        except UserError as error:
            messages[word] = str(error)
    assert all(re.fullmatch(f"hyperparameter '{word}' has .*: rename it.*", said) for word, said in messages.items())
    return set(messages)


def test_few_names_are_refused(refused):
    assert refused == (RESERVED | TAKEN) & set(WORDS)


@pytest.mark.parametrize(("line", "last"), ROLES.values(), ids=ROLES)
def test_any_name_in_any_role(line, last, refused):
    hyper = not line
    names = [word for word in WORDS if not hyper or word not in refused]
    for at in range(0, len(names), TOGETHER):
        some = names[at : at + TOGETHER]
        lines = [line.format(name) for name in some] if line else []
        program = Program.parse("\n".join([*lines, last.format(sum=" + ".join(some))]))
        assert set(some) <= {*program.hyper_names} if hyper else set(some) <= program.assigned
        assert_same_bits(Rule(program, dict.fromkeys(program.hyper_names, 0.25)), dtypes=(torch.float32,))

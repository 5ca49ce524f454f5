"""Exported files: the same bits as ``symevo.Optimizer``, in code that formatters and linters have nothing to say to."""

from __future__ import annotations

import ast
import json
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from export_files import module_of
from hypothesis import HealthCheck, Phase, given, settings
from strategies import rules

from symevo.errors import UserError
from symevo.genomes.expression.genome import Expression
from symevo.genomes.term_sum.genes import PUBLISHED
from symevo.genomes.term_sum.genome import TermSum
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.custom_primitives import primitive
from symevo.rules.export.writer import source
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.program import Program
from symevo.rules.rule import Rule, rule

SHAPES = ((3, 5), (7,), (), (2, 3, 2))
STEPS = 6
ODD = {
    "bounds that are tensors": "theta = theta - lr*clip(0.5, -abs(g), 2)",
    "bounds that are numbers": "theta = theta - lr*(clip(g, -1, 1) + clip(g, 0, 1) + clip(g, -c, 1))",
    "maximum with a literal": "theta = theta - lr*maximum(g, 0.5)*minimum(2, g)*maximum(0, g)",
    "two literals to choose from": "theta = theta - lr*where(g > 0.1, 1, 0.3)",
    "a choice in a choice": "theta = theta - lr*where(g > 0.1, g, where(t > 2, 0.3, -0.1))",
    "no numbers": "theta = theta - g",
    "no gradient": "theta = 0.5*theta",
    "theta kept": "old = theta\ntheta = theta - lr*g\ntheta = old - 0.5*(old - theta)",
    "state kept": "old = m\nm = 0.9*m + g\ntheta = theta - lr*(m - old)",
    "state that is a number": "m = 2*t\ntheta = theta - lr*g*m",
    "state that multiplies itself": "m = m*m + g/m\ntheta = theta*lr - g",
    "scalar state": "s = s + 1\ntheta = theta - lr*g/s",
    "scalar state read first": "a = g/s\ns = s + 1\ntheta = theta - lr*where(t > 1, a, g)",
    "scalar that changes": "mu = mu + 0.5\na = g/mu\nmu = 0.7*mu\nb = g/mu\ntheta = theta - lr*(a + b)",
    "powers": "a = g**3 + 2**g + abs(g)**c + g**-1 + g**0.5\ntheta = theta - lr*a",
    "quotients": "h = 1 + abs(g)\ntheta = theta - lr*(1/h)*(c/h)*(3/h)*(-2/h)*(g/-3)*(g/c)",
    "protected forms": "theta = theta - lr*signed_log(g + 1)*ratio(g, theta + g)*root(g*g - 1)*bounded_exp(square(g))",
    "no real number": "a = sqrt(0 - 1)\nb = 1/0\ntheta = theta - lr*g*a/b",
    "scalars that would raise": "a = exp(1000) + log(0) + 2**5000 + (-8)**0.3\ntheta = theta - lr*where(a > 3, 0, 1)*g",
    "names of Python": "max = 0.9*max + g\nlen = max*2\nzip = len\ntheta = theta - lr*zip",
    "names of the file": "torch = 0.9*torch + g\nwide = torch\nnumbers = wide\nrows = numbers\ntheta = theta - lr*rows",
    "ambiguous names": "l = 0.9*l + g\nO = l\nI = O\ntheta = theta - lr*I",
    "names that plurals and numbers have": "ms = 0.9*ms + g\nm = 0.5*m + ms\n"
    "k1 = m*where(m > 0, 1, 2)*where(ms > 0, m, ms)\none_minus_c = 0.3\ntheta = theta - lr*k1*(1 - c)*one_minus_c",
    "long names": "a_very_long_name_for_a_state_of_a_rule = 0.9*a_very_long_name_for_a_state_of_a_rule + g\n"
    "a_very_long_name_for_another_one_of_it = where(a_very_long_name_for_a_state_of_a_rule > g,"
    " a_very_long_name_for_another_one_of_it, g)\ntheta = theta - lr*a_very_long_name_for_another_one_of_it",
    "T": "theta = theta - lr*g*(1 - t/T)",
}


def parameters(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    stream = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=stream).to(dtype)) for shape in SHAPES]


def trained(optimizer: torch.optim.Optimizer, params: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """After steps with gradients of many sizes, zeros among them, one missing now and then."""
    stream = torch.Generator().manual_seed(1)
    for step in range(STEPS):
        for param in params:
            param.grad = (torch.randn(param.shape, generator=stream) * 10.0 ** (step % 4 - 2)).to(param.dtype)
            if step % 3 == 0:
                param.grad.view(-1)[0] = 0
        if step == 2:
            params[1].grad = None
        optimizer.step()
    return [param.detach().clone() for param in params]


def arguments(one: Rule) -> dict:
    return {"total_steps": STEPS} if "T" in one.program.reads or not one.schedule.is_constant else {}


def assert_same_bits(one: Rule, *, dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16)) -> str:
    """Both ways that are not compiled give what ``symevo.Optimizer`` gives; returns the file."""
    text = source(one, name="Found")
    found = module_of(text).Found
    for dtype in dtypes:
        params = parameters(dtype)
        expected = trained(Optimizer(params, one, compile=False, **arguments(one)), params)
        for foreach in (False, True):
            params = parameters(dtype)
            got = trained(found(params, compile=False, foreach=foreach, **arguments(one)), params)
            for a, b in zip(expected, got, strict=True):
                torch.testing.assert_close(b, a, rtol=0, atol=0, equal_nan=True, msg=f"{one.program.text}, {foreach}")
    return text


def assert_tidy(texts: list[str], folder: Path) -> None:
    """Ruff would change nothing, and pyflakes and pycodestyle say nothing."""
    for index, text in enumerate(texts):
        (folder / f"found{index}.py").write_text(text)
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--no-cache", "--line-length", "120", str(folder)]
    for command in (["format", "--diff"], ["check", "--select", "E,W,F,I"]):
        done = subprocess.run([*ruff, *command, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_classic(tmp_path):
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    assert_tidy([assert_same_bits(CLASSICS.get(name), dtypes=dtypes) for name in CLASSICS], tmp_path)


def test_float64_agrees_up_to_the_last_digits_of_a_power():
    one = CLASSICS.get("adamw")
    params = parameters(torch.float64)
    expected = trained(Optimizer(params, one, compile=False), params)
    params = parameters(torch.float64)
    got = trained(module_of(source(one, name="Found")).Found(params, compile=False), params)
    for a, b in zip(expected, got, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-14, atol=1e-15)


def test_the_published_winner(tmp_path):
    genome = TermSum("paper")
    winner = genome.express(genome.individual(**PUBLISHED))
    assert winner.schedule.warmup == 100
    assert_tidy([assert_same_bits(winner)], tmp_path)


@pytest.mark.parametrize("genome", [TermSum(), Expression()], ids=["term-sum", "expression"])
def test_random_rules_of_the_genomes(genome, tmp_path):
    random.seed(3)
    texts = []
    for index in range(30):
        individual = genome.create()
        for _ in range(index % 5):
            (individual,) = genome.mutate(individual, progress=0.5)
        texts.append(assert_same_bits(genome.express(individual), dtypes=(torch.float32,)))
    assert_tidy(texts, tmp_path)


def test_odd_rules(tmp_path):
    texts = []
    for text in ODD.values():
        program = Program.parse(text)
        texts.append(assert_same_bits(Rule(program, dict.fromkeys(program.hyper_names, 0.3))))
    assert_tidy(texts, tmp_path)


@settings(
    max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(rules(depth=5, lines=5))
def test_any_rule(one):
    one = one.with_hyper(lr=abs(one.lr))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same_bits(one, dtypes=(torch.float32,))


@pytest.mark.parametrize("name", [name for name in PRIMITIVES if PRIMITIVES.get(name).kind == "function"])
def test_every_primitive(name):
    row = PRIMITIVES.get(name)
    both = [("g > 0.1", "t > 2")] if name == "where" else [("theta", "t*c")]
    rest = ["g", "lr", "c"][: row.arity - 1]
    for tensor, scalar in both:
        text = f"a = {name}({', '.join([tensor, *rest])})\nb = {name}({', '.join([scalar, 'c', 'lr'][: row.arity])})"
        program = Program.parse(f"{text}\ntheta = theta - lr*(a + b)")
        assert_same_bits(Rule(program, dict.fromkeys(program.hyper_names, 0.3)), dtypes=(torch.float32,))


def test_the_header_has_the_rule_and_what_is_known_of_it():
    one = CLASSICS.get("nadam")
    about = {"run": "runs/a b\n\"\"\"'''", "tasks": {"digits-mlp": 0.5}}
    text = source(one, about=about)
    head = text.split("\nfrom __future__")[0]
    comments = [line[2:] for line in head.split("\n") if line.startswith("# ")]
    at = comments.index("The rule, as symevo.rule takes it:")
    assert rule(json.loads("".join(comments[at + 1 :]))) == one
    said = dict(line.split(": ", 1) for line in comments[:at])
    assert {key: json.loads(value) for key, value in said.items() if key in about} == about
    (one_class,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
    assert "θ_t = θ_{t-1} - η" in (ast.get_docstring(one_class) or "")


def test_a_hostile_name_stays_a_comment(tmp_path):
    evil = 'x"""\'\'\'\\"; import os #'
    one = Rule(Program.parse("theta = theta - lr*g"), {}, name=evil)
    text = source(one, name="Found", about={"run": 'a"""\nraise SystemExit\u202e' * 30})
    assert [type(node).__name__ for node in ast.parse(text).body][:2] == ["Expr", "ImportFrom"]
    assert "raise SystemExit\n" not in text
    assert "\u202e" not in text
    assert_same_bits(one)
    assert_tidy([text, source(one)], tmp_path)


def test_only_what_a_rule_needs_is_in_its_file():
    sgd, nadam = source(CLASSICS.get("sgd")), source(CLASSICS.get("nadam"))
    for words in ("_zeros", "_tensor(", "_schedule", "total_steps", "_float64", "math"):
        assert words not in sgd
    assert "mu_product" in nadam
    assert "split_decay" in sgd
    assert "split_decay" not in source(CLASSICS.get("rprop"))
    for text in (sgd, nadam):
        assert not re.search(r"\b(exec|eval|symevo\.(?!rule))\b", text.split("from __future__")[1])
        for name in re.findall(r"^def (\w+)", text, re.M):
            assert name == "split_decay" or len(re.findall(rf"\b{name}\b", text)) > 1, name


def test_weight_decay_is_told_coupled_or_decoupled():
    assert "decoupled, a step of its own" in source(CLASSICS.get("adamw"))
    assert "coupled, as a part of the gradient" in source(CLASSICS.get("adam"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("theta = theta", "changes no weight"),
        ("theta = theta - lr*super*g", "'super' has a name that the exported class uses"),
        ("theta = theta - lr*compile*g", "'compile' has the name of an argument"),
    ],
)
def test_rules_that_no_file_can_have(text, message):
    program = Program.parse(text)
    with pytest.raises(UserError, match=message):
        source(Rule(program, dict.fromkeys(program.hyper_names, 1.0)))


@pytest.mark.parametrize("name", ["class", "a b", "", "Tensor", "list", "_Hidden", "split_decay", "É", "A" * 61, "a.b"])
def test_names_that_no_class_can_have(name):
    with pytest.raises(UserError, match=r"give (letters|another name)"):
        source(CLASSICS.get("sgd"), name=name)


def test_own_names_of_classes():
    assert "class RmspropCenteredMomentum(torch" in source(CLASSICS.get("rmsprop-centered-momentum"))
    for name, expected in (("any", "AnyOptimizer"), ("3d", "Rule3d"), ("θ", "Rule")):
        one = Rule(Program.parse("theta = theta - lr*g"), name=name)
        assert f"class {expected}(torch" in source(one)


def test_primitives_of_the_users_own_come_along():
    @primitive(sympy=lambda x: x / (1 + abs(x)))
    def softsign(x):
        return x / (1 + abs(x))  # a comment

    one = rule("theta = theta - lr*softsign(g)*softsign(t)", lr=0.1)
    text = assert_same_bits(one)
    assert "def softsign(x):\n    return x / (1 + abs(x))  # a comment\n" in text
    assert "@primitive" not in text


def test_primitives_that_need_more_than_torch_are_named():
    steep = 3.0

    @primitive(numpy=lambda x: 3.0 * x, sympy=lambda x: 3 * x)
    def steeper(x):
        return steep * x

    with pytest.raises(UserError, match="primitive 'steeper' cannot be exported: it reads steep from outside"):
        source(rule("theta = theta - lr*steeper(g)"))
    namespace: dict = {"__name__": "__main__"}
    exec("def nowhere(x):\n    return x * 2", namespace)
    primitive(namespace["nowhere"])
    with pytest.raises(UserError, match="primitive 'nowhere' cannot be exported: its text is not in a file"):
        source(rule("theta = theta - lr*nowhere(g)"))

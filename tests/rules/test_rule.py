"""Rules as data: JSON both ways, hostile JSON, messages about hyperparameters."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import rules

from symevo.errors import RuleError, UserError
from symevo.rules.classic import CLASSICS
from symevo.rules.hyper import RESERVED
from symevo.rules.program import Program
from symevo.rules.rule import Rule, RuleWarning, rule
from symevo.rules.schedule import Schedule

TEXT = "m = beta1*m + (1 - beta1)*g\ntheta = theta - lr*m/(abs(m) + eps)"


@settings(max_examples=100, deadline=None)
@given(rules(lines=5))
def test_json_round_trip_is_exact(made):
    again = Rule.from_json(json.loads(json.dumps(made.to_json(), allow_nan=False)))
    assert again == made
    assert again.identity == made.identity
    assert again.to_json() == made.to_json()
    assert hash(again) == hash(made)


@pytest.mark.parametrize("name", list(CLASSICS))
def test_classics_round_trip(name):
    classic = CLASSICS.get(name)
    assert Rule.from_json(classic.to_json()) == classic
    assert classic.name == name
    assert pickle.loads(pickle.dumps(classic)) == classic
    assert copy.deepcopy(classic) == classic


GOOD = {"schema": 1, "name": "x", "program": ["theta = theta - lr*a*g"], "hyper": {"a": 1.0, "lr": 0.1},
        "schedule": {"warmup": 10, "decay": "cosine"}}  # fmt: skip
NESTED: list = []
for _ in range(5000):
    NESTED = [NESTED]


def test_the_good_one_is_read():
    assert Rule.from_json(GOOD).hyper == {"a": 1.0, "lr": 0.1}


HOSTILE = [
    {"schema": 2}, {"schema": "1"}, {"schema": True}, {"schema": None}, {"extra": 1}, {3: 1},
    {"program": None}, {"program": "theta = g"}, {"program": []}, {"program": [1]},
    {"program": [["theta = g"]]},
    {"program": ["__import__('os')"]}, {"program": ["theta = g"] * 1000}, {"program": {"theta": "g"}},
    {"hyper": None}, {"hyper": []}, {"hyper": {"a": "1"}}, {"hyper": {"a": None}}, {"hyper": {"a": [1]}},
    {"hyper": {"a": True}}, {"hyper": {"a": float("nan")}}, {"hyper": {"a": float("inf")}}, {"hyper": {}},
    {"hyper": {"a": 10**400}}, {"hyper": {"a": 1.0, "b": 2.0}}, {"hyper": {"a": NESTED}},
    {"schedule": None}, {"schedule": []}, {"schedule": {"warmup": -1}}, {"schedule": {"warmup": 1.5}},
    {"schedule": {"warmup": "3"}}, {"schedule": {"warmup": float("nan")}}, {"schedule": {"decay": []}},
    {"schedule": {"warmup": float("inf")}}, {"schedule": {"warmup": 10**5000}},
    {"schedule": {"warmup": True}},
    {"schedule": {"decay": "exec"}}, {"schedule": {"speed": 1}}, {"name": 3}, {"name": "x" * 101},
    {"name": "\x1b[2J"}, {"name": "a\nb"}, {"name": None},
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_json_is_refused(change):
    with pytest.raises(UserError) as error:
        Rule.from_json({**GOOD, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [None, 3, "x", [], {}, {"rule": {}}, {"hyper": {}}])
def test_what_is_no_rule_json_is_refused(data):
    with pytest.raises(RuleError):
        Rule.from_json(data)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"program": NaN}', '{"program": 1e999}', '{"a": ' + "9" * 5000 + "}",
     "\x00", "null",
     json.dumps(GOOD).replace("1.0", "Infinity"), json.dumps(GOOD) + " " * (1 << 20) + "x"],
    ids=range(10),
)  # fmt: skip
def test_hostile_files_are_refused(tmp_path, text):
    path = tmp_path / "rule.json"
    path.write_text(text)
    with pytest.raises(UserError):
        rule(path)


def test_files_are_read(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(GOOD))
    assert rule(path) == rule(str(path)) == Rule.from_json(GOOD)
    with pytest.raises(UserError, match="cannot read rule file"):
        rule(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match=r"is not a run: it holds no run\.sqlite"):
        rule(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RuleError):
        rule(path)


def test_an_endless_file_ends():
    with pytest.raises(UserError):
        rule(Path("/dev/zero"))


def test_missing_hyperparameters_are_all_listed():
    with pytest.raises(RuleError, match="no value for beta1, eps"):
        rule(TEXT)
    with pytest.raises(RuleError, match="no value for eps:"):
        rule(TEXT, beta1=0.9)


def test_unknown_hyperparameters_name_the_nearest():
    with pytest.raises(RuleError, match=r"no hyperparameter 'beta'.*did you mean 'beta1'"):
        rule(TEXT, beta1=0.9, eps=1e-8, beta=0.5)
    with pytest.raises(RuleError, match="did you mean 'weight_decay'"):
        rule("adamw", weight_deacy=0.1)


def test_unknown_names_name_the_nearest():
    with pytest.raises(UserError, match=r"unknown rule 'adammw'.*did you mean 'adamw'"):
        rule("adammw")


@pytest.mark.parametrize("value", ["1", None, True, [1.0], 1j])
def test_values_are_numbers(value):
    with pytest.raises(RuleError, match="must be a number"):
        rule("adamw", weight_decay=value)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_hyperparameters_are_not_called_like_arguments(name, tmp_path):
    text = f"theta = theta - lr*{name}*g"
    data = {**GOOD, "program": [text], "hyper": {name: 0.5}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(data))
    given = [lambda: rule(text), lambda: rule(data), lambda: rule(path), lambda: Rule(Program.parse(text), {name: 0.5})]
    for make in given:
        with pytest.raises(RuleError, match=rf"hyperparameter '{name}' has .*: rename it, for example to {name}_1"):
            make()
    assert Rule(Program.parse(f"{name} = 0.9*{name} + g\ntheta = theta - lr*{name}")).states == (name,)


def test_every_argument_beside_hyperparameters_is_reserved():
    from symevo.rules.backends.optimizer import Optimizer
    from symevo.rules.export.writer import source

    written = source(Rule(rule("adamw").program, rule("adamw").hyper, Schedule(5)))
    (made,) = (node for node in ast.walk(ast.parse(written)) if getattr(node, "name", "") == "__init__")
    assert isinstance(made, ast.FunctionDef)
    arguments = {one.arg for one in (*made.args.args, *made.args.kwonlyargs)} - set(rule("adamw").hyper)
    for function in (rule, Rule.with_hyper, Optimizer.__init__):
        taken = [one for one in inspect.signature(function).parameters.values() if one.kind not in (0, 4)]
        arguments |= {one.name for one in taken} - {"lr"}
    assert arguments <= RESERVED


def test_numbers_that_are_not_finite_are_refused_from_every_source(tmp_path):
    text = "theta = theta - lr*g*9**9**9**9"
    data = {"schema": 1, "name": "x", "program": ["m = g", text], "hyper": {}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(data))
    for source, line in ((text, 1), (data, 2), (path, 2), (str(path), 2)):
        with pytest.raises(RuleError, match=rf"line {line}, column 25: 9\*\*9\*\*9 is inf"):
            rule(source)
    assert Rule.from_json(data).lr == 1e-3  # a run may have recorded it


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("theta = theta - 0.01*g", ["lr"]),
        ("theta = theta - lr*theta", ["g"]),
        ("theta = 0.5*theta", ["lr", "g"]),
        ("u = lr*g\ntheta = theta - u", []),
        ("m = 0.9*m + g\ntheta = theta - lr*m", []),
        ("theta = theta - n\nn = s\ns = lr*g", []),  # two steps later
        ("u = lr\nu = 0.1\ntheta = theta - u*g", ["lr"]),
        ("theta = theta - lr*0.1\nm = m + g", ["g"]),
    ],
)
def test_a_rule_that_does_not_read_lr_or_the_gradient_is_warned_of(text, missing):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rule(text)
    assert all(one.category is RuleWarning for one in said)
    assert [re.match(r"theta does not depend on (\w+), so ", str(one.message))[1] for one in said] == missing  # type: ignore[index]


def test_sources_of_a_rule():
    classic = rule("adamw")
    assert rule(classic) is classic
    assert rule(classic.to_json()) == classic
    assert rule("adamw", lr=0.5).lr == 0.5
    assert rule("adamw", name="mine").name == "mine"
    assert classic.lr == 1e-3
    assert rule(TEXT, beta1=0.9, eps=1e-8).hyper == {"beta1": 0.9, "eps": 1e-8, "lr": 1e-3}


def test_identity_counts_numbers_and_schedule_and_not_the_name():
    first = rule("adamw")
    assert first.identity == rule("adamw", name="other").identity
    assert first.identity != rule("adamw", eps=2e-8).identity
    assert first.identity != Rule(first.program, first.hyper, Schedule(5)).identity
    assert first.key == rule("adamw", eps=2e-8).key


def test_schedule_factors():
    schedule = Schedule(4, "cosine")
    assert [float(schedule.factor(s, 8)) for s in (0, 4, 7, 100)] == pytest.approx(
        [0.25, 0.5, schedule.factor(7, 8), schedule.factor(7, 8)]
    )
    assert Schedule(0.5, "linear").factor(1, 4) == pytest.approx(0.75)
    assert Schedule().is_constant


def test_rules_need_no_torch():
    code = (
        "import sys, symevo, symevo.rules.classic, symevo.rules.printing.symbolic as s; r = symevo.rule('adamw'); "
        "r.key, s.unicode(r); sys.exit('torch' in sys.modules or 'deap' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


def test_a_rule_prints_its_equations():
    made = Rule(rule("lion").program, rule("lion").hyper, Schedule(0.05, "cosine"), "mine")
    assert str(made).startswith(made.unicode())
    assert "0.05·T steps × cosine decay" in str(made)
    assert str(made).endswith("\nbeta1 = 0.9, beta2 = 0.99, weight_decay = 0, lr = 0.0001")
    assert repr(made) == "Rule('mine', 'theta = theta - lr*(u + weight_decay*theta)')"
    assert str(made.schedule) == "warmup 0.05, decay cosine"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_a_hyperparameter_that_is_not_finite_is_refused(value):
    with pytest.raises(RuleError, match=r"lr must be a finite number, not (nan|inf)"):
        rule("theta = theta - lr*g", lr=value)


def test_numbers_of_numpy_are_numbers():
    assert rule("theta = theta - lr*g", lr=np.float32(0.5)).hyper == {"lr": 0.5}

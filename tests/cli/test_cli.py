"""The command line: exit codes, one-line errors, and what goes to which stream."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_doubles import FakeApi, FakeRun, refused

import symevo
from symevo import cli
from symevo.engines.scoop import supervisor
from symevo.errors import Interrupted, RunFailed, UserError
from symevo.evolution import evolve as api
from symevo.evolution.planning import with_tasks
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.rule import Rule, rule
from symevo.settings.model import Settings

SMALL = ["--population", "4", "--generations", "2", "--elites", "1", "--tournament", "2", "--steps", "3"]


def test_flags_become_settings(fake: FakeApi, here: Path) -> None:
    (here / "a.toml").write_text("steps = 11\npopulation = 20")
    argv = ["run", "term-sum", "--config", "a.toml", "--population", "10", "--tasks", "digits-mlp, quadratic"]
    assert cli.main([*argv, "--seed-rules", "adam", "--seed-rules", "theta = theta - lr*sign(g)", "--quiet"]) == 0
    (what, settings), *_ = fake.calls
    assert what == "start"
    assert (settings.steps, settings.population) == (11, 10)
    assert settings.tasks == ("digits-mlp", "quadratic")
    assert [one["name"] for one in settings.seed_rules] == ["adam", "rule"]


def test_tasks_that_are_said_apart_are_joined(fake: FakeApi) -> None:
    assert cli.main(["run", "--tasks", "digits-mlp", "--tasks", "quadratic", "--quiet"]) == 0
    assert fake.calls[0][1].tasks == ("digits-mlp", "quadratic")


@pytest.mark.usefixtures("here")
def test_resume_passes_only_what_was_said(fake: FakeApi) -> None:
    assert cli.main(["run", "--resume", "runs/a", "--workers", "3"]) == 0
    assert fake.calls == [("resume", {"workers": 3})]


def test_flags_of_a_search_over_rules(fake: FakeApi) -> None:
    argv = "run expression --loop nsga2 --primitives ema,sign --primitives root --max-depth 3 --max-size 9"
    assert cli.main([*argv.split(), "--max-states", "1", "--classics", "--backend", "interpreter", "--quiet"]) == 0
    settings = fake.calls[0][1]
    assert (settings.loop, settings.primitives) == ("nsga2", ("ema", "sign", "root"))
    assert (settings.max_depth, settings.max_size, settings.max_states) == (3, 9, 1)
    assert (settings.classics, settings.backend) == (True, "interpreter")
    assert cli.main(["run", "expression", "--islands", "4", "--migrate-every", "2", "--polish", "3", "--quiet"]) == 0
    settings = fake.calls[1][1]
    assert (settings.islands, settings.migrate_every, settings.polish, settings.classics) == (4, 2, 3, False)
    assert cli.main(["run", "--no-classics", "--quiet"]) == 0
    assert not fake.calls[2][1].classics


@pytest.mark.usefixtures("fake")
def test_one_rule_of_a_front_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "runs/fake", "--rank", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rank 2 of 2: fitness 0.8000, size 7, states 1\n")
    for words in ("equations\n     u_t = ", "     θ_t = ", "numbers\n     ", "program\n     u = "):
        assert words in out
    assert out.endswith("tree\n     sign\n     └─ mix 0.9\n        ├─ g\n        └─ g\n")
    assert cli.main(["show", "runs/fake", "--rank", "2", "--latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\begin{aligned}")
    assert cli.main(["show", "runs/fake", "--rank", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rank": 2}


@pytest.mark.usefixtures("fake")
def test_a_report_says_what_became_of_the_proposals(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "\n8 proposals: 50 % trained, 50 % climbs, 0.4 % known\n" in out
    assert "operator      tried  valid  improved\nmutate_hoist  1,200      4         1\n" in out


def test_json_is_one_object_and_nothing_else(fake: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--json"]) == 0
    out, _ = capsys.readouterr()
    assert json.loads(out)["system"] == "term-sum"
    assert cli.main(["show", "runs/fake", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluations"] == 4
    assert cli.main(["rules", "adamw", "--json"]) == 0
    assert Rule.from_json(json.loads(capsys.readouterr().out)) == rule("adamw")


def test_the_report_fits_80_columns(fake: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run"]) == 0
    out, _ = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "digits-deep" in out
    assert "θ_t = " in out
    assert "m = beta1*m + (1 - beta1)*g" in out
    capsys.readouterr()
    assert cli.main(["show", "runs/fake"]) == 0
    assert capsys.readouterr().out.split("use it")[0].splitlines()[1:-1] == out.split("use it")[0].splitlines()[1:-1]


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (UserError("no such thing; try another"), 2, "symevo: error: no such thing; try another\n"),
        (RunFailed("no candidate trained"), 1, "symevo: error: no candidate trained\n"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "symevo: error: ZeroDivisionError: by zero; SYMEVO_DEBUG=1 shows where\n",
        ),
        (Interrupted(Path("runs/x y")), 130, "go on with: symevo run --resume 'runs/x y'\n"),
        (KeyboardInterrupt(), 130, "nothing to go on with\n"),
        (SystemExit(3), 3, ""),
    ],
)
def test_ends_and_exit_codes(
    outcome: BaseException, code: int, words: str, fake: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.outcome = outcome
    assert cli.main(["run", "--quiet"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(words)
    assert err.count("\n") <= 1


def test_ctrl_c_while_resuming_names_the_run(fake: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    fake.outcome = KeyboardInterrupt()
    assert cli.main(["run", "--resume", "runs/a"]) == 130
    assert "symevo run --resume runs/a" in capsys.readouterr().err


def test_sigterm_ends_like_ctrl_c(fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(settings: Settings, *, progress: Any) -> FakeRun:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was lost")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(api, "start", killed)
    assert cli.main(["run", "--quiet"]) == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_debug_shows_the_traceback(
    fake: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMEVO_DEBUG", "1")
    fake.outcome = ZeroDivisionError("by zero")
    assert cli.main(["run", "--quiet"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_scoop_starts_the_pool_once_settings_are_checked(
    fake: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], int]] = []
    monkeypatch.setattr(supervisor, "supervise", lambda argv, workers: started.append((argv, workers)) or 7)
    refused(["run", "--scoop", "--population", "1"], capsys)
    assert started == []
    argv = ["run", "--scoop", "--workers", "3"]
    assert cli.main(argv) == 7
    assert started == [(argv, 3)]
    assert fake.calls == []
    monkeypatch.setattr(supervisor, "inside_scoop", lambda: True)
    assert cli.main([*argv, "--quiet"]) == 0
    assert fake.calls[0][1].engine == "scoop"


@pytest.mark.usefixtures("here")
def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [
        ("tasks", "digits-mlp"), ("rules", "adamw"), ("systems", "term-sum"), ("systems", "expression"),
        ("primitives", "root(x)"),
    ]  # fmt: skip
    for command, name in wanted:
        assert cli.main([command]) == 0
        out, err = capsys.readouterr()
        assert name in [line.partition(" ")[0] for line in out.splitlines()]
        assert err == ""


def test_tasks_of_the_users_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (
        "import torch, symevo\n"
        "x = torch.ones(4, 1)\n"
        "mine = symevo.Task('cli-test-line', model=lambda: torch.nn.Linear(1, 1), loss='mse',\n"
        "                   metric='loss', train=(x, x), validation=(x, x))\n"
    )
    (here / "cli_test_tasks.py").write_text(source)
    assert cli.main(["tasks", "--tasks-from", "cli_test_tasks.py"]) == 0
    assert "cli-test-line" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["--help"], ["run", "--help"], ["show", "--help"], ["rules", "--help"]])
def test_help_goes_to_standard_output(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    out, err = capsys.readouterr()
    assert "Usage: symevo" in out
    assert err == ""


@pytest.mark.parametrize("command", [[], ["run"], ["show"], ["tasks"], ["rules"], ["primitives"], ["systems"]])
def test_help_fits_80_columns(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("argv", [["--version"], ["run", "--version"]])
def test_version(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == f"{symevo.__version__}\n"


def test_the_summary_names_the_run_as_the_user_did(fake: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--out", "a/b"], ["--resume", "a/b"]):
        assert cli.main(["run", *argv, "--json", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)["run"] == "a/b"


def test_what_the_users_file_prints_is_no_task(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "cli_test_talks.py").write_text("print('hello')")
    assert cli.main(["tasks", "--tasks-from", "cli_test_talks.py"]) == 0
    out, err = capsys.readouterr()
    assert "hello" not in out
    assert err == "hello\n"


@pytest.mark.parametrize("module", ["symevo", "symevo.run"])
def test_help_as_a_module_is_quick_and_light(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Examples:" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "sympy", "numpy", "deap", "scoop"}


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_real_run_from_start_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["run", *SMALL, "--tasks", "quadratic", "--engine", "serial", "--backend", "eager", "--out", "a"]
    assert cli.main([*argv, "--json"]) == 0
    out, err = capsys.readouterr()
    assert {"system", "run", "seed", "best", "front", "evaluations", "generations"} <= set(json.loads(out))
    assert "gen 1/1" in err
    assert cli.main(["show", "a", "--latex"]) == 0
    assert "theta" in capsys.readouterr().out


OWN_PRIMITIVE = """
import symevo

@symevo.primitive(cost=5)
def cli_test_softsign(x):
    return x/(1 + abs(x))
"""


@pytest.fixture
def own_primitive(here: Path) -> Iterator[str]:
    (here / "cli_test_primitive.py").write_text(OWN_PRIMITIVE)
    yield "cli_test_primitive.py"
    PRIMITIVES.remove("cli_test_softsign")
    sys.modules.pop("symevo_plugin_cli_test_primitive", None)


def test_a_file_of_primitives_leaves_the_tasks_of_the_preset(own_primitive: str, fake: FakeApi) -> None:
    argv = ["--tasks-from", own_primitive, "--seed-rules", "theta = theta - lr*cli_test_softsign(g)", "--quiet"]
    assert cli.main(["run", "expression", "--preset", "quick", *argv]) == 0
    settings = fake.calls[0][1]
    assert settings.seed_rules[0]["program"] == ["theta = theta - lr*cli_test_softsign(g)"]
    assert with_tasks(settings, {}, print).tasks == ("digits-mlp",)
    recorded = settings.search_settings() | {"tasks": ["digits-mlp"]}
    PRIMITIVES.remove("cli_test_softsign")
    assert Settings.model_validate(recorded).seed_rules == settings.seed_rules  # a run is opened before its files


def test_primitives_of_the_users_own(own_primitive: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["primitives", "--tasks-from", own_primitive]) == 0
    assert "\ncli_test_softsign(x)" in capsys.readouterr().out
    assert cli.main(["rules", "theta = theta - lr*cli_test_softsign(g)", "--tasks-from", own_primitive]) == 0
    assert "η·cli_test_softsign(g_t)" in capsys.readouterr().out

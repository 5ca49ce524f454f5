"""Wrong use of the command line: one line, exit code 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_doubles import refused

from symevo.runs import Store
from symevo.settings.resolution import resolve


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run --tasks digits-mpl", "unknown task 'digits-mpl': did you mean 'digits-mlp'?"),
        ("run term-sun", "unknown system 'term-sun': did you mean 'term-sum'?"),
        ("run --preset papr", "unknown preset 'papr' for system 'term-sum'; choose from quick, default, paper"),
        ("run --populaton 8", "unknown flag '--populaton': did you mean '--population'?"),
        ("rnu", "unknown command 'rnu': did you mean 'run'?"),
        ("run --population many", "'--population'"),
        ("run --population", "--population"),
        ("run term-sum extra", "extra"),
        ("show", "RUN"),
        ("run --seed-rules adamq", "unknown rule 'adamq'"),
        ("run --seed-rules theta=theta-lr*nope(g)", "unknown function 'nope'"),
        ("run --population 1", "--population must be at least 2"),
        ("run --steps -5", "--steps must be at least 1, not -5"),
        ("run --population 3", "--elites 3 of population 3 leaves no room"),
        ("run --workers 1000000", "--workers must be at most 1,024, not 1000000"),
        ("run --tasks digits-mlp --tasks digits-mlp", "--tasks names digits-mlp twice"),
        (f"run --out {'x' * 5000}", "--out cannot be made (File name too long)"),
        ("run --out /proc/a", "/proc"),
        ("run --config /dev/zero", "--config /dev/zero is no regular file"),
        (f"run --resume {'x' * 5000}", "is not a run"),
        (f"show {'x' * 5000}", "is not a run"),
        ("run --workers 0", "--workers must be at least 1"),
        ("run --eval-timeout 0", "--eval-timeout must be more than 0"),
        ("run --time-budget soon", "is no length of time"),
        ("run --tasks ,", "--tasks must name at least one"),
        ("run --tasks cifar10-cnn", "cifar10"),
        ("run --tasks cifar10-cnn --data-dir nowhere", "--data-dir nowhere is no folder"),
        ("run expression --preset paper", "unknown preset 'paper' for system 'expression'; choose from quick, default"),
        ("run expression --max-size 5 --max-depth 6", "--max-size 5 contradicts max-depth 6: a tree of that depth"),
        ("run expression --max-size 2 --max-depth 1 --max-states 1", "--max-states 1 needs max-size 3 or more"),
        ("run expression --max-states 0 --primitives ema,last", "--max-states 0 contradicts primitives ema, last"),
        ("run expression --primitives emma", "--primitives: unknown primitive 'emma': did you mean 'ema'?"),
        ("run expression --primitives ,", "--primitives must name at least one"),
        ("run expression --seed-rules adadelta", "--seed-rules: genome expression cannot hold rule 'adadelta'; it"),
        ("run expression --loop nsga3", "unknown loop 'nsga3': did you mean 'nsga2'?"),
        ("run --max-depth 3", "--max-depth means nothing to system 'term-sum'"),
        ("run --backend compild", "unknown backend 'compild': did you mean 'compiled'?"),
        ("run --engine dask", "unknown engine 'dask': known: inline, process, scoop, serial"),
        ("run --engine serial --scoop", "--scoop and --engine serial exclude each other"),
        ("run --config nowhere.toml", "cannot read --config nowhere.toml"),
        ("run --tasks-from nowhere.py", "--tasks-from nowhere.py is no file"),
        ("run --resume nowhere", "nowhere is not a run"),
        ("run --stacking pile", "unknown stacking 'pile'"),
        ("show nowhere", "nowhere is not a run"),
        ("show nowhere --latex --json", "exclude each other"),
        ("rules adamq", "unknown rule 'adamq'"),
        ("rules --json", "need a rule"),
    ],
)
@pytest.mark.usefixtures("here")
def test_wrong_use_is_one_line_and_writes_nothing(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(line.split(), capsys)


def test_unknown_toml_key(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.toml").write_text("poplation = 3")
    assert "did you mean 'population'?" in refused(["run", "--config", "a.toml"], capsys)


@pytest.mark.parametrize("command", ["tasks", "run"])
def test_a_file_of_tasks_that_raises(command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "cli_test_raises.py").write_text("raise RuntimeError('two\\nlines')")
    line = refused([command, "--tasks-from", "cli_test_raises.py"], capsys)
    assert "cli_test_raises.py" in line
    assert "RuntimeError: two" in line


def test_output_folder_that_is_not_empty(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "full").mkdir()
    (here / "full" / "file").touch()
    assert "exists and is not empty" in refused(["run", "--out", "full"], capsys)


def test_resume_of_what_is_no_run_or_damaged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "empty").mkdir()
    (here / "broken").mkdir()
    (here / "broken" / "run.sqlite").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)
    assert "empty is not a run" in refused(["run", "--resume", "empty"], capsys)
    assert "corrupt" in refused(["run", "--resume", "broken"], capsys)
    assert "corrupt" in refused(["show", "broken"], capsys)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--population", "9"], "--population"),
        (["--tasks", "digits-cnn"], "--tasks"),
        (["--preset", "quick"], "--preset"),
        (["--seed-rules", "adam"], "--seed-rules"),
        (["--out", "elsewhere"], "--out"),
        (["--config", "a.toml"], "--seed"),
    ],
)
def test_resume_with_other_settings(
    flags: list[str], named: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a.toml").write_text("seed = 5")
    settings = resolve({"out": "a", "tasks": ["quadratic"], "device": "cpu", "steps": 3})
    tasks = [{"name": "quadratic", "stacking": "products", "rows": 8}]
    facts = {"search": settings.search_settings(), "execution": settings.execution_settings(), "tasks": tasks}
    Store.create(here / "a", facts).close()
    line = refused(["run", "--resume", "a", *flags], capsys)
    assert f"{named} cannot change on resume" in line


def test_a_file_whose_primitive_is_wrong(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "import symevo\n@symevo.primitive\ndef inverse(x):\n    return 1/x\n"
    (here / "cli_test_inverse.py").write_text(source)
    line = refused(["run", "expression", "--tasks-from", "cli_test_inverse.py"], capsys)
    assert "cli_test_inverse.py is refused: primitive 'inverse': torch gives inf at x = 0: " in line

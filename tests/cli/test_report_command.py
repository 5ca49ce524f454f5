"""``symevo report``: a page of every system's run that needs nothing besides itself; what is hostile is text in it."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cli_doubles import FakeApi, refused
from page_reader import Page

from symevo import cli
from symevo.cli.report import read_context
from symevo.evolution import evolve as api
from symevo.evolution.evolve import start as start_run
from symevo.reporting.html import baselines, layout, result, search
from symevo.reporting.html.layout import again
from symevo.reporting.html.parts import FigureWriter, text
from symevo.runs.run import Run
from symevo.settings.resolution import resolve

FEW = {"preset": "quick", "population": 4, "generations": 3, "elites": 1, "tournament": 2, "steps": 6, "seeds": 1,
       "threads": 1}  # fmt: skip
SYSTEMS: dict[str, dict[str, Any]] = {
    "term-sum": {"backend": "eager", "tasks": ["quadratic", "digits-mlp"]},
    "expression": {"backend": "eager", "elites": 0},
    "hyperparameters": {"backend": "eager", "rule": "adamw", "tune": ["lr", "beta1"], "schedule": "cosine"},
    "dynamic": {"system": "hyperparameters", "mode": "dynamic", "backend": "eager", "elites": 0},
    "gadam": {"backend": "eager", "elites": 0, "tournament": 1},
    "evograd": {},
}
SLOW = ("dynamic", "expression", "hyperparameters", "gadam", "evograd")
SECTIONS = {
    "term-sum": {"The front", "Learning rates that were tried", "Terms by generation"},
    "expression": {"The front", "Learning rates that were tried", "Primitives by generation"},
    "hyperparameters": {"Numbers that were tried"},
    "dynamic": {"The timetable", "On new networks", "The networks"},
    "gadam": {"The networks"},
    "evograd": {"On new networks", "The networks"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny finished run of each system, made when it is asked for."""
    folder = tmp_path_factory.mktemp("runs")

    class Made(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            settings = resolve({"system": name, **FEW, **SYSTEMS[name], "out": folder / name})
            self[name] = start_run(settings, engine="inline").path  # the real one, whatever a test puts in its place
            return self[name]

    return Made()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one to work in, with the user's own cache: what is compiled stays compiled."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(runs: dict[str, Path], folder: Path) -> Path:
    """A copy of a run of term-sum that a test may change."""
    return Path(shutil.copytree(runs["term-sum"], folder / "run"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections without their figures, which take most of the time."""
    monkeypatch.setattr(FigureWriter, "draw", lambda self, plot, name, *data, alt, **how: text(alt))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of few sections, with one figure."""
    monkeypatch.setattr(layout, "SECTIONS", (result.best, search.progress))


def reported(path: Path, *flags: str) -> Page:
    assert cli.main(["report", str(path), *flags]) == 0
    found = Page((path / "report.html").read_text(encoding="utf-8"))
    found.check()
    return found


def change(path: Path, query: str, *values: Any) -> None:
    with sqlite3.connect(path / "run.sqlite") as connection:
        connection.execute(query, values)
    connection.close()


@pytest.mark.usefixtures("undrawn", "folder")
@pytest.mark.parametrize(
    "name",
    [name if name in ("term-sum", "evograd") else pytest.param(name, marks=pytest.mark.slow) for name in SYSTEMS],
)
def test_every_system_has_a_page(name: str, runs: dict[str, Path]) -> None:
    path = Path(shutil.copytree(runs[name], "run"))
    found = reported(path)
    assert found.headings[0] == "Verdict"
    assert found.headings[-1] == "How to make it again"
    always = {"Fitness by generation", "Learning curves in the search", "Family tree of the best"}
    assert SECTIONS[name] | always <= set(found.headings)
    run = api.load(path)
    assert f"{run.best.fitness:.4f}" in found.text
    assert found.text.count(f"{run.summary()['evaluations']:,} evaluations, ") == 2, "its head, and the report as text"
    assert bool(found.all("math")) == (name != "evograd"), "what evograd finds are no equations"
    assert ("corrections beside plain Adam" in found.text) == (name == "evograd")


@pytest.mark.usefixtures("folder")
@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_figures_are_in_the_page_and_beside_it(name: str, runs: dict[str, Path]) -> None:
    path = Path(shutil.copytree(runs[name], "run"))
    found = reported(path)
    assert {"fitness-by-generation", "learning-curves-0"} <= {one.stem for one in (path / "figures").iterdir()}
    words = [one["aria-labelledby"] for one in found.all("svg")]
    assert words == [one["id"] for one in found.all("figcaption")]
    for name in (one.removesuffix("-words") for one in words):
        assert (path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (path / "figures" / f"{name}.svg").is_file()


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_command_makes_the_same_run(name: str, runs: dict[str, Path], fake: FakeApi, here: Path) -> None:
    """What decides the result is the same when the page's own command is read by the command line."""
    settings = Run(runs[name]).settings
    command, toml = again(settings)
    (here / "again.toml").write_text(toml, encoding="utf-8")
    assert cli.main([*shlex.split(command)[1:], "--quiet"]) == 0
    assert fake.calls[0][1].search_settings() == settings.search_settings()


@pytest.mark.usefixtures("undrawn")
def test_an_unfinished_run_says_how_to_go_on(run: Path) -> None:
    change(run, "DELETE FROM generations WHERE gen = 2")
    change(run, "DELETE FROM evaluations WHERE gen = 2")
    found = reported(run)
    assert "symevo run --resume run" in found.text
    assert "2 of 3 generations" in found.text


@pytest.mark.usefixtures("undrawn", "folder")
@pytest.mark.parametrize("name", ["gadam", "dynamic", "evograd"])
def test_networks_without_a_ranking_have_a_page(name: str, runs: dict[str, Path]) -> None:
    path = Path(shutil.copytree(runs[name], "run"))
    change(path, "DELETE FROM about WHERE key IN ('ranking', 'replays')")
    change(path, "DELETE FROM generations WHERE gen = 2")
    change(path, "DELETE FROM evaluations WHERE gen = 2")
    assert "symevo run --resume run" in reported(path).text


HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"'"


@pytest.mark.usefixtures("undrawn")
def test_what_is_hostile_is_text(run: Path) -> None:
    """A rule's and an operator's name, a version, a task of a comparison."""
    with sqlite3.connect(run / "run.sqlite") as connection:
        for gen, place, rule in connection.execute("SELECT gen, place, rule FROM evaluations").fetchall():
            named = json.dumps({**json.loads(rule), "name": HOSTILE})
            connection.execute(
                "UPDATE evaluations SET rule = ?, operator = ? WHERE gen = ? AND place = ?",
                (named, HOSTILE, gen, place),
            )
        versions = json.dumps({HOSTILE: HOSTILE, "control": "\x00\x1b[31m\u202e"})
        connection.execute("UPDATE about SET value = ? WHERE key = 'versions'", (versions,))
    connection.close()
    (run / "compare.json").write_text(json.dumps(comparison(HOSTILE)), encoding="utf-8")
    found = reported(run)
    assert found.text.count("alert(1)") > 5
    assert "\u202e" not in found.text
    assert "\x00" not in found.text


def comparison(name: str = "evolved", *, task: str | None = None) -> dict[str, Any]:
    """A comparison as ``symevo compare`` writes it."""
    entry = {
        "summary": {"tuned": {"mean": 0.97, "low": 0.96, "high": 0.98}, "own": {"mean": None}},
        "lr_decades": 0.75, "lr_curve": [[0.001, 0.9], [0.01, 0.97], [0.1, None]], "seconds_per_step": 1e-4,
        "curve": {"step": [1, 10, 20], "loss": [2.3, 0.5, None]}, "budget_curve": {"1": 0.8, "2": 0.9, "20": 0.97},
        "trials": [[{"score": 0.7}, {"score": 0.8}], [{"score": 0.8}, {"score": 0.9}]],
    }  # fmt: skip
    pair = {"first": name, "second": "adamw", "arm": "tuned", "mean": 0.0123, "low": 0.001, "high": 0.02, "wins": 9,
            "losses": 1, "ties": 0, "p": 0.01, "p_holm": 0.0457, "effect": 0.8, "words": "better"}  # fmt: skip
    return {
        "schema": 1, "kind": "comparison", "run": None, "seed": 0, "budget": "quick", "candidates": [name],
        "reference": "adamw", "score": "accuracy", "contestants": {name: {"role": "candidate"}},
        "profile": {name: {"ratio": [1.0, 3.0], "share": [0.5, 0.9]}, "adamw": {"ratio": [1.0], "share": [0.625]}},
        "overall": {name: "It gains as a rule, on one task of one."},
        "tasks": {task or name: {
            "held_out": True, "steps": 20, "trials": 7, "replicates": 10, "best_baseline": "adamw",
            "contestants": {name: entry, "adamw": entry}, "comparisons": [pair],
            "verdicts": {name: {"gain": "rule", "text": "Better than tuned AdamW."}},
        }},
    }  # fmt: skip


def test_a_comparison_is_the_verdict(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        layout,
        "SECTIONS",
        (result.verdict, result.best, baselines.scores, baselines.speed, baselines.tuning, baselines.sensitivity),
    )
    assert cli.main(["report", "run"]) == 0
    assert "symevo compare run" in (run / "report.html").read_text(encoding="utf-8")
    (run / "compare.json").write_text(json.dumps(comparison(task="digits-mlp")), encoding="utf-8")
    found = reported(run, "--force")
    assert found.headings[0] == "Verdict"
    sections = ["Against tuned baselines", "Speed over all tasks", "What tuning costs", "Learning-rate sensitivity"]
    assert found.headings[2:] == sections
    for words in ("It gains as a rule", "Better than tuned AdamW.", "0.0123", "0.0010 to 0.0200", "0.046", "0.75"):
        assert words in found.text
    assert "symevo compare" not in found.text
    assert (run / "figures" / "baselines.svg").is_file()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "[" * 100_000, '{"schema": 1, "kind": "comparison"}', json.dumps({**comparison(), "schema": 2}),
     json.dumps({**comparison(), "tasks": {"a": {"contestants": []}}}),
     json.dumps({**comparison(), "profile": {"a": {"ratio": [2, 1], "share": [0, 1]}}})],
    ids=["empty", "list", "object", "deep", "bare", "schema", "shape", "falling"],
)  # fmt: skip
def test_a_damaged_comparison_is_one_line(run: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (run / "compare.json").write_text(content, encoding="utf-8")
    assert "make it anew with symevo compare" in refused(["report", "run"], capsys)


@pytest.mark.usefixtures("short")
def test_places_of_the_page_and_the_figures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["report", "run", "-o", "pages/a.html", "--figures", "drawn"]
    assert cli.main(argv) == 0
    assert capsys.readouterr().out.splitlines() == ["report   pages/a.html", "figures  drawn"]
    assert not (run / "report.html").exists()
    assert {path.suffix for path in Path("drawn").iterdir()} == {".png", ".svg"}
    before = Path("pages/a.html").read_bytes()
    assert "pages/a.html exists" in refused(argv, capsys)
    assert "drawn/" in refused(["report", "run", "--figures", "drawn"], capsys)
    assert cli.main([*argv, "--force"]) == 0
    assert Path("pages/a.html").read_bytes() == before  # the same run makes the same page


@pytest.mark.usefixtures("undrawn")
def test_open_shows_the_page(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address) or False)
    assert cli.main(["report", "run", "--open"]) == 0
    assert shown == [(run / "report.html").absolute().as_uri()]
    assert "open the file yourself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["report", "nowhere"], "is not a run"),
        (["report", "."], "is not a run"),
        (["report", "run", "-o", "run"], "is a folder"),
        (["report", "run", "-o", "run/run.sqlite/a.html"], "name another place"),
        (["report", "run", "--rank", "2"], "unknown flag"),
    ],
)
@pytest.mark.usefixtures("run", "undrawn")
def test_wrong_use_is_one_line(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(argv, capsys)


def test_a_run_without_a_closed_generation_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run, "DELETE FROM generations")
    change(run, "DELETE FROM evaluations")
    assert "no finished candidate yet" in refused(["report", "run"], capsys)


def test_what_is_read_of_a_run(runs: dict[str, Path]) -> None:
    run = api.load(runs["term-sum"])
    context = read_context(run)
    winner = context.winner()
    assert (winner["identity"], winner["gen"]) == (run.best.identity, run.best.gen)
    assert winner["fitness"] == max(one["fitness"] for one in run.evaluations)
    assert not context.unfinished
    loss = context.loss(run.best.identity)
    rows = [rows[0]["loss"] for rows in context.outcomes[run.best.identity].values()]
    assert loss == pytest.approx(sum(rows) / 2)

"""Settings: where they come from, what they refuse, and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import symevo.settings.model
from symevo.errors import UserError
from symevo.settings.model import MODELS, ExecutionSettings, SearchSettings, Settings, seconds
from symevo.settings.resolution import resolve, resumed


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def recorded(settings: Settings) -> dict:
    return {**settings.search_settings(), **settings.execution_settings()}


def test_flags_beat_toml_beats_preset_beats_defaults(empty_folder: Path) -> None:
    toml = empty_folder / "search.toml"
    toml.write_text('preset = "paper"\npopulation = 20\nsteps = 7\neval-timeout = 5\n')
    settings = resolve({"steps": 9, "seed": None}, toml=toml)
    assert (settings.steps, settings.population, settings.eval_timeout) == (9, 20, 5.0)
    assert (settings.generations, settings.fitness, settings.seed) == (50, "paper", 42)
    assert settings.backend == SearchSettings.model_fields["backend"].default


def test_the_paper_preset_is_the_published_run() -> None:
    settings = resolve({"preset": "paper"})
    assert settings.tasks == ("fashion-cnn", "cifar10-cnn", "mnist-cnn")
    numbers = (settings.population, settings.generations, settings.steps, settings.seeds, settings.seed)
    assert numbers == (50, 50, 500, 2, 42)
    assert (settings.elites, settings.tournament, settings.fitness) == (3, 4, "paper")


@pytest.mark.parametrize(
    ("system", "preset"), [(system, preset) for system in MODELS for preset in MODELS.get(system).presets]
)
def test_every_preset_is_valid(system: str, preset: str) -> None:
    assert resolve({"system": system, "preset": preset}).preset == preset


def test_settings_fall_into_two_groups_and_survive_json() -> None:
    settings = resolve({"seed_rules": ["theta = theta - lr*g"], "time_budget": "90s"})
    assert set(Settings.model_fields) == set(SearchSettings.model_fields) | set(ExecutionSettings.model_fields)
    assert not set(SearchSettings.model_fields) & set(ExecutionSettings.model_fields)
    assert Settings.model_validate(recorded(settings)) == settings


def test_seed_rules_are_recorded_as_rules_not_as_names() -> None:
    by_name, by_text = resolve({"seed_rules": ["adamw", "theta = theta - lr*sign(g)"]}).seed_rules
    assert by_name["hyper"]["weight_decay"] == 0.01
    assert by_text["program"] == ["theta = theta - lr*sign(g)"]


@pytest.mark.parametrize(
    ("text", "wanted"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("45", 45), ("1.5m", 90)]
)
def test_lengths_of_time(text: str, wanted: float) -> None:
    assert seconds(text) == wanted
    assert resolve({"time_budget": text}).time_budget == wanted


@pytest.mark.parametrize("text", ["", "soon", "3 weeks", "-5m", "m", "1m1h"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UserError, match="1h30m"):
        seconds(text)


@pytest.mark.parametrize(
    ("flags", "engine", "workers"),
    [
        ({}, "process", 4),
        ({"workers": 1}, "serial", 1),
        ({"workers": 3}, "process", 3),
        ({"engine": "serial"}, "serial", 1),
        ({"engine": "process", "workers": 1}, "process", 1),
        ({"engine": "scoop"}, "scoop", 4),
    ],
)
def test_all_cores_work_unless_told_otherwise(
    flags: dict, engine: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symevo.settings.model, "usable_cores", lambda: 4)
    settings = resolve(flags)
    assert (settings.engine, settings.workers) == (engine, workers)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"population": 1}, "population must be at least 2, not 1"),
        ({"population": 3}, "elites 3 of population 3 leaves no room"),
        ({"population": 3, "elites": 1}, "tournament 4 draws more than"),
        ({"population": True}, "population must be a whole number"),
        ({"population": 8.5}, "population must be a whole number"),
        ({"generations": 0}, "generations must be at least 1"),
        ({"steps": -5}, "steps must be at least 1, not -5"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"rows": 0}, "rows must be at least 1"),
        ({"eval_timeout": 0}, "eval_timeout must be more than 0"),
        ({"eval_timeout": float("nan")}, "eval_timeout must be a"),
        ({"time_budget": "soon"}, "is no length of time"),
        ({"time_budget": "0s"}, "time_budget must be more than 0"),
        ({"preset": "papr"}, "unknown preset 'papr' for system 'term-sum'; choose from quick, default, paper"),
        ({"preset": 3}, "preset must be text"),
        ({"mutation": 0.5}, "mutation means nothing to system 'term-sum': leave it out"),
        ({"system": "gadam", "mutation": 2}, "mutation must be at most 1"),
        ({"engine": "inline", "workers": 2}, "engine inline has one worker"),
        ({"engine": "serial", "workers": 2}, "engine serial has one worker"),
        ({"device": "tpu"}, "device must be 'auto', 'cpu' or 'cuda'"),
        ({"tasks": []}, "tasks must name at least one"),
        ({"tasks": ["a", "b", "a"]}, "tasks names a twice"),
        ({"tasks": "a"}, "tasks must be a list"),
        ({"tasks_from": ["nowhere.py"]}, "tasks_from nowhere.py is no file"),
        ({"data_dir": "nowhere"}, "data_dir nowhere is no folder"),
        ({"seed_rules": ["adamq"]}, "seed_rules: unknown rule 'adamq': did you mean"),
        ({"seed_rules": ["theta = theta - lr*gg*"]}, "seed_rules: line 1"),
        ({"seed_rules": ["nowhere.json"]}, "cannot read rule file nowhere.json"),
        ({"system": 3}, "system must be text"),
        ({"population": 10**9}, "population must be at most 1,000,000, not 1000000000"),
        ({"generations": 10**9}, "generations must be at most 1,000,000"),
        ({"steps": 10**12}, "steps must be at most 10,000,000"),
        ({"seeds": 10**6}, "seeds must be at most 10,000"),
        ({"workers": 10**6}, "workers must be at most 1,024"),
        ({"threads": 10**6}, "threads must be at most 1,024"),
        ({"rows": 10**9}, "rows must be at most 1,000,000"),
        ({"seed": 10**30}, "seed must be less than 9,223,372,036,854,775,808"),
        ({"out": "x" * 5000}, "out cannot be made (File name too long)"),
        ({"populaton": 3}, "unknown setting 'populaton': did you mean 'population'?"),
    ],
)
def test_wrong_settings_are_one_line_that_says_what_would_be_right(flags: dict, words: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(flags)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("populaton = 3", "unknown setting 'populaton' in search.toml: did you mean 'population'?"),
        ("population = ", "--config search.toml is not TOML"),
        ("population = '8'", "population must be a whole number"),
        ("a = " + "[" * 100_000, "--config search.toml is not TOML"),
        ("a = " + "1" * 10_000, "--config search.toml is not TOML"),
        ("[search]\nsteps = 3", "unknown setting 'search' in search.toml"),
    ],
)
def test_wrong_toml(text: str, words: str, empty_folder: Path) -> None:
    (empty_folder / "search.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        resolve({}, toml=Path("search.toml"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_toml_may_begin_with_a_byte_order_mark(empty_folder: Path) -> None:
    (empty_folder / "search.toml").write_bytes(b"\xef\xbb\xbfpopulation = 12\n")
    assert resolve({}, toml=Path("search.toml")).population == 12


def test_toml_that_is_not_there_or_is_not_text(empty_folder: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read --config search\.toml"):
        resolve({}, toml=Path("search.toml"))
    (empty_folder / "search.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not text"):
        resolve({}, toml=Path("search.toml"))


def test_a_configuration_is_a_small_regular_file(empty_folder: Path) -> None:
    os.mkfifo("pipe")
    Path("big.toml").write_bytes(b"#" * 2_000_000)
    for path, words in [("pipe", "no regular file"), ("/dev/zero", "no regular file"), (".", "no regular file")]:
        with pytest.raises(UserError, match=words):
            resolve({}, toml=Path(path))
    with pytest.raises(UserError, match="more than 1,000,000 bytes"):
        resolve({}, toml=Path("big.toml"))


def test_nothing_is_written(empty_folder: Path) -> None:
    resolve({})
    assert list(empty_folder.iterdir()) == []


def test_output_folder(empty_folder: Path) -> None:
    full = empty_folder / "full"
    full.mkdir()
    assert resolve({"out": "full"}).out == full  # empty still
    (full / "file").touch()
    with pytest.raises(UserError, match=r"^out full exists and is not empty"):
        resolve({"out": "full"})
    with pytest.raises(UserError, match="is a file"):
        resolve({"out": "full/file"})


def test_default_output_folder_is_new(empty_folder: Path) -> None:
    first = resolve({}).out
    assert first is not None
    assert first.parent == empty_folder / "runs"
    first.mkdir(parents=True)
    assert resolve({}).out != first


def test_resume_keeps_what_decides_the_result() -> None:
    before = recorded(resolve({"population": 10, "out": "a"}))
    after = resumed(before, {"population": 10, "engine": "scoop", "workers": 3, "eval_timeout": 9.0})
    assert (after.engine, after.workers, after.eval_timeout, after.population) == ("scoop", 3, 9.0, 10)
    for name, value in [("population", 12), ("tasks", ["quadratic"]), ("seed_rules", ["adam"]), ("out", "b")]:
        with pytest.raises(UserError, match=f"^{name} cannot change on resume"):
            resumed(before, {name: value})


def test_resume_reads_settings_as_a_new_run_does() -> None:
    before = recorded(resolve({"seed_rules": ["adamw"], "out": "a", "device": "cpu"}))
    after = resumed(before, {"seed_rules": ["adamw"], "device": "auto", "out": "a"})
    assert after.device == "cpu"
    with pytest.raises(UserError, match="unknown setting 'worker': did you mean 'workers'"):
        resumed(before, {"worker": 2})


@pytest.mark.parametrize(
    ("start", "flags", "wanted"),
    [
        ({"engine": "process", "workers": 4}, {"engine": "serial"}, ("serial", 1)),
        ({"engine": "process", "workers": 4}, {"workers": 1}, ("serial", 1)),
        ({"engine": "serial"}, {"workers": 3}, ("process", 3)),
        ({"engine": "scoop", "workers": 2}, {"workers": 3}, ("scoop", 3)),
        ({"engine": "scoop", "workers": 2}, {}, ("scoop", 2)),
    ],
)
def test_resume_on_other_engines(start: dict, flags: dict, wanted: tuple[str, int]) -> None:
    after = resumed(recorded(resolve(start)), flags)
    assert (after.engine, after.workers) == wanted


def test_polishing_leaves_half_of_the_generations_to_search():
    with pytest.raises(UserError, match=r"polish 5 of generations 8 leaves too few to search: .* half of them, 4"):
        resolve({"system": "expression", "generations": 8, "polish": 5})
    assert resolve({"system": "expression", "generations": 2}).generations == 2  # the preset's 4 shrink


def test_settings_of_other_systems_have_their_defaults_and_are_not_recorded():
    settings = resolve({"system": "expression", "max_depth": 3})
    assert type(settings) is MODELS.get("expression")
    assert (settings.max_depth, settings.mode, settings.rule, settings.scale) == (3, "static", None, 1.0)
    assert {"max_depth", "polish"} <= settings.search_settings().keys()
    assert not {"mode", "rule", "noise"} & settings.search_settings().keys()
    with pytest.raises(AttributeError):
        settings.no_such_setting  # noqa: B018


def test_runs_that_recorded_the_settings_of_all_systems_still_load():
    now = resolve({"system": "gadam", "noise": "gaussian", "out": "a"})
    others = {"primitives": None, "max_depth": 7, "max_size": 24, "max_states": 2, "polish": 0, "tune": None,
              "mode": "static", "scale": 1.0}  # fmt: skip
    assert Settings.model_validate(recorded(now) | others) == now


def test_settings_of_a_system_whose_file_is_not_imported_load():
    before = recorded(resolve({"out": "a"})) | {"system": "mine", "own": 3}
    settings = Settings.model_validate(before)
    assert settings.own == 3
    assert settings.search_settings()["own"] == 3


OWN_SYSTEM = """
from typing import Annotated
from symevo.search.system import SYSTEMS, System
from symevo.settings.model import MODELS, Flag, Settings

@MODELS.register("config-own")
class Own(Settings):
    wildness: Annotated[int, Flag("How wild.", "N")] = 3

SYSTEMS.register("config-own", System("config-own", "one of the user's", lambda settings: None))
"""


def test_a_system_of_the_user_has_settings_and_flags_of_its_own(empty_folder: Path, capsys) -> None:
    from symevo import cli
    from symevo.search.system import SYSTEMS

    (empty_folder / "config_own_system.py").write_text(OWN_SYSTEM)
    try:
        file = ["--tasks-from", "config_own_system.py"]
        assert cli.main(["run", "config-own", *file, "--help"]) == 0
        assert "--wildness N" in capsys.readouterr().out
        assert cli.main(["systems", *file]) == 0
        assert "config-own" in capsys.readouterr().out
        said = {"tasks": ["quadratic"], "tasks_from": ["config_own_system.py"], "wildness": 5}
        settings = resolve({"system": "config-own", **said})
        assert resumed(recorded(settings), {"workers": 1}).wildness == 5
        assert cli.main(["run", "term-sum", *file, "--wildness", "4"]) == 2
        assert "--wildness means nothing to system 'term-sum'" in capsys.readouterr().err
    finally:
        MODELS.remove("config-own")
        SYSTEMS.remove("config-own")


@pytest.mark.parametrize("system", list(MODELS))
def test_help_shows_the_flags_of_the_system_and_no_others(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    from symevo import cli
    from symevo.settings.explain import flag
    from symevo.settings.model import all_fields

    assert cli.main(["run", system, "--help"]) == 0
    out = capsys.readouterr().out.partition("Options:")[2]
    shown = {name for name in all_fields() if f" {flag(name)} " in out}
    assert shown == set(MODELS.get(system).model_fields) - {"system"}

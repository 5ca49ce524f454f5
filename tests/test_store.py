"""The run store: what is written survives, and what is damaged is refused."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

from symevo.errors import UserError
from symevo.runs import FILE, Store
from symevo.settings.model import Settings
from symevo.training.job import OutcomeKey

_SETTINGS = Settings(
    tasks=("t",), seeds=1, population=2, generations=4, elites=0, tournament=1, engine="serial", workers=1
)
SETTINGS = {
    "search": _SETTINGS.search_settings(),
    "execution": _SETTINGS.execution_settings(),
    "tasks": [{"name": "t", "stacking": "products", "rows": 2}],
}
RECORD = {"gen": 0, "best": 1 / 3, "mean": 0.1, "evaluations": 1, "cached": 1, "seconds": 0.5, "elapsed": 0.5}
EVALUATION = {
    "gen": 0, "place": 0, "genome": {"a": 1}, "rule": {"program": []}, "identity": "x", "fitness": 0.1 + 0.2,
    "status": "ok", "reason": None, "per_task": {"t": 1 / 3}, "seconds": 1.5, "cached": 0, "parents": [[0, 1], [0, 2]],
    "operator": "random",
}  # fmt: skip
PEOPLE = [{"genome": {"a": 1}, "fitness": 0.1 + 0.2, "origin": [0, place]} for place in range(2)]
STEPS = _SETTINGS.steps
KEY = OutcomeKey("x", "t", 0, STEPS)
OUTCOME = {"status": "ok", "reason": None, "seconds": 0.5, "loss": 0.1 + 0.2}


def generation(gen):
    return {**RECORD, "gen": gen}, PEOPLE, [{**EVALUATION, "gen": gen, "place": place} for place in range(2)]


def stored(folder, generations=3):
    store = Store.create(folder, SETTINGS)
    store.save_trainings([(KEY, OUTCOME)])
    for gen in range(generations):
        store.close_generation(*generation(gen))
    store.close()
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def unprivileged():
    """A folder that may be made read-only, and no rights to write to it all the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        os.seteuid(os.getuid())


def test_everything_reads_back_exactly(tmp_path):
    again = Store.open(stored(tmp_path / "run", generations=1))
    assert again.about("settings") == SETTINGS
    assert again.training("x", "t", 0) == OUTCOME
    assert again.training("x", "t", 1) is None
    assert again.last_generation() == (RECORD, PEOPLE)
    assert list(again.evaluations()) == [EVALUATION, {**EVALUATION, "place": 1}]
    assert "torch" in again.about("versions")


def test_a_generation_is_written_whole_or_not_at_all(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    with pytest.raises(sqlite3.IntegrityError):  # the second evaluation takes the first one's place
        store.close_generation({"gen": 0}, [], [EVALUATION, EVALUATION])
    assert store.last_generation() is None
    assert list(store.evaluations()) == []


def test_trainings_are_there_for_another_connection_at_once(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.save_trainings([(KEY, OUTCOME)])
    assert Store.open(tmp_path / "run").training("x", "t", 0) == OUTCOME


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="not empty"):
        Store.create(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "file/run"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write a run to"):
        Store.create(tmp_path / name, SETTINGS)


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\1" * 5000])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError, match="corrupt or not a run"):
        Store.open(tmp_path)
    assert contents(tmp_path) == {FILE: content}


def test_a_foreign_database_is_refused_and_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("CREATE TABLE mine (a TEXT)")
    db.close()
    before = contents(tmp_path)
    with pytest.raises(UserError, match="corrupt or not a run"):
        Store.open(tmp_path)
    assert contents(tmp_path) == before


def test_a_truncated_file_is_refused(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.save_trainings([(OutcomeKey(str(i), "t", 0, STEPS), {**OUTCOME, "curve": [0.5] * 50}) for i in range(200)])
    store.close()
    path = tmp_path / "run" / FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(UserError, match="corrupt or not a run"):
        Store.open(tmp_path / "run")


def changed(part, **change):
    """SQL that records other settings."""
    facts = json.dumps({**SETTINGS, part: {**SETTINGS[part], **change}})
    return f"UPDATE about SET value = '{facts}' WHERE key = 'settings'"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE generations SET record = '{}'",
        "UPDATE generations SET record = json_replace(record, '$.best', 'high')",
        "UPDATE generations SET population = '[]'",
        "UPDATE generations SET population = '{}'",
        "UPDATE generations SET population = json_replace(population, '$[0].fitness', 9.0) WHERE gen = 2",
        "DELETE FROM generations WHERE gen = 2",
        "DELETE FROM generations WHERE gen = 1",
        "DELETE FROM generations",
        "DELETE FROM evaluations WHERE gen = 1 AND place = 0",
        "DELETE FROM evaluations WHERE gen = 1",
        "UPDATE evaluations SET gen = 'x' WHERE gen = 1 AND place = 0",
        "UPDATE evaluations SET genome = 'no json'",
        "UPDATE evaluations SET fitness = 'good'",
        "UPDATE evaluations SET rule = '[]'",
        'UPDATE evaluations SET per_task = \'{"t": "1"}\'',
        "DELETE FROM trainings",
        "UPDATE trainings SET seed = 1",
        "UPDATE trainings SET outcome = '[]'",
        "UPDATE trainings SET outcome = '{}'",
        "DROP TABLE trainings",
        "DELETE FROM about WHERE key = 'settings'",
        "UPDATE about SET value = '[]' WHERE key = 'settings'",
        changed("search", population="2"),
        changed("search", population=3),
        changed("search", generations=2),
        changed("search", tasks=["u"]),
        changed("search", tasks=3),
        changed("search", more=1),
        changed("execution", workers="many"),
    ],
)
def test_a_run_that_was_tampered_with_is_refused_and_left_alone(tmp_path, change):
    folder = stored(tmp_path / "run")
    with sqlite3.connect(folder / FILE) as db:
        db.execute(change)
    db.close()
    before = contents(folder)
    with pytest.raises(UserError, match="corrupt or not a run") as error:
        Store.open(folder)
    assert "\n" not in str(error.value)
    assert contents(folder) == before


def test_reading_leaves_no_trace(tmp_path):
    folder = stored(tmp_path / "run")
    before = contents(folder)
    Store.open(folder).close()
    assert contents(folder) == before


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs user ids")
def test_a_read_only_run_is_read_but_not_claimed(unprivileged):
    folder = stored(unprivileged / "run")
    (folder / FILE).chmod(0o444)
    folder.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65534)
    store = Store.open(folder)
    assert len(store.records()) == 3
    with pytest.raises(UserError, match=r"cannot write to the run in .*: Permission denied"):
        store.claim()
    os.seteuid(os.getuid())
    folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs user ids")
def test_a_read_only_file_in_a_folder_that_may_be_written_is_left_as_it_is(unprivileged):
    folder = stored(unprivileged / "run")
    (folder / FILE).chmod(0o444)
    folder.chmod(0o777)
    before = contents(folder)
    if os.getuid() == 0:
        os.seteuid(65534)
    store = Store.open(folder)
    with pytest.raises(UserError, match=r"cannot write to the run in .*: Permission denied"):
        store.claim()
    os.seteuid(os.getuid())
    assert contents(folder) == before


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs user ids")
def test_a_run_that_may_not_be_read_is_not_called_corrupt(unprivileged):
    folder = stored(unprivileged / "run")
    (folder / FILE).chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(UserError, match="cannot read"):
        Store.open(folder)


def test_a_killed_run_is_read_with_its_log(tmp_path):
    """What was closed last may lie in the write-ahead log alone."""
    store = Store.create(tmp_path / "run", SETTINGS)
    store.save_trainings([(KEY, OUTCOME)])
    store.close_generation(*generation(0))
    (tmp_path / "copy").mkdir()
    for name, data in contents(tmp_path / "run").items():
        if not name.endswith("-shm"):
            (tmp_path / "copy" / name).write_bytes(data)
    assert len(Store.open(tmp_path / "copy").records()) == 1


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a run"):
        Store.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_one_process_writes_a_run(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.claim()
    second = Store.open(tmp_path / "run")  # reading is free
    with pytest.raises(UserError, match="another process is working on"):
        second.claim()
    store.close()
    Store.open(tmp_path / "run").claim()


def test_a_later_schema_is_refused(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.close()
    with sqlite3.connect(tmp_path / "run" / FILE) as db:
        db.execute("UPDATE about SET value = '4' WHERE key = 'schema'")
    with pytest.raises(UserError, match="schema 4"):
        Store.open(tmp_path / "run")

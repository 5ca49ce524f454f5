"""The run store: what is written survives, and what is damaged is refused."""

from __future__ import annotations

import sqlite3

import pytest

from symevo.errors import UserError
from symevo.store import FILE, Store

SETTINGS = {"search": {"seed": 1}, "execution": {}, "tasks": []}
RECORD = {"gen": 0, "best": 1 / 3, "mean": 0.1, "evaluations": 1, "seconds": 0.5, "elapsed": 0.5}
EVALUATION = {
    "gen": 0, "place": 0, "genome": {"a": 1}, "rule": {"program": []}, "identity": "x", "fitness": 0.1 + 0.2,
    "status": "ok", "reason": None, "per_task": {"t": 1 / 3}, "seconds": 1.5, "cached": 0, "parents": [1, 2],
    "operator": "random",
}  # fmt: skip


def test_everything_reads_back_exactly(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.save_trainings([("x", "t", 0, {"loss": 0.1 + 0.2})])
    store.close_generation(RECORD, [{"genome": {"a": 1}}], [EVALUATION])
    store.close()
    again = Store.open(tmp_path / "run")
    assert again.about("settings") == SETTINGS
    assert again.training("x", "t", 0) == {"loss": 0.1 + 0.2}
    assert again.training("x", "t", 1) is None
    assert again.last_generation() == (RECORD, [{"genome": {"a": 1}}])
    assert list(again.evaluations()) == [EVALUATION]
    assert "torch" in again.about("versions")


def test_a_generation_is_written_whole_or_not_at_all(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    with pytest.raises(sqlite3.IntegrityError):  # the second evaluation takes the first one's place
        store.close_generation({"gen": 0}, [], [EVALUATION, EVALUATION])
    assert store.last_generation() is None
    assert list(store.evaluations()) == []


def test_trainings_are_there_for_another_connection_at_once(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.save_trainings([("x", "t", 0, {"loss": 1.0})])
    assert Store.open(tmp_path / "run").training("x", "t", 0) == {"loss": 1.0}


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="not empty"):
        Store.create(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\1" * 5000])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError, match="corrupt or not a run"):
        Store.open(tmp_path)


def test_a_truncated_file_is_refused(tmp_path):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.save_trainings([(str(i), "t", 0, {"curve": [0.5] * 50}) for i in range(200)])
    store.close()
    path = tmp_path / "run" / FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(UserError, match="corrupt or not a run"):
        Store.open(tmp_path / "run")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE generations SET record = '{}'",
        "UPDATE evaluations SET genome = 'no json'",
        "DELETE FROM about WHERE key = 'settings'",
        "UPDATE about SET value = '[]' WHERE key = 'settings'",
    ],
)
def test_a_run_that_was_tampered_with_is_refused(tmp_path, change):
    store = Store.create(tmp_path / "run", SETTINGS)
    store.close_generation(RECORD, [], [EVALUATION])
    store.close()
    with sqlite3.connect(tmp_path / "run" / FILE) as db:
        db.execute(change)
    with pytest.raises(UserError, match="corrupt or not a run"):
        Store.open(tmp_path / "run")


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
        db.execute("UPDATE about SET value = '2' WHERE key = 'schema'")
    with pytest.raises(UserError, match="schema 2"):
        Store.open(tmp_path / "run")

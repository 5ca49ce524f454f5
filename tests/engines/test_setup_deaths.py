"""A child that is killed while it gets ready is replaced, some times in a row; one whose setup raises is not."""

from __future__ import annotations

from pathlib import Path

import engine_jobs as jobs
import pytest

from symevo.engines import SETUP_FAILED, make_engine


def calls(log: Path) -> int:
    return len(log.read_text().splitlines())


@pytest.mark.parametrize("name", ["serial", "process"])
def test_a_setup_that_is_killed_is_tried_again_in_a_fresh_child(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with make_engine(name, workers=1, setup=(jobs.crash_until, (str(log), 2))) as engine:
        outcomes = engine.map(jobs.square, [2, 3], retries=0)
    assert [(one.status, one.value, one.attempts) for one in outcomes] == [("ok", 4, 1), ("ok", 9, 1)]
    assert calls(log) == len(set(log.read_text().splitlines())) == 3


def test_deaths_in_a_row_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with make_engine("serial", setup=(jobs.crash_until, (str(log), 99))) as engine:
        (outcome,) = engine.map(jobs.square, [1], retries=0)
    assert outcome[:2] == ("crashed", f"{SETUP_FAILED}the process ended with exit code 7")
    assert calls(log) == 3


def test_a_setup_that_raises_is_not_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with make_engine("serial", setup=(jobs.note_and_explode, str(log))) as engine:
        (outcome,) = engine.map(jobs.square, [1], retries=1)
    assert outcome[:2] == ("exception", f"{SETUP_FAILED}ValueError: no data")
    assert calls(log) == 1

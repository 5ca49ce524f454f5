"""What every engine promises, asserted on each engine that any process can make."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine_jobs as jobs
import psutil
import pytest
from engine_programs import SOON, lines, wait_for

from symevo.engines import ENGINES, SETUP_FAILED, Engine, Reply, make_engine
from symevo.errors import UserError

STANDALONE = [name for name in ENGINES if getattr(ENGINES.get(name), "standalone")]  # noqa: B009
ISOLATING = [name for name in STANDALONE if getattr(ENGINES.get(name), "isolates")]  # noqa: B009
TWO = {"process": 2}

every_engine = pytest.mark.parametrize("name", STANDALONE)
isolating_engines = pytest.mark.parametrize("name", ISOLATING)


def make(name: str, **settings: Any) -> Engine:
    return make_engine(name, workers=TWO.get(name), **settings)


def values(outcomes: list[Reply]) -> list[Any]:
    return [outcome.value for outcome in outcomes]


def statuses(outcomes: list[Reply]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_the_engines_of_one_machine_are_registered() -> None:
    assert {"inline", "process", "scoop", "serial"} <= set(ENGINES)
    assert set(ISOLATING) >= {"serial", "process"}
    assert "inline" in STANDALONE
    assert "inline" not in ISOLATING
    assert "scoop" not in STANDALONE


@every_engine
def test_outcomes_are_in_the_order_of_the_items(name: str) -> None:
    naps = [0.3, 0.0, 0.1, 0.0]
    with make(name) as engine:
        start = time.monotonic()
        outcomes = engine.map(jobs.nap, iter(naps))
        taken = time.monotonic() - start
        assert engine.map("engine_jobs:square", []) == []
    assert values(outcomes) == naps
    assert statuses(outcomes) == ["ok"] * 4
    assert [outcome.attempts for outcome in outcomes] == [1] * 4
    assert all(nap <= outcome.seconds <= taken for nap, outcome in zip(naps, outcomes, strict=True))


@every_engine
def test_a_function_may_be_named_or_given(name: str) -> None:
    with make(name) as engine:
        assert values(engine.map("engine_jobs:square", [2, 3])) == values(engine.map(jobs.square, [2, 3])) == [4, 9]


@every_engine
def test_exceptions_are_values_on_one_line_and_are_not_retried(name: str) -> None:
    with make(name) as engine:
        outcomes = engine.map(jobs.mixed, [("explode", "a\nb"), ("leave", 3), ("square", 5)], retries=2)
    assert statuses(outcomes) == ["exception", "exception", "ok"]
    assert values(outcomes) == ["ValueError: a b", "SystemExit: 3", 25]
    assert [outcome.attempts for outcome in outcomes] == [1, 1, 1]


@every_engine
def test_results_are_reported_one_by_one_in_the_calling_thread(name: str) -> None:
    reports: list[tuple[int, Reply, int]] = []
    with make(name) as engine:
        outcomes = engine.map(
            jobs.mixed,
            [("nap", 0.2), ("explode", "x"), ("square", 2), ("square", 3)],
            on_result=lambda index, outcome: reports.append((index, outcome, threading.get_ident())),
        )
    assert {thread for *_, thread in reports} == {threading.get_ident()}
    assert len(reports) == 4
    assert {index: outcome for index, outcome, _ in reports} == dict(enumerate(outcomes))


@every_engine
@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_what_on_result_raises_leaves_map_and_the_engine_still_works(name: str, error: BaseException) -> None:
    def refuse(index: int, outcome: Reply) -> None:
        raise error

    rest = ("hang", None) if name in ISOLATING else ("square", 1)
    with make(name) as engine:
        start = time.monotonic()
        with pytest.raises(type(error)):
            engine.map(jobs.mixed, [("nap", 0.2), rest, rest], on_result=refuse)
        assert time.monotonic() - start < SOON
        assert values(engine.map(jobs.square, [3], timeout=SOON)) == [9]


@every_engine
def test_a_setup_that_fails_is_an_outcome(name: str) -> None:
    with make(name, setup=(jobs.explode, "no GPU")) as engine:
        (outcome,) = engine.map(jobs.square, [1])
    assert outcome[:2] == ("exception", f"{SETUP_FAILED}ValueError: no GPU")


@every_engine
def test_a_setup_runs_once_in_a_process(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with make(name, setup=(jobs.prepare, str(log))) as engine:
        before = jobs._prepared.count(str(log))
        results = values(engine.map(jobs.prepared, range(6)))
    pids = {pid for pid, _ in results}
    assert sorted(lines(log)) == sorted(map(str, pids))
    assert len(pids) <= engine.workers
    if name in ISOLATING:
        assert {count for _, count in results} == {1}
        assert before == 0


@every_engine
def test_files_of_the_user_are_imported_by_every_child(name: str, tmp_path: Path) -> None:
    stem = f"tasks_of_{name}"
    (tmp_path / f"{stem}.py").write_text("def double(x):\n    return 2 * x\n")
    with make(name, imports=[tmp_path / f"{stem}.py"]) as engine:
        assert values(engine.map(f"symevo_plugin_{stem}:double", [4])) == [8]
    with make(name, imports=[tmp_path / "missing.py"]) as engine:
        (outcome,) = engine.map(jobs.square, [1])
    assert outcome.status == "exception"
    assert "missing.py" in outcome.value


@every_engine
@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": -1.0}, {"retries": -1}])
def test_limits_that_make_no_sense_are_wrong_use(name: str, wrong: dict[str, Any]) -> None:
    with make(name) as engine, pytest.raises(UserError):
        engine.map(jobs.square, [1], **wrong)


def _call(*arguments: Any, **settings: Any) -> Callable[[], object]:
    return lambda: make_engine(*arguments, **settings)


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        (_call("proces"), "process"),
        (_call("process", workers=0), "1 or more"),
        (_call("serial", workers=2), "process engine"),
        (_call("inline", workers=2), "process engine"),
        (_call("serial", threads=0), "1 or more"),
        (_call("serial", setup_timeout=0.0), "above 0"),
        (_call("serial", setup=(jobs.square, threading.Lock())), "plain data"),
        (_call("serial", setup=(lambda item: item, 1)), "top level"),
        (_call("scoop"), "--scoop"),
    ],
)
def test_wrong_use_says_what_would_be_right(use: Callable[[], object], hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        use()


@isolating_engines
def test_only_functions_that_others_can_import(name: str) -> None:
    with make(name) as engine:
        for fn in (lambda x: x, "no_colon"):
            with pytest.raises(UserError):
                engine.map(fn, [1])


def test_inline_takes_any_function_and_any_value() -> None:
    lock = threading.Lock()
    with make("inline") as engine:
        assert engine.map(lambda item: (item, os.getpid()), [lock])[0].value == (lock, os.getpid())


@isolating_engines
def test_every_kind_of_failure_is_classified_and_disturbs_no_other(name: str) -> None:
    trouble = {
        ("square", 1): ("ok", 1),
        ("hang", None): ("timeout", "no result within 1 s"),
        ("square", 2): ("ok", 4),
        ("segfault", None): ("crashed", "the process was killed by SIGSEGV"),
        ("square", 3): ("ok", 9),
        ("die", 0): ("crashed", "the process ended with exit code 0"),
        ("square", 4): ("ok", 16),
        ("unpicklable", None): ("exception", "the result cannot be pickled: TypeError"),
        ("poison", None): ("exception", "the result cannot be unpickled: ValueError: read back"),
        ("square", threading.Lock()): ("exception", "the item cannot be pickled: TypeError"),
        ("square", 5): ("ok", 25),
    }
    with make(name) as engine:
        outcomes = engine.map(jobs.mixed, list(trouble), timeout=1.0)
    for outcome, (status, value) in zip(outcomes, trouble.values(), strict=True):
        assert outcome.status == status
        assert outcome.value == value if status == "ok" else str(outcome.value).startswith(value)
    assert [outcome.attempts for outcome in outcomes] == [1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1]
    assert 1.0 <= outcomes[1].seconds < SOON


@isolating_engines
def test_only_crashes_are_retried(name: str, tmp_path: Path) -> None:
    items = [(str(tmp_path / "second"), 1), (str(tmp_path / "never"), 9)]
    with make(name) as engine:
        outcomes = engine.map(jobs.crash_until, items, retries=2)
        hung = engine.map(jobs.note_and_hang, [str(tmp_path / "hung")], retries=2, timeout=0.3)
        once = engine.map(jobs.crash_until, [(str(tmp_path / "once"), 9)], retries=0)
    assert [(o.status, o.attempts) for o in outcomes] == [("ok", 2), ("crashed", 3)]
    assert outcomes[0].value == 2
    assert len(set(lines(tmp_path / "never"))) == 3
    assert (hung[0].status, hung[0].attempts, len(lines(tmp_path / "hung"))) == ("timeout", 1, 1)
    assert (once[0].status, once[0].attempts) == ("crashed", 1)


@pytest.mark.slow
@isolating_engines
def test_a_new_child_is_set_up_again_and_its_setup_has_a_limit_of_its_own(name: str) -> None:
    with make(name, setup=(jobs.slow_setup, 2.5)) as engine:
        outcomes = engine.map(jobs.mixed, [("square", 2), ("die", 3), ("square", 3)], timeout=2.0, retries=0)
    assert statuses(outcomes) == ["ok", "crashed", "ok"]
    assert outcomes[0].seconds < 2.0


@isolating_engines
def test_a_setup_that_dies_or_hangs(name: str) -> None:
    with make(name, setup=(jobs.die, 3)) as engine:
        (dead,) = engine.map(jobs.square, [1], retries=1)
    assert dead == ("crashed", f"{SETUP_FAILED}the process ended with exit code 3", 0.0, dead.worker, 2)
    with make(name, setup=(jobs.hang, None), setup_timeout=0.4) as engine:
        (hung,) = engine.map(jobs.square, [1], retries=1)
    assert hung == ("exception", f"{SETUP_FAILED}no result within 0.4 s", 0.0, hung.worker, 1)


@isolating_engines
def test_children_are_kept_between_maps_and_gone_after_close(name: str) -> None:
    before = psutil.Process().children(recursive=True)  # of others, such as torch's compile workers
    with make(name) as engine:
        pids = {pid for _ in range(3) for pid in values(engine.map(jobs.pid, range(4)))}
        assert 1 <= len(pids) <= engine.workers
        assert os.getpid() not in pids
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert set(psutil.Process().children(recursive=True)) <= set(before)
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.map(jobs.square, [1])


@isolating_engines
def test_what_a_task_prints_goes_to_standard_error(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with make(name) as engine:
        engine.map(jobs.shout, ["hello"])
    out, err = capfd.readouterr()
    assert out == ""
    assert {"hello", "hello (raw)"} <= set(err.splitlines())


@isolating_engines
def test_thread_counts_are_set_before_the_first_import(name: str) -> None:
    with make(name, threads=3) as engine:
        assert values(engine.map(jobs.threads, [None])) == ["3"]


@isolating_engines
def test_messages_larger_than_a_pipe(name: str) -> None:
    size = 5_000_000
    with make(name) as engine:
        assert values(engine.map(jobs.length, [bytes(size)] * 2)) == [size, size]
        assert [len(value) for value in values(engine.map(jobs.big, [size]))] == [size]


@isolating_engines
def test_a_dead_child_is_noticed_though_its_own_child_holds_the_pipe(name: str, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with make(name) as engine:
        start = time.monotonic()
        (outcome,) = engine.map(jobs.orphan, [str(note)], retries=0)
    assert (outcome.status, outcome.value) == ("crashed", "the process ended with exit code 9")
    assert time.monotonic() - start < SOON
    # Killed with its group; whoever adopts it may not have reaped it yet.
    assert wait_for(lambda: _is_dead(int(note.read_text())))


def _is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_process_engine_works_in_parallel(tmp_path: Path) -> None:
    with make_engine("process", workers=4) as engine:
        outcomes = engine.map(jobs.meet, [(str(tmp_path / "here"), 4)] * 4, timeout=SOON)
    assert statuses(outcomes) == ["ok"] * 4
    assert {outcome.worker for outcome in outcomes} == {0, 1, 2, 3}

"""The SCOOP engine and its supervisor, each time as a program of its own."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from engine_programs import SOON, Program, lines, wait_for

from symevo.engines import inside_scoop, supervise
from symevo.engines.scoop.broker import PrivateSocket
from symevo.errors import UserError

TARGET = "engine_scoop_target.py"
Start = Callable[..., Program]


def result(program: Program) -> Any:
    """What a program that succeeded has printed as JSON."""
    code, out, err = program.end()
    assert code == 0, err
    return json.loads(out)


def members(program: Program, module: str, *, origin: bool = False) -> list[psutil.Process]:
    """The processes of a program that run that module."""
    return [
        process
        for process in program.family()
        if module in (command := process.cmdline()) and ("--origin" in command) == origin
    ]


def workers_of(program: Program) -> list[psutil.Process]:
    return members(program, "symevo.engines.scoop.boot")


def test_this_process_is_not_inside_scoop() -> None:
    assert not inside_scoop()
    with pytest.raises(UserError, match="1 or more"):
        supervise([], 0)


def test_arguments_arrive_unchanged_and_nothing_else_is_on_standard_output(start: Start) -> None:
    arguments = ["--json", "--", "--debug", "-x", "--workers", "3", "--origin", "a b", ""]
    program = start(TARGET, "2", "echo", *arguments)
    assert result(program) == arguments
    assert program.is_gone()


@pytest.mark.parametrize(
    ("how", "value", "code"),
    [("exit", "3", 3), ("return", "4", 4), ("return", "0", 0), ("raise", "my words", 1)],
)
def test_exit_codes_come_through(start: Start, how: str, value: str, code: int) -> None:
    got, out, err = start(TARGET, "1", "leave", how, value).end()
    assert (got, out) == (code, "")
    assert ("RuntimeError: my words" in err) == (how == "raise")


def test_every_kind_of_failure_is_classified(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "2", "classify", str(log))
    data = result(program)
    assert [outcome[0] for outcome in data["bad"]] == [
        "ok",
        "exception",
        "timeout",
        "crashed",
        "exception",
        "exception",
        "exception",
        "exception",
        "ok",
        "ok",
    ]
    reasons = [outcome[1] for outcome in data["bad"]]
    assert (reasons[0], reasons[8], reasons[9]) == (9, 3_000_000, 16)
    assert reasons[1:4] == [
        "ValueError: no good",
        "no result within 1 s",
        "the process was killed by SIGSEGV",
    ]
    assert "cannot be pickled" in reasons[4]
    assert "cannot be unpickled" in reasons[5]
    assert "item cannot be pickled" in reasons[7]
    assert [outcome[4] for outcome in data["bad"]] == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1]
    assert [outcome[:2] for outcome in data["good"]] == [["ok", x * x] for x in range(20)]
    assert data["calls"] == [[index, True] for index in range(10)]
    # Two workers, and a new child after the time-out and after each of the two crashes at the latest.
    assert 3 <= len(lines(log)) == len(set(lines(log))) <= 5
    assert program.is_gone()


def test_a_task_that_dies_with_its_worker_is_sent_again(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "2", "killed", str(log), "[1.5, 1.5]")
    assert wait_for(lambda: len(lines(log)) == 2)
    worker = int(lines(log)[0].split()[0])
    assert worker in [process.pid for process in workers_of(program)]
    os.kill(worker, signal.SIGKILL)
    outcomes = result(program)
    assert [outcome[:2] for outcome in outcomes] == [["ok", 1.5]] * 2
    assert sorted(outcome[4] for outcome in outcomes) == [1, 2]
    assert program.is_gone()


def test_a_task_whose_workers_always_die_is_lost(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "1", "killed", str(log), "[100, 0.1]")
    for attempt in (1, 2):
        assert wait_for(lambda attempt=attempt: len(lines(log)) == attempt)
        os.kill(int(lines(log)[-1].split()[0]), signal.SIGKILL)
    lost, good = result(program)
    assert (lost[0], lost[1], lost[4]) == ("lost", "the worker died", 2)
    assert good[:2] == ["ok", 0.1]


@pytest.mark.slow
def test_an_idle_worker_that_dies_is_replaced(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    # The second map comes when the broker still believes that the dead one waits for work.
    program = start(TARGET, "2", "killed", str(log), "[1.5]", "[0.1, 0.1, 0.1]")
    assert wait_for(lambda: len(lines(log)) == 1 and len(workers_of(program)) == 2)
    busy = int(lines(log)[0].split()[0])
    (idle,) = (process for process in workers_of(program) if process.pid != busy)
    idle.kill()
    assert wait_for(lambda: len({process.pid for process in workers_of(program)} - {idle.pid}) == 2)
    outcomes = result(program)
    assert [outcome[:2] for outcome in outcomes] == [["ok", 1.5], *[["ok", 0.1]] * 3]
    assert [outcome[4] for outcome in outcomes] == [1] * 4
    assert program.is_gone()


@pytest.mark.slow
def test_a_pool_that_cannot_be_replaced_fails(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "1", "killed", str(log), "[100]", MAX_RESPAWNS="0")
    assert wait_for(lambda: len(lines(log)) == 1)
    os.kill(int(lines(log)[0].split()[0]), signal.SIGKILL)
    code, _, err = program.end()
    assert code == 1
    assert "the SCOOP pool died" in err
    assert program.is_gone()


@pytest.mark.slow
def test_an_origin_may_end_after_its_pool(start: Start) -> None:
    code, _, err = start(TARGET, "1", "linger", MAX_RESPAWNS="0").end()
    assert code == 4
    assert "the SCOOP pool died" not in err


def test_a_worker_cannot_end_the_pool(start: Start) -> None:
    assert result(start(TARGET, "1", "rogue", MAX_RESPAWNS="0")) == [7]


def test_what_on_result_raises_frees_the_workers(start: Start) -> None:
    data = result(start(TARGET, "2", "cancel"))
    assert [outcome[:2] for outcome in data["outcomes"]] == [["ok", x * x] for x in range(4)]
    assert data["seconds"] < SOON


def test_an_engine_with_another_preparation_replaces_the_children(start: Start) -> None:
    alive, threads = result(start(TARGET, "1", "replace"))
    assert alive == [False, True]
    assert threads == ["1", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_signal_leaves_nothing_behind(start: Start, tmp_path: Path, number: int, code: int) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "2", "busy", str(log))
    assert wait_for(lambda: len(lines(log)) == 2)
    # Supervisor, origin, two workers, and a child of each worker's guard.
    assert len(program.family()) == 6
    program.process.send_signal(number)
    assert program.end()[0] == code
    assert program.is_gone()


@pytest.mark.slow
def test_an_origin_that_does_not_listen_is_killed(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "1", "stubborn", str(log), GRACE="0.5")
    assert wait_for(lambda: len(lines(log)) == 1)
    program.process.send_signal(signal.SIGTERM)
    assert program.end()[0] == 137
    assert (tmp_path / "log.heard").read_text() == "TERM"
    assert program.is_gone()


def test_an_origin_that_is_killed_gives_its_signal(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "1", "busy", str(log))
    assert wait_for(lambda: len(lines(log)) == 1)
    os.kill(int((tmp_path / "log.origin").read_text()), signal.SIGKILL)
    assert program.end()[0] == 137
    assert program.is_gone()


@pytest.mark.slow
def test_all_sockets_are_on_loopback_and_deaf_to_strangers(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = start(TARGET, "2", "busy", str(log))
    assert wait_for(lambda: len(lines(log)) == 2)
    connections = [c for process in program.family() for c in process.net_connections(kind="inet")]
    addresses = {address.ip for c in connections for address in (c.laddr, c.raddr) if address}
    assert addresses == {"127.0.0.1"}
    ports = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    assert len(ports) >= 5  # broker: tasks, announcements; origin and each worker: answers
    # Anyone on this machine can reach these ports; SCOOP as it comes unpickles, and so runs, what is sent.
    with zmq.Context() as context:
        for port in ports:
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://127.0.0.1:{port}")
            socket.send_multipart([b"I", pickle.dumps(Touch(str(tmp_path / "owned")))])
            assert not socket.poll(100)
            socket.close()
    assert not (tmp_path / "owned").exists()
    assert len(program.family()) == 6


class Touch:
    """Creates a file in whatever process unpickles it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.path, "w")


def test_no_other_address_is_taken() -> None:
    with zmq.Context() as context:
        socket = PrivateSocket(context, zmq.ROUTER)
        with pytest.raises(ValueError, match="not on 127"):
            socket.bind("tcp://0.0.0.0:*")
        with pytest.raises(ValueError, match="not on 127"):
            socket.connect("tcp://192.0.2.1:5555")
        socket.close()

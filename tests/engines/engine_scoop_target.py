"""Programs that the SCOOP tests run: ``python engine_scoop_target.py WORKERS PROGRAM ARGUMENTS…``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import engine_jobs
import psutil

from symevo.engines import make_engine, supervise
from symevo.engines.scoop import supervisor


def echo(argv: Sequence[str]) -> int:
    print(json.dumps(list(argv)))
    return 0


def leave(argv: Sequence[str]) -> int:
    how, value = argv
    if how == "exit":
        sys.exit(int(value))
    if how == "raise":
        raise RuntimeError(value)
    return int(value)


def classify(argv: Sequence[str]) -> int:
    """All kinds of trouble in one map, then a good map; prints what became of them."""
    log = argv[0]
    trouble = [
        ("square", 3),
        ("explode", "no\ngood"),
        ("hang", None),
        ("segfault", None),
        ("unpicklable", None),
        ("poison", None),
        ("leave", 3),
        ("square", threading.Lock()),
        ("big", 3_000_000),
        ("square", 4),
    ]
    calls: list[tuple[int, bool]] = []
    here = threading.get_ident()
    with make_engine("scoop", setup=("engine_jobs:prepare", log)) as engine:
        bad = engine.map(
            engine_jobs.mixed,
            trouble,
            timeout=1.0,
            on_result=lambda index, outcome: calls.append((index, threading.get_ident() == here)),
        )
        good = engine.map(engine_jobs.square, range(20), timeout=5.0)
    bad[8] = bad[8]._replace(value=len(bad[8].value) if bad[8].status == "ok" else bad[8].value)
    print(json.dumps({"bad": bad, "good": good, "calls": sorted(calls)}))
    return 0


def killed(argv: Sequence[str]) -> int:
    """A map for each list of naps, without any time limit; the test kills workers meanwhile."""
    log, *maps = argv
    outcomes = []
    with make_engine("scoop") as engine:
        for naps in map(json.loads, maps):
            outcomes += engine.map("engine_scoop_target:note_and_nap", [(log, nap) for nap in naps])
    print(json.dumps(outcomes))
    return 0


def note_and_nap(item: tuple[str, float]) -> float:
    path, seconds = item
    with open(path, "a") as file:
        file.write(f"{os.getppid()} {os.getpid()}\n")
    time.sleep(seconds)
    return seconds


def cancel(argv: Sequence[str]) -> int:
    """The first result raises; the hung tasks must not be in the way of the next map."""
    with make_engine("scoop") as engine:
        try:
            engine.map(engine_jobs.mixed, [("square", 2), ("hang", None), ("hang", None)], on_result=_refuse)
        except ZeroDivisionError:
            start = time.monotonic()
        outcomes = engine.map(engine_jobs.square, range(4), timeout=5.0)
        print(json.dumps({"seconds": time.monotonic() - start, "outcomes": outcomes}))
    return 0


def replace(argv: Sequence[str]) -> int:
    """Two engines after each other, with other thread counts; are the children of the first still there?"""
    pids, counts = [], []
    for threads in (1, 2):
        with make_engine("scoop", threads=threads) as engine:
            pids.append(engine.map(engine_jobs.pid, [None])[0].value)
            counts.append(engine.map(engine_jobs.threads, [None])[0].value)
    print(json.dumps([[psutil.pid_exists(pid) for pid in pids], counts]))
    return 0


def _refuse(index: int, outcome: Any) -> None:
    raise ZeroDivisionError


def linger(argv: Sequence[str]) -> int:
    """Ends late, long after SCOOP has shut its workers and its broker down."""
    leave_now = os._exit

    def leave_later(code: int) -> None:
        time.sleep(1.0)
        leave_now(code)

    os._exit = leave_later  # type: ignore[assignment]
    with make_engine("scoop") as engine:
        return engine.map(engine_jobs.square, [2])[0].value


def rogue(argv: Sequence[str]) -> int:
    """A worker asks for the end of the pool, as one with a failure inside SCOOP does."""
    from scoop import futures

    future = futures.submit(ask_for_the_end)
    while not futures.wait([future], timeout=0).done:  # to wait otherwise would run it here
        time.sleep(0.01)
    print(json.dumps([future.resultValue]))
    with make_engine("scoop") as engine:
        return engine.map(engine_jobs.square, [0])[0].value


def ask_for_the_end() -> int:
    import scoop

    scoop._control.execQueue.socket.socket.send(b"S")  # type: ignore[attr-defined]
    return 7


def stubborn(argv: Sequence[str]) -> int:
    """Does not listen to SIGINT and SIGTERM."""
    signal.signal(signal.SIGINT, lambda *_: Path(argv[0] + ".heard").write_text("INT"))
    signal.signal(signal.SIGTERM, lambda *_: Path(argv[0] + ".heard").write_text("TERM"))
    return busy(argv)


def busy(argv: Sequence[str]) -> int:
    """Hangs in every worker, for ever."""
    log = argv[0]
    with make_engine("scoop") as engine:
        Path(log + ".origin").write_text(str(os.getpid()))
        engine.map(engine_jobs.note_and_hang, [log] * engine.workers)
    return 0


def main(argv: list[str]) -> int:
    program, *rest = argv
    return globals()[program](rest)


if __name__ == "__main__":
    supervisor._MAX_RESPAWNS = int(os.environ.get("MAX_RESPAWNS", supervisor._MAX_RESPAWNS))
    supervisor._GRACE = float(os.environ.get("GRACE", supervisor._GRACE))
    sys.exit(supervise(sys.argv[2:], int(sys.argv[1]), target="engine_scoop_target:main"))

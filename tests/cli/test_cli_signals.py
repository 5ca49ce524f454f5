"""Ctrl-C and SIGTERM to a real process, at any moment: exit code 130, one line, no traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from symevo.cli.main import Interrupts, Stop
from symevo.runs import Store

SEARCH = ["--tasks", "quadratic", "--backend", "eager", "--generations", "500", "--steps", "100", "--out", "a"]


def started(code: str, *argv: str) -> subprocess.Popen[str]:
    """A Python that hears SIGINT, whoever started the tests; it says ``ready`` on standard error."""
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    command = [sys.executable, "-c", heard + code, *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    seen = []
    while word not in (line := process.stderr.readline()):
        assert line, "".join(seen)
        seen.append(line)


def ended(process: subprocess.Popen[str], *signals: signal.Signals, gap: float = 0.1) -> str:
    """Sends signals, waits, and returns what the process said after them."""
    for at, number in enumerate(signals):
        time.sleep(gap if at else 0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    return err


SLOW_PARSE = """
import collections, sys, time
from symevo import cli
from symevo.cli import app

def nap():  # a signal just before a sleep is heard after it: so sleeps are short
    for _ in range(400):
        time.sleep(0.05)

def parse(argv):
    print("ready", file=sys.stderr, flush=True)
    {work}
    return lambda: 0

app.parse = parse
cli.entry({argv})
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "work",
    [
        "nap()",
        "exec('nap()')",  # else the interpreter would end by SIGINT itself
        "\n    try: nap()\n    except KeyboardInterrupt: raise ImportError('half a module') from None",
    ],
)
def test_a_signal_while_modules_are_imported(work: str, number: signal.Signals) -> None:
    process = started(SLOW_PARSE.format(work=work, argv=["run"]))
    wait_for(process, "ready")
    assert ended(process, number) == "symevo: interrupted before the first checkpoint; nothing to go on with\n"


@pytest.mark.parametrize("argv", [["run", "--resume", "runs/old"], ["run", "--quiet", "--resume=runs/old"]])
def test_a_signal_before_a_resume_gets_going_tells_how_to_go_on(argv: list[str]) -> None:
    process = started(SLOW_PARSE.format(work="nap()", argv=argv))
    wait_for(process, "ready")
    assert ended(process, signal.SIGTERM) == "symevo: interrupted; go on with: symevo run --resume runs/old\n"


def test_signals_during_an_ordered_end_do_not_disturb_it() -> None:
    work = "\n    try: nap()\n    finally: time.sleep(0.5); print('in order', file=sys.stderr)"
    process = started(SLOW_PARSE.format(work=work, argv=[]))
    wait_for(process, "ready")
    assert "in order" in ended(process, signal.SIGINT, signal.SIGINT, signal.SIGTERM)


def test_an_end_that_hangs_is_cut_short() -> None:
    work = "\n    try: nap()\n    finally: time.sleep(20)"
    short = "import sys, symevo.cli; sys.modules['symevo.cli.main']._GRACE = 0.3\n"
    process = started(short + SLOW_PARSE.format(work=work, argv=[]))
    wait_for(process, "ready")
    assert "ended without waiting longer than 0.3 s" in ended(process, signal.SIGINT)


def test_signals_while_the_interpreter_ends_are_ignored() -> None:
    late = "import atexit, os, signal; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
    process = started(late + SLOW_PARSE.format(work="pass", argv=[]))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "ready\n")


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stop), Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
    assert interrupts.heard
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "process"])
@pytest.mark.parametrize("gap", [0.1, 0.2, 0.4])
def test_ctrl_c_twice_in_a_search(engine: str, gap: float, here: Path) -> None:
    process = started("from symevo.cli import entry; entry()", "run", *SEARCH, "--engine", engine)
    wait_for(process, "gen ")
    assert "--resume a\n" in ended(process, signal.SIGINT, signal.SIGINT, gap=gap)
    assert Store.open(here / "a").records()

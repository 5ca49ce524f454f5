"""How a command ends: its job runs, and whatever comes of it becomes one line and an exit code.

Exit codes: 0 done, 2 wrong use (one line), 1 failure, 130 interrupted.

Ctrl-C and SIGTERM: the first asks for an ordered end, and no other disturbs it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from symevo.errors import Interrupted, Paused, RunFailed, UserError

_GRACE = 9.0
"""Seconds that an ordered end may take before the process ends without it."""


class Stop(KeyboardInterrupt):
    """A signal that asks for an ordered end.

    A class of its own: where KeyboardInterrupt itself passes through ``exec`` of a text, as in a named tuple's making,
    the interpreter later ends by SIGINT in spite of any exit code.
    """


class Interrupts:
    """While open, the first SIGINT or SIGTERM raises :class:`Stop` in the main thread; later ones do nothing.

    A signal that was ignored when it opened stays ignored, as under ``nohup``; outside the main thread it does nothing.
    ``heard`` says whether a signal came.
    """

    def __init__(self) -> None:
        self.heard = False
        self._deaf = False
        self._former: dict[int, object] = {}
        self._patience = threading.Timer(_GRACE, _give_up)
        self._patience.daemon = True

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *exc: object) -> None:
        self._patience.cancel()
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def leave(self) -> None:
        """Ignores all further signals, for a process that has only to exit: its exit code is settled."""
        self._deaf = True
        for number in self._former:
            # Not our handler: the interpreter gives that up before it has ended, and then a signal kills.
            signal.signal(number, signal.SIG_IGN)

    def _hear(self, number: int, frame: object) -> None:
        if self.heard or self._deaf:
            return
        self.heard = True
        self._patience.start()
        raise Stop


def _give_up() -> None:
    """Ends the process at once; its workers end with it, and what is stored stays."""
    print(f"symevo: interrupted; ended without waiting longer than {_GRACE:g} s", file=sys.stderr, flush=True)
    os._exit(130)


def main(argv: list[str]) -> int:
    """Runs one command line, without the program's name, and returns the exit code.

    Nothing but a fault of the interpreter is raised, SystemExit included.
    """
    with Interrupts() as interrupts:
        return _run(argv, interrupts)


def entry(argv: list[str] | None = None) -> None:
    """The console script: :func:`main` on this process's arguments, then exit."""
    interrupts, code = Interrupts(), 130
    with contextlib.suppress(KeyboardInterrupt):  # one that comes when the work is done, or has not begun
        interrupts.__enter__()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without θ shows ?
        code = _run(sys.argv[1:] if argv is None else argv, interrupts)
    interrupts.leave()
    sys.exit(code)


def _run(argv: list[str], interrupts: Interrupts) -> int:
    try:
        from symevo.cli.app import parse

        with _plain_warnings():
            job = parse(argv)
            return job if isinstance(job, int) else int(job())
    except BaseException as error:  # noqa: BLE001
        # An import that is interrupted may say so with an error of its own.
        if interrupts.heard and not isinstance(error, KeyboardInterrupt):
            error = Stop()
        if isinstance(error, KeyboardInterrupt) and (path := _resumed(argv)) is not None:
            error = Interrupted(path)  # however early: the run is there
        return _end_of(error, "" if argv[:1] != ["run"] else " before the first checkpoint; nothing to go on with")


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows symevo's own warnings in one line, without a place in symevo's code; others as Python does."""
    usual = warnings.formatwarning

    def plain(message: Any, category: type[Warning], *place: Any, **more: Any) -> str:
        own = category.__module__.partition(".")[0] == "symevo"
        return f"symevo: warning: {message}\n" if own else usual(message, category, *place, **more)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _resumed(argv: list[str]) -> Path | None:
    """The run that a command line goes on with."""
    for at, word in enumerate(argv):
        flag, equals, path = word.partition("=")
        if flag == "--resume" and (equals or argv[at + 1 :]):
            return Path(path if equals else argv[at + 1])
    return None


def _end_of(error: BaseException, interrupted: str) -> int:
    """Says in one line why there is no result; ``interrupted``: what else of an interruption that left nothing."""
    match error:
        case Interrupted():
            import shlex

            again = f"symevo run --resume {shlex.quote(_near(error.path))}"
            return _end(f"symevo: interrupted; go on with: {again}", 130)
        case Paused():
            return _end("symevo: interrupted; the same command goes on", 130)
        case KeyboardInterrupt():
            return _end(f"symevo: interrupted{interrupted}", 130)
        case UserError():
            return _end(f"symevo: error: {getattr(error, 'flagged', error)}", 2)
        case BrokenPipeError():
            return _closed_pipe()
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case RunFailed():
            return _end(f"symevo: error: {error}", 1)
        case _:
            hint = "" if _debug() else "; SYMEVO_DEBUG=1 shows where"
            return _end(f"symevo: error: {type(error).__name__}: {error}{hint}", 1)


def _end(line: str, code: int) -> int:
    if _debug():
        import traceback

        traceback.print_exc()
    print(" ".join(line.split()), file=sys.stderr)
    return code


def _debug() -> bool:
    return os.environ.get("SYMEVO_DEBUG", "") not in ("", "0")


def _near(path: Path) -> str:
    """The path as short as it can be said from here."""
    return os.path.relpath(path) if Path.cwd() in path.absolute().parents else str(path)


def _closed_pipe() -> int:
    """Whoever read our output has gone, as in ``symevo tasks | head -1``: no reason to complain."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1

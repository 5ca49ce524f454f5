"""Runs a program under SCOOP on this machine: a broker, an origin, and workers, replaced when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from symevo.engines.guard import kill_group, python
from symevo.engines.scoop import INSTALL, boot
from symevo.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self

MARKER = "_SYMEVO_SCOOP"
_HOST = "127.0.0.1"
_TICK = 0.05
_GRACE = 15.0
_MAX_RESPAWNS = 20


def inside_scoop() -> bool:
    """Whether this process belongs to a run that :func:`supervise` started."""
    return os.environ.get(MARKER) == "1"


def supervise(argv: Sequence[str], workers: int, *, target: str = "symevo.cli:main") -> int:
    """Run ``target(argv)`` as the origin of a SCOOP pool and return its exit code; call it from the main thread.

    SIGINT and SIGTERM go to the origin once, which then has 15 s. An origin that they end before it can handle them
    was interrupted: 130. Any other signal that ends it gives 128 + its number. On return nothing of the pool is left;
    on Linux that holds also if this process is killed. The target, ``"package.module:function"``, is called with a list
    of strings and returns an exit code or None.

    Raises:
        UserError: Fewer than one worker beside the origin, or SCOOP is missing or of another version.
    """
    if workers < 1:
        raise UserError(f"workers is {workers}: give 1 or more")
    with _Pool(argv, workers, target) as pool:
        return pool.run()


class _Pool:
    """The processes of one run, and the first SIGINT or SIGTERM that came for it."""

    def __init__(self, argv: Sequence[str], workers: int, target: str) -> None:
        try:
            from symevo.engines.scoop.broker import BrokerThread, new_keys
        except ImportError as error:
            raise UserError(f"SCOOP cannot be imported ({error}): {INSTALL}") from None
        os.environ.update(new_keys())  # the broker's sockets read them here
        self._broker = BrokerThread()
        own = {MARKER: "1", boot.PARENT: str(os.getpid()), boot.TARGET: target}
        self._environment = {**os.environ, **own}
        self._argv, self._size = list(argv), workers + 1
        self._respawns_left = _MAX_RESPAWNS
        self.signal: int | None = None
        self._forwarded = False
        self._origin: subprocess.Popen[bytes] | None = None
        self._workers: list[subprocess.Popen[bytes]] = []
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._broker.stop()
        for process in [*self._workers, *([self._origin] if self._origin else [])]:
            kill_group(process)

    def run(self) -> int:
        """Starts all and waits for the origin; returns the exit code."""
        origin = self._origin = self._spawn(origin=True)
        self._workers = [self._spawn() for _ in range(self._size - 1)]
        kill_at: float | None = None
        while origin.poll() is None:
            if self.signal is not None and not self._forwarded:
                self._forwarded = True
                origin.send_signal(self.signal)
                kill_at = time.monotonic() + _GRACE
            if kill_at is not None and time.monotonic() > kill_at:
                kill_group(origin)
            if self._broker.serving:
                self._replace_the_dead()
                if not self._workers:
                    print("symevo: error: the SCOOP pool died; see the messages above", file=sys.stderr)
                    return 1
            elif kill_at is None:
                # An origin that has finished shuts the broker down, and the workers, before it ends itself.
                kill_at = time.monotonic() + _GRACE
            time.sleep(_TICK)
        code = origin.returncode
        if self._forwarded and code == -(self.signal or 0):
            print("symevo: interrupted before the first checkpoint; nothing to go on with", file=sys.stderr)
            return 130
        return code if code >= 0 else 128 - code

    def _note(self, number: int, frame: object) -> None:
        self.signal = self.signal or number

    def _replace_the_dead(self) -> None:
        for worker in [worker for worker in self._workers if worker.poll() is not None]:
            self._workers.remove(worker)
            self._broker.suspect()
            if self._respawns_left:
                self._respawns_left -= 1
                self._workers.append(self._spawn())

    def _spawn(self, *, origin: bool = False) -> subprocess.Popen[bytes]:
        task_port, meta_port = self._broker.ports
        options = {
            "--size": self._size,
            "--workingDirectory": os.getcwd(),
            "--brokerHostname": _HOST,
            "--externalBrokerHostname": _HOST,
            "--taskPort": task_port,
            "--metaPort": meta_port,
        }
        flags = [part for pair in options.items() for part in pair] + (["--origin"] if origin else [])
        return subprocess.Popen(
            python(boot.__name__, *flags, boot.__file__, *self._argv),
            stdin=subprocess.DEVNULL,
            stdout=None if origin else 2,  # only the origin may write to standard output
            start_new_session=True,
            env=self._environment,
        )

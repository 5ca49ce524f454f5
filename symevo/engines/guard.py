"""A guard runs tasks in a child process of its own: time limits hold, and a crash stays a value.

The child comes from ``subprocess``, not ``multiprocessing``: a SCOOP worker cannot spawn. It runs :func:`main` of this
module and ends when the process that started it ends, however that ends. It has the import path of that process and no
other: ``python -m MODULE`` would put the current folder first, where a file called ``random.py`` or ``queue.py`` would
be taken for the standard library's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from symevo.engines.base import SETUP_FAILED, Preparation
from symevo.engines.resolve import attempt, describe, prepare, reference, resolve
from symevo.engines.wire import Channel, never, pack, reply, unpack
from symevo.errors import UserError

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_MODULE = "symevo.engines.guard"
_LAST_BREATH = 1.0
_SETUP_TRIES = 3
_PR_SET_PDEATHSIG = 1


class GuardSpec(NamedTuple):
    """How a guard prepares its children, as plain data that may pass through other processes unopened.

    The child has ``timeout`` seconds to start and answer ``hello``, the first request.
    """

    hello: bytes
    timeout: float
    threads: int

    @classmethod
    def of(cls, preparation: Preparation) -> GuardSpec:
        """The specification for a preparation; raises UserError where its item cannot be pickled."""
        try:
            hello = pack(reference(prepare), (preparation.imports, preparation.setup))
        except Exception as error:  # noqa: BLE001
            raise UserError(f"the item of the setup function must be plain data: {describe(error)}") from None
        return cls(hello, preparation.timeout, preparation.threads)


class _Cancelled(Exception):
    """The map that sent the task no longer wants it."""


class Guard:
    """Runs one request at a time in a child that is started when needed and replaced after a failure.

    On Linux a child dies with the *thread* that made the call which started it, so that thread must live on.
    """

    def __init__(self, spec: GuardSpec) -> None:
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel
        self._cancelled: Callable[[], bool] = never

    def call(self, request: bytes, *, timeout: float | None = None, cancelled: Callable[[], bool] = never) -> bytes:
        """The reply to a packed request; never raises for what the task does.

        The start and preparation of the child do not count for the ``timeout``. ``cancelled`` is asked about ten times
        a second; True ends the task and its child.
        """
        self._cancelled = cancelled
        if cancelled():
            return reply("crashed", "cancelled", 0.0)
        if self._process is None:
            failure = self._start()
            if failure is not None:
                return failure
        return self._exchange(request, timeout)

    def close(self) -> None:
        """Ends the child; a later call starts a new one."""
        if self._process is not None:
            # Not asked politely: an evaluation holds nothing worth saving, and may hang.
            kill_group(self._process)
            self._channel.close()
            self._process = None

    def _start(self) -> bytes | None:
        """Starts and prepares a child; returns the reply that says why it could not be done, or None.

        A child that dies meanwhile may have been killed from outside, so another is tried.
        """
        for _ in range(_SETUP_TRIES):
            failure = self._try_to_start()
            if failure is None or unpack(failure)[0] != "crashed" or self._cancelled():
                break
        return failure

    def _try_to_start(self) -> bytes | None:
        try:
            self._process, self._channel = _spawn(self._spec.threads, self._watch)
        except OSError as error:
            return reply("crashed", f"{SETUP_FAILED}{describe(error)}", 0.0)
        status, reason, _ = unpack(self._exchange(self._spec.hello, self._spec.timeout))
        if status == "ok":
            return None
        self.close()
        # Only a crash may be worth another try: exceptions and time-outs of a setup come again.
        return reply("crashed" if status == "crashed" else "exception", f"{SETUP_FAILED}{reason}", 0.0)

    def _exchange(self, request: bytes, timeout: float | None) -> bytes:
        start = time.monotonic()
        deadline = None if timeout is None else start + timeout
        try:
            self._channel.send(request, deadline=deadline)
            return self._channel.receive(deadline=deadline)
        except TimeoutError:
            status, reason = "timeout", f"no result within {timeout or 0:g} s"
        except EOFError:
            status, reason = "crashed", self._post_mortem()
        except _Cancelled:
            status, reason = "crashed", "cancelled"
        except BaseException:
            self.close()
            raise
        self.close()
        return reply(status, reason, time.monotonic() - start)

    def _watch(self) -> bool:
        """Whether the child is dead: a process that it left behind may keep its end of the pipe open."""
        if self._cancelled():
            raise _Cancelled
        return self._process is None or self._process.poll() is not None

    def _post_mortem(self) -> str:
        assert self._process is not None
        try:
            return cause_of_death(self._process.wait(_LAST_BREATH))
        except subprocess.TimeoutExpired:
            return "the process closed its pipe"


def _spawn(threads: int, watch: Callable[[], bool]) -> tuple[subprocess.Popen[bytes], Channel]:
    """Starts a child; raises OSError if the system refuses."""
    requests, to_child = os.pipe()
    from_child, replies = os.pipe()
    try:
        process = subprocess.Popen(
            python(_MODULE, os.getpid(), requests, replies),
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a task prints must not mix with the origin's standard output
            pass_fds=(requests, replies),
            start_new_session=True,
            env=_environment(threads),
        )
    except BaseException:
        os.close(to_child)
        os.close(from_child)
        raise
    finally:
        os.close(requests)
        os.close(replies)
    return process, Channel(from_child, to_child, watch=watch)


def _environment(threads: int) -> dict[str, str]:
    """This environment, with thread counts.

    They are read once, when a library is loaded; so they must be there before the child's first import.
    """
    return {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}


def answer(request: bytes) -> bytes:
    """Run one request and return its reply, whatever happens in between."""
    # SystemExit too is caught: a task must not end its child quietly.
    return reply(*attempt(_run, request, BaseException))


def _run(request: bytes) -> Any:
    function, item = pickle.loads(request)  # noqa: S301
    return resolve(function)(item)


def main() -> None:
    """Answers requests in a child, which was started with the words PARENT READ_FD WRITE_FD, until its guard ends."""
    parent, reads, writes = map(int, sys.argv[1:])
    die_with(parent)
    # Ctrl-C is for the origin, which then ends its children itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(reads, writes)
    try:
        while True:
            channel.send(answer(channel.receive()))
    except EOFError:
        return


def die_with(parent: int) -> None:
    """Have Linux kill this process as soon as the *thread* that started it ends; exit if the parent is gone by now.

    Elsewhere a child notices the end of its parent only when it next reads from its pipe.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that leads its own session, and all that it started in it; then reaps it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def cause_of_death(code: int) -> str:
    """The return code of a ``Popen`` in words."""
    if code >= 0:
        return f"the process ended with exit code {code}"
    try:
        return f"the process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the process was killed by signal {-code}"


def python(module: str, *arguments: object) -> list[str]:
    """The command line of a new Python that calls the ``main`` of a module, whose name is first in ``sys.argv``."""
    path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
    # The path is set before the first import, but for sys, which is part of the interpreter.
    code = f"import sys; sys.path[:] = {path!r}; del sys.argv[0]; from {module} import main; main()"
    return [sys.executable, "-c", code, module, *map(str, arguments)]

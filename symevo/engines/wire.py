"""Messages between a guard and its child: 8 bytes of length, then a pickle.

A request is a pickled ``(function name, item)``, a reply a pickled ``(status, value, seconds)``. Only a child
opens requests and only the origin opens replies; whatever stands between them passes bytes on, so that no
item and no result can break a worker.
"""

from __future__ import annotations

import math
import os
import pickle
import select
import struct
import time
from collections.abc import Callable
from typing import Any

from symevo.engines.resolve import describe

TICK = 0.1
"""Seconds between two looks at things that no pipe reports: a cancelled task, a child that died silently."""

_LENGTH = struct.Struct("!Q")
_CHUNK = 1 << 20


def pack(function: str, item: Any) -> bytes:
    """A request; raises whatever pickling the item raises."""
    return pickle.dumps((function, item), pickle.HIGHEST_PROTOCOL)


def reply(status: str, value: Any, seconds: float) -> bytes:
    """A reply; a value that cannot be pickled makes it an ``exception``."""
    try:
        return pickle.dumps((status, value, seconds), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001
        return reply("exception", f"the result cannot be pickled: {describe(error)}", seconds)


def unpack(message: bytes) -> tuple[Any, Any, float]:
    """Status, value and seconds of a reply; one that cannot be read is an ``exception``."""
    try:
        return pickle.loads(message)  # noqa: S301
    except Exception as error:  # noqa: BLE001
        return "exception", f"the result cannot be unpickled: {describe(error)}", 0.0


def never() -> bool:
    """The watch of a channel whose other end cannot fall silent."""
    return False


class Channel:
    """One end of a pair of pipes that carry whole messages, and which it owns.

    ``watch`` is called every :data:`TICK` seconds of waiting; True says that the other end is dead. It may raise.
    """

    def __init__(self, reads: int, writes: int, *, watch: Callable[[], bool] = never) -> None:
        self._reads, self._writes, self._watch = reads, writes, watch
        for descriptor in (reads, writes):
            os.set_blocking(descriptor, False)

    def send(self, message: bytes, *, deadline: float | None = None) -> None:
        """Send one message; raises TimeoutError at the deadline of ``time.monotonic``, EOFError if the end is gone."""
        for part in (_LENGTH.pack(len(message)), message):
            rest = memoryview(part)
            while rest:
                self._wait(self._writes, select.POLLOUT, deadline)
                try:
                    rest = rest[os.write(self._writes, rest[:_CHUNK]) :]
                except BrokenPipeError:
                    raise EOFError from None

    def receive(self, *, deadline: float | None = None) -> bytes:
        """Receives one message; raises as :meth:`send` does."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        return self._read(length, deadline)

    def close(self) -> None:
        os.close(self._reads)
        os.close(self._writes)

    def _read(self, size: int, deadline: float | None) -> bytes:
        parts, missing = [], size
        while missing:
            self._wait(self._reads, select.POLLIN, deadline)
            part = os.read(self._reads, min(missing, _CHUNK))
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _wait(self, descriptor: int, event: int, deadline: float | None) -> None:
        poller = select.poll()
        poller.register(descriptor, event)
        while True:
            left = math.inf if deadline is None else deadline - time.monotonic()
            if poller.poll(math.ceil(1000 * max(0.0, min(TICK, left)))):
                return
            if left <= 0:
                raise TimeoutError
            # A last look at the pipe: the other end may have written its answer and died since.
            if self._watch() and not poller.poll(0):
                raise EOFError

"""The process that evaluates, started by a guard with the words PARENT READ_FD WRITE_FD."""

from __future__ import annotations

import pickle
import signal
import sys
import time

from symevo.engines.launch import die_with
from symevo.engines.resolve import describe, resolve
from symevo.engines.wire import Channel, reply


def answer(request: bytes) -> bytes:
    """Runs one request and returns its reply, whatever happens in between."""
    start = time.perf_counter()
    try:
        function, item = pickle.loads(request)  # noqa: S301
        status, value = "ok", resolve(function)(item)
    except BaseException as error:  # noqa: BLE001
        # SystemExit too: a task must not end its child quietly.
        status, value = "exception", describe(error)
    return reply(status, value, time.perf_counter() - start)


def main() -> None:
    """Answers requests until the guard closes its end."""
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

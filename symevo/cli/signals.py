"""Ctrl-C and SIGTERM: the first asks for an ordered end, and no other disturbs it."""

from __future__ import annotations

import os
import signal
import sys
import threading

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

    Attributes:
        heard: Whether a signal came.
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

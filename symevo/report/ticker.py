"""How far a comparison is, and how much time is left: on standard error, now and then."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from symevo.report.progress import clock

_SECONDS = 5.0
"""A line is said this often at most, on a terminal ten times as often."""
_EARLY = 0.02
"""Until so much is done, its pace says nothing of the rest."""


class Ticker:
    """Counts training steps; the time left is that of the steps left at the pace so far.

    Args:
        stream: Where lines go; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._begun = self._told = time.monotonic()
        self._done = self._total = 0

    def more(self, steps: int) -> None:
        """So many more training steps are to be made."""
        self._total += steps

    def advance(self, steps: int) -> None:
        """So many were made."""
        self._done += steps
        now = time.monotonic()
        if self._done and now - self._told >= _SECONDS / (10 if self._live else 1):
            self._told = now
            share = min(self._done / max(self._total, 1), 0.99)
            left = (now - self._begun) * (1 - share) / share
            text = f"{share:.0%} done" + ("" if share < _EARLY else f", about {clock(left)} left")
            before, after = ("\r\x1b[K", "") if self._live else ("", "\n")
            print(f"{before}{text}", end=after, file=self._stream, flush=True)

    def message(self, text: str) -> None:
        """One line for the user."""
        self.close()
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Wipes what was said in passing."""
        if self._live:
            print("\r\x1b[K", end="", file=self._stream, flush=True)

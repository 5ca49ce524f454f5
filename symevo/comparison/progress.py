"""Who is told how far a comparison is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a comparison reports to."""

    def more(self, steps: int) -> None:
        """So many more training steps are to be made."""
        ...

    def advance(self, steps: int) -> None:
        """So many were made."""
        ...

    def message(self, text: str) -> None:
        """One line for the user."""
        ...


class Count:
    """Turns how many trainings of some are made into training steps, for an evaluator's ``advance``.

    Args:
        progress: Who is told.
        steps: Of a training.
    """

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress, self._steps, self._made = progress, steps, 0

    def __call__(self, made: int, total: int) -> None:
        """So many of ``total`` trainings are made."""
        self._progress.advance((made - self._made) * self._steps)
        self._made = made


class Silent:
    """Says nothing."""

    def more(self, steps: int) -> None:
        """See :class:`Progress`."""

    def advance(self, steps: int) -> None:
        """See :class:`Progress`."""

    def message(self, text: str) -> None:
        """See :class:`Progress`."""

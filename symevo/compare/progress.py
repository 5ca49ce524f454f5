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


class Silent:
    """Says nothing."""

    def more(self, steps: int) -> None:
        """See :class:`Progress`."""

    def advance(self, steps: int) -> None:
        """See :class:`Progress`."""

    def message(self, text: str) -> None:
        """See :class:`Progress`."""

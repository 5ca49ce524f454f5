"""Catching what is made while something runs, such as the tasks of a user's file while it is imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_catchers: list[list[Any]] = []


@contextmanager
def collecting() -> Iterator[list[Any]]:
    """Gives a list that fills with everything announced inside; the innermost catcher takes all."""
    caught: list[Any] = []
    _catchers.append(caught)
    try:
        yield caught
    finally:
        _catchers.pop()


def announce(thing: Any) -> bool:
    """Hands ``thing`` to whoever is collecting, and says whether somebody is."""
    if _catchers:
        _catchers[-1].append(thing)
    return bool(_catchers)

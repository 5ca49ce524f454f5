"""The user's own files, and catching what is made while something runs, such as their tasks while they are imported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
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


def own_files(paths: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """The user's files, each once and by its real path, for a file has many spellings."""
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths))

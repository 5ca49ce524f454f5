"""Where the parameters of a model lie in the flat weights that an update gets."""

from __future__ import annotations

from typing import NamedTuple


class Segment(NamedTuple):
    """Where one parameter tensor lies in the flat weights: ``theta[:, start:stop]`` holds it, row by row."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]

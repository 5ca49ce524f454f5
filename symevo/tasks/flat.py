"""Where the parameters of a model lie in one flat row of weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from symevo.tasks.layers import ALIGNMENT


class Segment(NamedTuple):
    """Where one parameter tensor lies in the flat weights: ``theta[:, start:stop]`` holds it, row by row."""

    name: str
    start: int
    stop: int
    shape: torch.Size


def segments_of(model: nn.Module) -> tuple[Segment, ...]:
    """The trainable parameters of ``model`` in torch's order, each starting at a multiple of `ALIGNMENT`."""
    found, start = [], 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found.append(Segment(name, start, start + parameter.numel(), parameter.shape))
            start = rounded(start + parameter.numel(), ALIGNMENT)
    return tuple(found)


def width_of(segments: tuple[Segment, ...]) -> int:
    """W: the elements of a row, a multiple of `ALIGNMENT`; what lies between the segments is unused and 0."""
    return rounded(segments[-1].stop, ALIGNMENT)


def rounded(count: int, multiple: int) -> int:
    """``count``, up to the next multiple."""
    return -(-count // multiple) * multiple


def views(flat: Tensor, segments: tuple[Segment, ...]) -> dict[str, Tensor]:
    """Each parameter as a view ``[R, *shape]`` into ``flat [R, W]``."""
    return {s.name: flat[:, s.start : s.stop].unflatten(1, s.shape) if s.shape else flat[:, s.start] for s in segments}

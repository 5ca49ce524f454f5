"""What a network is made of: a description of each layer, which weights it has, and what it computes.

A network is a sequence of parts under softmax cross-entropy. The images of a convolution, ``[R, C·H·W, B]``, have their
features in torch's order, so nothing need be done where a Flatten stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from symevo.errors import UserError
from symevo.evograd.products import Columns, Windows, product
from symevo.evograd.statistics import aligned

Shape = tuple[int, ...]


class Part:
    """One layer.

    Attributes:
        weights: Shapes of its matrix and its bias, as torch has them; none of a layer without weights.
    """

    @property
    def weights(self) -> tuple[Shape, ...]:
        return ()

    def out(self, shape: Shape) -> Shape | None:
        """The shape of its output for one sample, from that of its input; None where that does not fit."""
        raise NotImplementedError

    def apply(self, x: Tensor, shape: Shape, *weights: Tensor) -> Tensor:
        """Its output ``[R, out, B]`` for inputs ``[R, in, B]``, which it may overwrite.

        Args:
            x: The inputs, the rows of which start at multiples of 64 bytes; one row may stand for all.
            shape: That of one sample.
            *weights: ``[R, …]`` each.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Dense(Part):
    """W·x + b."""

    inputs: int
    outputs: int

    def __str__(self) -> str:
        return f"Linear({self.inputs}, {self.outputs})"

    @property
    def weights(self) -> tuple[Shape, ...]:
        return (self.outputs, self.inputs), (self.outputs,)

    def out(self, shape: Shape) -> Shape | None:
        return (self.outputs,) if math.prod(shape) == self.inputs else None

    def apply(self, x: Tensor, shape: Shape, *weights: Tensor) -> Tensor:
        weight, bias = weights
        return product(weight, x).add_(bias.unsqueeze(2))


@dataclass(frozen=True)
class Convolution(Part):
    """W·x + b in every window of an image; inputs and outputs are channels."""

    inputs: int
    outputs: int
    windows: Windows

    def __str__(self) -> str:
        return f"Conv2d({self.inputs}, {self.outputs}, {self.windows})"

    @property
    def weights(self) -> tuple[Shape, ...]:
        return (self.outputs, self.inputs, *self.windows.size), (self.outputs,)

    def out(self, shape: Shape) -> Shape | None:
        return _slid(self.windows, self.outputs, shape) if shape[0] == self.inputs else None

    def apply(self, x: Tensor, shape: Shape, *weights: Tensor) -> Tensor:
        weight, bias = weights
        columns = Columns(self.windows, shape, len(x), x.shape[2], x.dtype).gather(x)
        found = product(weight.flatten(2), columns).add_(bias.unsqueeze(2))
        return found.unflatten(2, (-1, x.shape[2])).flatten(1, 2)


@dataclass(frozen=True)
class Pool(Part):
    """The largest value of each window, or the mean."""

    windows: Windows
    largest: bool

    def __str__(self) -> str:
        return f"{'Max' if self.largest else 'Avg'}Pool2d({self.windows})"

    def out(self, shape: Shape) -> Shape | None:
        return _slid(self.windows, shape[0], shape)

    def apply(self, x: Tensor, shape: Shape, *weights: Tensor) -> Tensor:
        cells = Columns(self.windows, shape, len(x), x.shape[2], x.dtype).gather(x).unflatten(1, (shape[0], -1))
        found = self.pooled(cells, aligned((len(x), shape[0], cells.shape[3]), x.dtype))
        return found.unflatten(2, (-1, x.shape[2])).flatten(1, 2)

    def pooled(self, cells: Tensor, out: Tensor) -> Tensor:
        """Fills ``out [R, C, windows·B]`` from what stands in each window, ``[R, C, h·w, windows·B]``."""
        return torch.amax(cells, 2, out=out) if self.largest else torch.mean(cells, 2, out=out)


@dataclass(frozen=True)
class Rectifier(Part):
    """max(x, 0)."""

    def __str__(self) -> str:
        return "ReLU()"

    def out(self, shape: Shape) -> Shape | None:
        return shape

    def apply(self, x: Tensor, shape: Shape, *weights: Tensor) -> Tensor:
        return x.clamp_min_(0)


def _slid(windows: Windows, channels: int, shape: Shape) -> Shape | None:
    grid = windows.grid(*shape[1:]) if len(shape) == 3 else (0, 0)
    return (channels, *grid) if min(grid) > 0 else None


def perceptron(sizes: Sequence[int]) -> list[Part]:
    """Dense layers with a ReLU between each two.

    Args:
        sizes: Features of the input, of each hidden layer, and of the output.

    Raises:
        UserError: There are less than two, or one is not positive.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise UserError(f"sizes are those of input and output at least, each 1 or more, not {list(sizes)}")
    parts: list[Part] = []
    for pair in pairwise(sizes):
        parts += [Dense(*pair), Rectifier()]
    return parts[:-1]


def parts_of(network: Sequence[int] | Sequence[Part]) -> list[Part]:
    """The parts of a network, which may be given as the sizes of a perceptron."""
    parts = [one for one in network if isinstance(one, Part)]
    return parts or perceptron([one for one in network if not isinstance(one, Part)])


def sample_shapes(network: Sequence[Part], sample: Sequence[int]) -> list[Shape]:
    """The shape of each part's input for one sample, and of the last one's output.

    Raises:
        UserError: A part cannot take what comes to it.
    """
    found = [tuple(sample)]
    for part in network:
        after = part.out(found[-1])
        if after is None:
            raise UserError(
                f"{part} cannot take {list(found[-1])}, which inputs [B, {str(list(sample))[1:]} are by then"
            )
        found.append(after)
    return found

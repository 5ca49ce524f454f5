"""Products of matrices, one for each row, whose bits do not depend on the number of rows.

Windows that slide over images: as columns of a matrix, of which a convolution is a product, and back.

Images are ``[R, C, H, W, B]``, the batch innermost as in all signals, so what stands at one place of every window is a
slice of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from symevo.evograd.statistics import aligned


@dataclass(frozen=True)
class Windows:
    """Where windows stand.

    Attributes:
        size: Height and width of a window.
        stride: From window to window: down, and to the right.
        border: Rows of zeros above and below the image, columns of them left and right.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    border: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __str__(self) -> str:
        return f"kernel_size={self.size}, stride={self.stride}, padding={self.border}"

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """How many windows stand below and beside each other on an image; below 1 where it is too small."""
        (h, w), (down, right), (above, below, left, beyond) = self.size, self.stride, self.border
        return (height + above + below - h) // down + 1, (width + left + beyond - w) // right + 1

    def bordered(self, height: int, width: int) -> tuple[int, int]:
        """Size of an image with its border."""
        above, below, left, beyond = self.border
        return height + above + below, width + left + beyond

    def inside(self, bordered: Tensor) -> Tensor:
        """The images without their borders, a view."""
        above, below, left, beyond = self.border
        height, width = bordered.shape[2:4]
        return bordered[:, :, above : height - below, left : width - beyond]

    def cells(self, bordered: Tensor) -> list[Tensor]:
        """For each place of a window, in reading order, what stands there in all of them: views ``[R, C, h, w, B]``."""
        down, right = self.stride
        h, w = Windows(self.size, self.stride).grid(*bordered.shape[2:4])
        return [
            bordered[:, :, i : i + down * (h - 1) + 1 : down, j : j + right * (w - 1) + 1 : right]
            for i, j in itertools.product(*map(range, self.size))
        ]


class Columns:
    """Memory for the windows of a batch of images: for one that is gathered, or for one that is folded.

    Attributes:
        values: ``[R, C·h·w, windows·B]``: a row for each channel and place of a window, as the weights of torch's
            convolutions lie.
    """

    def __init__(self, windows: Windows, shape: Sequence[int], rows: int, batch: int, dtype: torch.dtype) -> None:
        """``shape`` is that of an image ``(C, H, W)``."""
        channels, height, width = self._shape = tuple(shape)
        self._windows, count, grid = windows, math.prod(windows.size), windows.grid(height, width)
        self.values = aligned((rows, channels * count, grid[0] * grid[1] * batch), dtype)
        self._cells = self.values.unflatten(2, (*grid, batch)).unflatten(1, (channels, count)).unbind(2)
        self._bordered = None
        if any(windows.border):
            self._bordered = aligned((rows, channels, *windows.bordered(height, width), batch), dtype)

    def gather(self, x: Tensor) -> Tensor:
        """Fills the columns from images ``[R, C·H·W, B]``, and returns them."""
        images = x.unflatten(1, self._shape)
        if self._bordered is not None:
            self._windows.inside(self._bordered).copy_(images)
            images = self._bordered
        for cell, source in zip(self._cells, self._windows.cells(images), strict=True):
            cell.copy_(source)
        return self.values

    def fold(self, out: Tensor) -> None:
        """The adjoint of `gather`: adds the columns to where they were read from, in ``out [R, C·H·W, B]``."""
        inside = out.unflatten(1, self._shape)
        images = inside if self._bordered is None else self._bordered
        images.zero_()
        for cell, target in zip(self._cells, self._windows.cells(images), strict=True):
            target.add_(cell)
        if self._bordered is not None:
            inside.copy_(self._windows.inside(self._bordered))


def product(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``a [R, n, m] @ b [R, m, p]``, where one row of ``b`` may stand for all.

    Every operand's rows must start at multiples of 64 bytes: MKL sums in another order elsewhere.
    """
    rows = max(len(a), len(b))
    a, b = a.expand(rows, -1, -1), b.expand(rows, -1, -1)
    out = aligned((rows, a.shape[1], b.shape[2]), a.dtype) if out is None else out
    if rows == 1 and 1 in (*a.shape[1:], b.shape[2]):
        # A single product with a vector has a kernel of its own, with other bits.
        return out.copy_(torch.bmm(a.expand(2, -1, -1), b.expand(2, -1, -1))[:1])
    return torch.bmm(a, b, out=out)

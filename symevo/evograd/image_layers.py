"""Layers for images, whose signals are those of every channel and place, ``[R, C·H·W, B]``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from symevo.evograd.controllers import Nets
from symevo.evograd.layers import Layer, Linear, Parameter, units
from symevo.evograd.network import Pool, Shape
from symevo.evograd.products import Columns, Windows
from symevo.evograd.statistics import Signals, aligned


class Conv2d(Linear):
    """A linear layer over the windows of an image: z = W·(x in the window) for every window.

    It has a signal for every output channel and window, and on each the controllers of linear layers act.
    """

    def __init__(self, x: Signals, weight: Parameter, windows: Windows, shape: Shape, *, first: bool) -> None:
        """``shape`` is that of an image ``(C, H, W)``."""
        (own, _, batch), dtype = x.values.shape, x.values.dtype
        self._windows = Columns(windows, shape, own, batch, dtype)
        self._gradients = Columns(windows, shape, len(weight.value), batch, dtype)
        super().__init__(x, weight, first=first, columns=self._windows.values)

    def forward(self) -> None:
        self._windows.gather(self.x.values)
        super().forward()

    def _take_back(self, grad: Tensor, out: Tensor) -> None:
        super()._take_back(grad, self._gradients.values)
        self._gradients.fold(out)


class Pool2d(Layer):
    """The largest value of each window, or the mean.

    It has no controllers: both streams are taken back by the linear map that has just made its output of its input.
    """

    def __init__(self, x: Signals, pool: Pool, shape: Shape) -> None:
        """``shape`` is that of an image ``(C, H, W)``."""
        (rows, _, batch), dtype, channels = x.values.shape, x.values.dtype, shape[0]
        self.x, self._pool = x, pool
        self._windows, self._gradients = (Columns(pool.windows, shape, rows, batch, dtype) for _ in range(2))
        places = self._windows.values.shape[2]
        self.out = Signals((rows, channels * places // batch, batch), dtype)
        self.grad1_in, self.grad2_in = Signals(x.values.shape, dtype), aligned(x.values.shape, dtype)
        self._pooled = units(self.out.values, channels)
        self._cells, self._spread = (
            one.values.unflatten(1, (channels, -1)) for one in (self._windows, self._gradients)
        )
        # Of each value in a window: how much of it is in the output.
        self._shares = torch.full_like(self._cells, 1 / self._cells.shape[2])
        self._left = torch.empty_like(self._pooled)

    def connect(self, nets: Mapping[str, Nets], grad1: Signals, grad2: Tensor) -> None:
        ways = (grad1.values, self.grad1_in.values), (grad2, self.grad2_in)
        self._ways = [(units(grad, len(self._pooled[0])), grad_in) for grad, grad_in in ways]

    def forward(self) -> None:
        self._windows.gather(self.x.values)
        self._pool.pooled(self._cells, self._pooled)
        self.out.describe()
        if self._pool.largest:
            self._left.fill_(1)  # until the first of equal values, which has all, as torch has it
            for cell, share in zip(self._cells.unbind(2), self._shares.unbind(2), strict=True):
                torch.eq(cell, self._pooled, out=share).mul_(self._left)
                self._left.sub_(share)

    def backward(self) -> None:
        for grad, grad_in in self._ways:
            torch.mul(self._shares, grad.unsqueeze(2), out=self._spread)
            self._gradients.fold(grad_in)
        self.grad1_in.describe()

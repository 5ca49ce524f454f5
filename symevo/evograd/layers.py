"""The types of layers: each computes forward, and takes both streams of gradients back from its output to its input.

An object is one layer with the memory that batches of one size need. What the nets see statistics of is described where
it is made, once, and shared by the layers on both sides. Signals of images are those of every channel and place,
``[R, C·H·W, B]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from symevo.evograd.controllers import Nets
from symevo.evograd.layout import STATISTICS
from symevo.evograd.network import Pool, Shape
from symevo.evograd.products import Columns, Windows, product
from symevo.evograd.statistics import Signals, aligned


class Parameter(NamedTuple):
    """One tensor of weights and its two gradients, ``[R, …]``."""

    value: Tensor
    grad1: Tensor
    grad2: Tensor


def units(values: Tensor, units: int) -> Tensor:
    """Signals ``[R, units·places, B]`` as a matrix ``[R, units, places·B]``, a view."""
    return values.unflatten(1, (units, -1)).flatten(2)


class Layer:
    """One layer between two others.

    Attributes:
        x: Its input.
        out: Its output.
        grad1_in: ∇1 of the input.
        grad2_in: ∇2 of the input.
    """

    x: Signals
    out: Signals
    grad1_in: Signals
    grad2_in: Tensor

    def connect(self, nets: Mapping[str, Nets], grad1: Signals, grad2: Tensor) -> None:
        """Takes the controllers by type of layer, and where the layer behind leaves the gradients of this output."""
        raise NotImplementedError

    def forward(self) -> None:
        raise NotImplementedError

    def backward(self) -> None:
        raise NotImplementedError


class Linear(Layer):
    """z = W·x. ∇2 of W is built on ∇1 out + Δ0, that of the input on ∇1 out + Δ1."""

    def __init__(self, x: Signals, weight: Parameter, *, first: bool, columns: Tensor | None = None) -> None:
        """Takes a layer's matrix ``[R, out, …]``.

        Args:
            x: The input.
            weight: What it is multiplied by.
            first: Nobody asks for ∇2 of the input.
            columns: What is multiplied, ``[R or 1, in, places·B]``, if not the input itself: each output has ``places``
                signals.
        """
        (_, features, batch), dtype = x.values.shape, x.values.dtype
        self.x, self._first, self._columns = x, first, x.values if columns is None else columns
        self._weight = Parameter(*(one.flatten(2) for one in weight))
        self._transposed = self._weight.value.transpose(1, 2)
        rows, outputs, _ = self._weight.value.shape
        self.out = Signals((rows, outputs * self._columns.shape[2] // batch, batch), dtype)
        self.grad1_in = Signals((rows, features, batch), dtype)
        self.grad2_in = aligned((rows, 0 if first else features, batch), dtype)
        self._changed = [aligned(self.out.values.shape, dtype) for _ in range(2)]
        self._product = units(self.out.values, outputs)

    def connect(self, nets: Mapping[str, Nets], grad1: Signals, grad2: Tensor) -> None:
        seen = [self.x.statistics, self.out.statistics, self.grad1_in.statistics]
        self._correct = nets["linear"].on(seen, [self.out.values, grad1.values, grad2], self._changed)
        self._grad1, *self._sums = (units(one, self._product.shape[1]) for one in (grad1.values, *self._changed))

    def forward(self) -> None:
        product(self._weight.value, self._columns, out=self._product)
        self.out.describe()

    def backward(self) -> None:
        columns = self._columns.transpose(1, 2)
        product(self._grad1, columns, out=self._weight.grad1)
        self._take_back(self._grad1, self.grad1_in.values)
        self.grad1_in.describe()
        self._correct()
        of_weight, of_input = (change.add_(self._grad1) for change in self._sums)
        product(of_weight, columns, out=self._weight.grad2)
        if not self._first:
            self._take_back(of_input, self.grad2_in)

    def _take_back(self, grad: Tensor, out: Tensor) -> None:
        """A gradient ``[R, out, places·B]`` of the output to that of the input."""
        product(self._transposed, grad, out=out)


class Bias(Layer):
    """a = z + b. ∇2 of b is the sum of Δ0 over the batch, that of the input is ∇1 + Δ1.

    A bias may be that of several signals, which lie next to each other.
    """

    def __init__(self, x: Signals, bias: Parameter) -> None:
        (rows, features, batch), dtype, units = x.values.shape, x.values.dtype, bias.value.shape[1]
        self.x, self._bias = x, bias
        self.out = Signals(x.values.shape, dtype)
        self._column = Signals((rows, units, features // units), dtype)
        self._biases, self._of_bias = self._column.values.flatten(1).unsqueeze(2), self._column.statistics[..., :1]
        self._described = aligned((rows, STATISTICS, batch), dtype)
        self._change, self.grad2_in = aligned(x.values.shape, dtype), aligned(x.values.shape, dtype)

    def connect(self, nets: Mapping[str, Nets], grad1: Signals, grad2: Tensor) -> None:
        self.grad1_in = grad1
        seen = [self.x.statistics, self._described, self.out.statistics, grad1.statistics]
        signals = [self.x.values, self.out.values, grad1.values, grad2]
        changes = [self._change, self.grad2_in]
        self._correct = nets["bias"].on(seen, signals, changes, feature=self._biases.squeeze(2))
        self._summed = [units(one, self._column.values.shape[1]) for one in (grad1.values, self._change)]

    def forward(self) -> None:
        self._column.values.copy_(self._bias.value.unsqueeze(2))
        self._column.describe()
        self._described.copy_(self._of_bias)
        torch.add(self.x.values, self._biases, out=self.out.values)
        self.out.describe()

    def backward(self) -> None:
        grad1, change = self._summed
        torch.sum(grad1, 2, out=self._bias.grad1)
        self._correct()
        torch.sum(change, 2, out=self._bias.grad2)
        self.grad2_in.add_(self.grad1_in.values)


class ReLU(Layer):
    """h = max(a, 0). ∇2 of the input is ∇1 in + Δ."""

    def __init__(self, x: Signals) -> None:
        shape, dtype = x.values.shape, x.values.dtype
        self.x = x
        self.out, self.grad1_in = Signals(shape, dtype), Signals(shape, dtype)
        self.grad2_in = aligned(shape, dtype)

    def connect(self, nets: Mapping[str, Nets], grad1: Signals, grad2: Tensor) -> None:
        self._grad1 = grad1.values
        seen = [self.out.statistics, self.out.statistics, self.grad1_in.statistics]
        self._correct = nets["relu"].on(seen, [self.out.values, self.grad1_in.values, grad2], [self.grad2_in])

    def forward(self) -> None:
        torch.clamp_min(self.x.values, 0, out=self.out.values)
        self.out.describe()

    def backward(self) -> None:
        grad1_in = self.grad1_in.values
        torch.ops.aten.threshold_backward.grad_input(self._grad1, self.out.values, 0, grad_input=grad1_in)
        self.grad1_in.describe()
        self._correct()
        self.grad2_in.add_(grad1_in)


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


class Loss:
    """Softmax cross-entropy, the mean over the batch, and the start of both streams: ∇2 is ∇1 + Δ, both over B.

    Attributes:
        grad1_in: ∇1 of the logits.
        grad2_in: Their ∇2.
    """

    def __init__(self, nets: Nets, logits: Signals) -> None:
        shape, dtype = logits.values.shape, logits.values.dtype
        self._logits = logits
        self._exp, self._softmax, self._grad1 = (Signals(shape, dtype) for _ in range(3))
        self._onehot = aligned(shape, dtype)
        self._of_sample = aligned((shape[0], 2, shape[2]), dtype)
        self.grad1_in, self.grad2_in = Signals(shape, dtype), aligned(shape, dtype)
        described = (logits, self._exp, self._softmax, self._softmax, self._grad1)
        self._correct = nets.on(
            [one.statistics for one in described],
            [logits.values, self._exp.values, self._softmax.values, self._onehot],
            [self.grad2_in],
            sample=self._of_sample,
        )

    def __call__(self, labels: Tensor) -> Tensor:
        """Starts both streams; returns the losses ``[R]``."""
        logits, exp, softmax = (one.values for one in (self._logits, self._exp, self._softmax))
        largest, total = self._of_sample[:, :1], self._of_sample[:, 1:]
        torch.amax(logits, 1, keepdim=True, out=largest)
        torch.sub(logits, largest, out=exp).exp_()
        torch.sum(exp, 1, keepdim=True, out=total)
        torch.div(exp, total, out=softmax)
        self._onehot.zero_().scatter_(1, labels.expand(len(logits), 1, -1), 1)
        torch.sub(softmax, self._onehot, out=self._grad1.values)
        for one in (self._exp, self._softmax, self._grad1):
            one.describe()
        self._correct()
        batch = logits.shape[2]
        self.grad2_in.add_(self._grad1.values).div_(batch)
        torch.div(self._grad1.values, batch, out=self.grad1_in.values)
        self.grad1_in.describe()
        return losses(logits, labels).mean(1)


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sample, ``[R, B]``, of logits ``[R, classes, B]`` and labels ``[B]``."""
    chosen = logits.gather(1, labels.expand(len(logits), 1, -1)).squeeze(1)
    return logits.logsumexp(1) - chosen

"""The types of layers: each computes forward, and takes both streams of gradients back from its output to its input.

An object is one layer with the memory that batches of one size need. What the nets see statistics of is described where
it is made, once, and shared by the layers on both sides.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from symevo.neural.controllers import Nets
from symevo.neural.layout import STATISTICS
from symevo.neural.products import product
from symevo.neural.statistics import Signals, aligned


class Parameter(NamedTuple):
    """One tensor of weights and its two gradients, ``[R, …]``."""

    value: Tensor
    grad1: Tensor
    grad2: Tensor


class Layer:
    """One layer between two others.

    Attributes:
        x: Its input.
        out: Its output.
        grad1: ∇1 of the output, and its statistics.
        grad2: ∇2 of the output.
        grad1_in: ∇1 of the input.
        grad2_in: ∇2 of the input.
    """

    x: Signals
    out: Signals
    grad1: Signals
    grad2: Tensor
    grad1_in: Signals
    grad2_in: Tensor

    def connect(self, nets: Nets, grad1: Signals, grad2: Tensor) -> None:
        """Takes the controllers, and where the layer behind leaves the gradients of this one's output."""
        raise NotImplementedError

    def forward(self) -> None:
        raise NotImplementedError

    def backward(self) -> None:
        raise NotImplementedError


class Linear(Layer):
    """z = W·x. ∇2 of W is built on ∇1 out + Δ0, that of the input on ∇1 out + Δ1."""

    def __init__(self, x: Signals, weight: Parameter, *, first: bool) -> None:
        """``first``: nobody asks for ∇2 of the input."""
        rows, outputs, inputs = weight.value.shape
        batch, dtype = x.values.shape[2], x.values.dtype
        self.x, self._weight, self._transposed, self._first = x, weight, weight.value.transpose(1, 2), first
        self.out, self.grad1_in = Signals((rows, outputs, batch), dtype), Signals((rows, inputs, batch), dtype)
        self.grad2_in = aligned((rows, 0 if first else inputs, batch), dtype)
        self._changed = [aligned(self.out.values.shape, dtype) for _ in range(2)]

    def connect(self, nets: Nets, grad1: Signals, grad2: Tensor) -> None:
        self.grad1 = grad1
        seen = [self.x.statistics, self.out.statistics, self.grad1_in.statistics]
        self._correct = nets.on(seen, [self.out.values, grad1.values, grad2], self._changed)

    def forward(self) -> None:
        product(self._weight.value, self.x.values, out=self.out.values)
        self.out.describe()

    def backward(self) -> None:
        x, grad1 = self.x.values.transpose(1, 2), self.grad1.values
        product(grad1, x, out=self._weight.grad1)
        product(self._transposed, grad1, out=self.grad1_in.values)
        self.grad1_in.describe()
        self._correct()
        of_weight, of_input = (change.add_(grad1) for change in self._changed)
        product(of_weight, x, out=self._weight.grad2)
        if not self._first:
            product(self._transposed, of_input, out=self.grad2_in)


class Bias(Layer):
    """a = z + b. ∇2 of b is the sum of Δ0 over the batch, that of the input is ∇1 + Δ1."""

    def __init__(self, x: Signals, bias: Parameter) -> None:
        shape, dtype = x.values.shape, x.values.dtype
        self.x, self._bias = x, bias
        self.out = Signals(shape, dtype)
        self._column = Signals((*shape[:2], 1), dtype)
        self._described = aligned((shape[0], STATISTICS, shape[2]), dtype)
        self._change, self.grad2_in = aligned(shape, dtype), aligned(shape, dtype)

    def connect(self, nets: Nets, grad1: Signals, grad2: Tensor) -> None:
        self.grad1 = self.grad1_in = grad1
        seen = [self.x.statistics, self._described, self.out.statistics, grad1.statistics]
        signals = [self.x.values, self.out.values, grad1.values, grad2]
        self._correct = nets.on(seen, signals, [self._change, self.grad2_in], feature=self._bias.value)

    def forward(self) -> None:
        self._column.values.copy_(self._bias.value.unsqueeze(2))
        self._column.describe()
        self._described.copy_(self._column.statistics)
        torch.add(self.x.values, self._column.values, out=self.out.values)
        self.out.describe()

    def backward(self) -> None:
        torch.sum(self.grad1.values, 2, out=self._bias.grad1)
        self._correct()
        torch.sum(self._change, 2, out=self._bias.grad2)
        self.grad2_in.add_(self.grad1.values)


class ReLU(Layer):
    """h = max(a, 0). ∇2 of the input is ∇1 in + Δ."""

    def __init__(self, x: Signals) -> None:
        shape, dtype = x.values.shape, x.values.dtype
        self.x = x
        self.out, self.grad1_in = Signals(shape, dtype), Signals(shape, dtype)
        self.grad2_in = aligned(shape, dtype)

    def connect(self, nets: Nets, grad1: Signals, grad2: Tensor) -> None:
        self.grad1 = grad1
        seen = [self.out.statistics, self.out.statistics, self.grad1_in.statistics]
        self._correct = nets.on(seen, [self.out.values, self.grad1_in.values, grad2], [self.grad2_in])

    def forward(self) -> None:
        torch.clamp_min(self.x.values, 0, out=self.out.values)
        self.out.describe()

    def backward(self) -> None:
        grad1_in = self.grad1_in.values
        torch.ops.aten.threshold_backward.grad_input(self.grad1.values, self.out.values, 0, grad_input=grad1_in)
        self.grad1_in.describe()
        self._correct()
        self.grad2_in.add_(grad1_in)


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

"""The passes of a training step: forward, then both streams of gradients back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from symevo.neural.controllers import Nets
from symevo.neural.layers import Bias, Layer, Linear, Loss, Parameter, ReLU
from symevo.neural.statistics import Signals


class Passes:
    """Linear layers with biases, ReLUs between them, and softmax cross-entropy, on batches of one size."""

    def __init__(self, nets: Mapping[str, Nets], weights: Sequence[tuple[Parameter, Parameter]], batch: int) -> None:
        """Takes the controllers by type of layer, and matrix and bias of each linear layer."""
        first = weights[0][0].value
        self._x = Signals((1, first.shape[2], batch), first.dtype)
        self._layers: list[Layer] = []
        value = self._x
        for index, (weight, bias) in enumerate(weights):
            if index:
                value = self._add(ReLU(value))
            value = self._add(Linear(value, weight, first=index == 0))
            value = self._add(Bias(value, bias))
        self._loss = Loss(nets["loss"], value)
        grad1, grad2 = self._loss.grad1_in, self._loss.grad2_in
        for layer in reversed(self._layers):
            layer.connect(nets[type(layer).__name__.lower()], grad1, grad2)
            grad1, grad2 = layer.grad1_in, layer.grad2_in

    def _add(self, layer: Layer) -> Signals:
        self._layers.append(layer)
        return layer.out

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Fills both gradients of all weights from inputs ``[B, in]`` and labels ``[B]``; the losses ``[R]``."""
        self._x.values[0].copy_(x.t())
        self._x.describe()
        for layer in self._layers:
            layer.forward()
        found = self._loss(y)
        for layer in reversed(self._layers):
            layer.backward()
        return found

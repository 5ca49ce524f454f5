"""The passes of a training step: forward, then both streams of gradients back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from symevo.neural.controllers import Nets
from symevo.neural.image_layers import Conv2d, Pool2d
from symevo.neural.layers import Bias, Layer, Linear, Loss, Parameter, ReLU
from symevo.neural.network import Convolution, Part, Pool, Rectifier, Shape, sample_shapes
from symevo.neural.statistics import Signals


class Passes:
    """The layers of a network, under softmax cross-entropy, with the memory for batches of one shape."""

    def __init__(
        self,
        nets: Mapping[str, Nets],
        network: Sequence[Part],
        weights: Sequence[tuple[Parameter, Parameter]],
        shape: Sequence[int],
    ) -> None:
        """Takes the controllers by type of layer, matrix and bias of each part with weights, and the inputs' shape."""
        batch, *sample = shape
        self._x = Signals((1, math.prod(sample), batch), weights[0][0].value.dtype)
        self._layers: list[Layer] = []
        value, pairs = self._x, iter(weights)
        for part, of_input in zip(network, sample_shapes(network, sample), strict=False):
            value = self._add(part, value, of_input, pairs)
        self._loss = Loss(nets["loss"], value)
        grad1, grad2 = self._loss.grad1_in, self._loss.grad2_in
        for layer in reversed(self._layers):
            layer.connect(nets, grad1, grad2)
            grad1, grad2 = layer.grad1_in, layer.grad2_in

    def _add(self, part: Part, x: Signals, shape: Shape, pairs: Iterator[tuple[Parameter, Parameter]]) -> Signals:
        """Adds the layers of a part, and returns its output."""
        if isinstance(part, Rectifier):
            layers: list[Layer] = [ReLU(x)]
        elif isinstance(part, Pool):
            layers = [Pool2d(x, part, shape)]
        else:
            first, (weight, bias) = not self._layers, next(pairs)
            by_weight = (
                Conv2d(x, weight, part.windows, shape, first=first)
                if isinstance(part, Convolution)
                else Linear(x, weight, first=first)
            )
            layers = [by_weight, Bias(by_weight.out, bias)]
        self._layers += layers
        return layers[-1].out

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Fills both gradients of all weights from inputs ``[B, …]`` and labels ``[B]``; the losses ``[R]``."""
        self._x.values[0].copy_(x.flatten(1).t())
        self._x.describe()
        for layer in self._layers:
            layer.forward()
        found = self._loss(y)
        for layer in reversed(self._layers):
            layer.backward()
        return found

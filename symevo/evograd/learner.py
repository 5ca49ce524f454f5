"""Training of one network by many individuals at once, with two streams of gradients.

Every individual (a row) trains its own copy of a network (:mod:`symevo.evograd.network`) under softmax cross-entropy,
from the same initial weights and on the same batches. The first stream is back-propagation. The second starts beside it
at the loss, and at every layer the layer's two nets correct what comes out of the first; :mod:`symevo.evograd.lstm`
turns both into the update of the weights. No part of it is differentiated, so everything is written out.

Sameness: products are batched, one for each row, and every sum stays within a row, so the bits of a row do not depend
on the others.

The passes of a training step: forward, then both streams of gradients back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symevo.errors import UserError
from symevo.evograd.controllers import Nets
from symevo.evograd.layers import Bias, Conv2d, Layer, Linear, Loss, Parameter, Pool2d, ReLU, losses
from symevo.evograd.layout import CONTROLLERS, MEMORY, SIZE
from symevo.evograd.lstm import NeuralAdam
from symevo.evograd.network import Convolution, Part, Pool, Rectifier, Shape, parts_of, sample_shapes
from symevo.evograd.statistics import REALS, Signals, aligned
from symevo.native.cache import padded


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


_EVALUATED, _EVALUATED_IMAGES = 1024, 64  # samples at once
_SHAPES = 4  # shapes of batches whose buffers are kept


class Learner:
    """R copies of a network in training, each under its own controllers.

    Attributes:
        network: Its parts.
        theta: Weights ``[R, W]``: matrix and bias of each layer in turn, each from a multiple of 64 bytes on.
        grad1: Their gradients by back-propagation.
        grad2: Those of the second stream.
        weights: Matrix ``[R, out, …]`` and bias ``[R, out]`` of each part that has them, views into ``theta`` and its
            gradients.
        lr: Adam's learning rates ``[R]``, float64.
        memory: The neural optimizer with its states.
        t: Steps taken.
    """

    def __init__(
        self,
        network: Sequence[int] | Sequence[Part],
        controllers: Tensor | np.ndarray[Any, Any],
        *,
        lr: float | Sequence[float] | Tensor,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Takes the individuals; `start` comes next.

        Args:
            network: Its parts, one with weights first, and last :class:`symevo.evograd.network.Dense`; or the
                sizes of a perceptron.
            controllers: The individuals, ``[R, 3375]`` (:mod:`symevo.evograd.layout`).
            lr: Adam's learning rate, one for all or one for each.
            betas: Adam's decay rates.
            eps: Adam's ε.
            dtype: float32 or float64.

        Raises:
            UserError: Sizes, shapes or the dtype are not as above.
        """
        if dtype not in REALS:
            raise UserError(f"networks train in float32 or float64, not {dtype}")
        known = torch.as_tensor(controllers).to("cpu", dtype)
        if known.dim() != 2 or known.shape[1] != SIZE or not len(known):
            raise UserError(f"controllers are rows of {SIZE} numbers, not of shape {list(known.shape)}")
        self.network, self.dtype = tuple(parts_of(network)), dtype
        self._nets = {layer: Nets(known, layer) for layer in CONTROLLERS}
        self._rows, self._betas, self._eps = len(known), betas, eps
        self._memory_part = known[:, MEMORY].contiguous()
        rates = torch.as_tensor(lr, dtype=torch.float64)
        if rates.dim() and len(rates) != self._rows:
            raise UserError(f"lr is one learning rate, or one for each of {self._rows} rows, not {len(rates)}")
        self.lr = rates.expand(self._rows).contiguous()
        shapes = [shape for part in self.network for shape in part.weights]
        starts = np.cumsum([0, *(padded(math.prod(shape), dtype.itemsize) for shape in shapes)])
        self._places = [(int(start), shape) for start, shape in zip(starts, shapes, strict=False)]
        self.theta, self.grad1, self.grad2 = (torch.zeros(self._rows, int(starts[-1]), dtype=dtype) for _ in range(3))
        views = [
            Parameter(*(flat[:, at : at + math.prod(shape)].unflatten(1, shape) for flat in self._flats()))
            for at, shape in self._places
        ]
        self.weights = list(zip(views[::2], views[1::2], strict=True))
        self._passes: dict[torch.Size, Passes] = {}
        self.start([torch.zeros(shape) for shape in shapes])

    def _flats(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.theta, self.grad1, self.grad2

    def start(self, weights: Sequence[Tensor]) -> None:
        """Sets every row to the same weights, and moments and states to 0.

        Args:
            weights: Matrix and bias of each layer in turn, as ``parameters()`` of torch's modules have them.

        Raises:
            UserError: They do not fit the network.
        """
        shapes = [shape for _, shape in self._places]
        if [tuple(one.shape) for one in weights] != shapes:
            raise UserError(f"weights have the shapes {shapes}, not {[tuple(one.shape) for one in weights]}")
        self.theta.zero_()  # what lies between the tensors moves too, under controllers that add a constant
        for (at, shape), one in zip(self._places, weights, strict=True):
            self.theta[:, at : at + math.prod(shape)] = one.detach().flatten()
        self.memory = NeuralAdam(self._rows, self.theta.shape[1], self.dtype, betas=self._betas, eps=self._eps)
        self.t = 0

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One training step of all rows.

        Args:
            x: Inputs ``[B, in]``, or images ``[B, C, H, W]``.
            y: Labels ``[B]``, int64.

        Returns:
            The loss of each row before the step, ``[R]``.
        """
        found = self.gradients(x, y)
        self.t += 1
        self.memory.update(self.theta, self.grad1, self.grad2, self._memory_part, self.lr, self.t)
        return found

    def gradients(self, x: Tensor, y: Tensor) -> Tensor:
        """Fills ``grad1`` and ``grad2``; returns the losses ``[R]``."""
        if x.shape not in self._passes:
            if len(self._passes) == _SHAPES:
                self._passes.clear()
            self._passes[x.shape] = Passes(self._nets, self.network, self.weights, x.shape)
        return self._passes[x.shape](x, y)

    def outputs(self, x: Tensor) -> Tensor:
        """Logits ``[R, out, B]`` of inputs as of `step`."""
        features, pairs = x.flatten(1).t().unsqueeze(0), iter(self.weights)
        value = aligned(features.shape, self.dtype).copy_(features)
        for part, shape in zip(self.network, sample_shapes(self.network, x.shape[1:]), strict=False):
            value = part.apply(value, shape, *(one.value for one in next(pairs)) if part.weights else ())
        return value

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Accuracy ``[R]`` and mean loss ``[R]``, in float64, on inputs ``[N, …]`` with labels ``[N]``."""
        right, loss = (torch.zeros(self._rows, dtype=torch.float64) for _ in range(2))
        together = _EVALUATED if x.dim() == 2 else _EVALUATED_IMAGES
        for inputs, labels in zip(x.split(together), y.split(together), strict=True):
            logits = self.outputs(inputs)
            right += (logits.argmax(1) == labels).sum(1)
            loss += losses(logits, labels).sum(1, dtype=torch.float64)
        return right / len(y), loss / len(y)

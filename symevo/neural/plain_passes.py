"""Both streams of gradients of one batch, computed plainly, and shown layer by layer to whoever asks.

What :mod:`symevo.neural.passes` does in training, for one individual, in float64 numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symevo.neural.layout import CONTROLLERS
from symevo.neural.plain_nets import Array, PlainNets, statistics


@dataclass(frozen=True)
class Seen:
    """What the two nets of one layer saw in one batch, and what they answered.

    Attributes:
        layer: The type of layer.
        signals: ``[B, F]`` by name.
        statistics: ``[B, 6]`` by name of the vector.
        corrections: ``[B, F, k]``.
        beside: The ∇1 that they build on, ``[B, F]``.
    """

    layer: str
    signals: Mapping[str, Array]
    statistics: Mapping[str, Array]
    corrections: Array
    beside: Array


class PlainPasses:
    """Linear layers with biases, ReLUs between them and softmax cross-entropy, under one individual's controllers.

    Args:
        controllers: The 3,375 numbers.
        watch: Called with what each layer's nets saw, from the loss to the first layer.
    """

    def __init__(self, controllers: np.ndarray, watch: Callable[[Seen], None] = lambda seen: None) -> None:
        self._nets = {layer: PlainNets(controllers, layer) for layer in CONTROLLERS}
        self._watch = watch

    def __call__(self, weights: Sequence[tuple[Array, Array]], x: Array, y: np.ndarray) -> list[tuple[Array, Array]]:
        """The second gradients of matrix and bias of each layer.

        Args:
            weights: Matrix ``[out, in]`` and bias ``[out]`` of each layer.
            x: Inputs ``[B, in]``.
            y: Labels ``[B]``.
        """
        inputs, products, sums = [x], [], []
        for matrix, bias in weights:
            products.append(inputs[-1] @ matrix.T)
            sums.append(products[-1] + bias)
            inputs.append(np.maximum(sums[-1], 0))
        grad1, grad2 = self._loss(sums[-1], y)
        found = []
        for index in reversed(range(len(weights))):
            matrix, bias = weights[index]
            if index < len(weights) - 1:
                grad1, grad2 = self._relu(inputs[index + 1], grad1, grad2)
            of_bias, grad2 = self._bias(bias, products[index], sums[index], grad1, grad2)
            of_matrix, grad1, grad2 = self._linear(matrix, inputs[index], products[index], grad1, grad2)
            found.append((of_matrix, of_bias))
        return found[::-1]

    def _loss(self, logits: Array, y: np.ndarray) -> tuple[Array, Array]:
        largest = logits.max(1, keepdims=True)
        exp = np.exp(logits - largest)
        total = exp.sum(1, keepdims=True)
        softmax, onehot = exp / total, np.eye(logits.shape[1])[y]
        grad1 = softmax - onehot
        vectors = {"logits": logits, "exp": exp, "softmax": softmax, "grad1": grad1}
        signals = {**vectors, "max": largest, "sum": total, "onehot": onehot}
        change = self._correct("loss", signals, vectors, grad1)
        return grad1 / len(y), (grad1 + change[..., 0]) / len(y)

    def _relu(self, output: Array, grad1: Array, grad2: Array) -> tuple[Array, Array]:
        grad1_in = np.where(output > 0, grad1, 0.0)
        vectors = {"output": output, "grad1_in": grad1_in}
        change = self._correct("relu", {**vectors, "grad2_out": grad2}, vectors, grad1_in)
        return grad1_in, grad1_in + change[..., 0]

    def _bias(self, bias: Array, x: Array, output: Array, grad1: Array, grad2: Array) -> tuple[Array, Array]:
        vectors = {"input": x, "bias": bias[None], "output": output, "grad1_in": grad1}
        signals = {"input": x, "bias": bias[None], "output": output, "grad1_out": grad1, "grad2_out": grad2}
        change = self._correct("bias", signals, vectors, grad1)
        return change[..., 0].sum(0), grad1 + change[..., 1]

    def _linear(self, matrix: Array, x: Array, output: Array, grad1: Array, grad2: Array) -> tuple[Array, Array, Array]:
        grad1_in = grad1 @ matrix
        signals = {"output": output, "grad1_out": grad1, "grad2_out": grad2}
        change = self._correct("linear", signals, {"input": x, "output": output, "grad1_in": grad1_in}, grad1)
        return (grad1 + change[..., 0]).T @ x, grad1_in, (grad1 + change[..., 1]) @ matrix

    def _correct(self, layer: str, signals: Mapping[str, Array], vectors: Mapping[str, Array], beside: Array) -> Array:
        nets, (batch, features) = self._nets[layer], beside.shape
        described = {name: np.broadcast_to(statistics(one), (batch, 6)) for name, one in vectors.items()}
        wide = {name: np.broadcast_to(one, beside.shape) for name, one in signals.items()}
        of_sample = np.broadcast_to(nets.features(described)[:, None], (batch, features, 4))
        found = nets.corrections(wide, of_sample)
        self._watch(Seen(layer, wide, described, found, beside))
        return found

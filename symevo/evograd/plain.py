"""Both streams of gradients of one batch, computed plainly, and shown layer by layer to whoever asks.

What :mod:`symevo.evograd.learner` does in training, for one individual, in float64 numpy.

The small nets as formulas, for whoever looks into them: numpy in float64, from the tensors of the layout.

The machine code of training (:mod:`symevo.evograd.controller_loops`, :mod:`symevo.evograd.lstm_loops`) computes the
same. Inputs go by their names, so what the published nets are given twice is one input here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symevo.evograd.layout import CELLS, CONTROLLERS, tensors

Array = np.ndarray[Any, np.dtype[np.float64]]
WEIGHT_INPUTS = ("theta", "grad1", "adam", "grad2")
"""What the LSTM of a weight sees: θ, ∇1, Adam's step, ∇2."""


class PlainNets:
    """The statistics net and the gradient net of one type of layer.

    Args:
        controllers: The 3,375 numbers.
        layer: A key of :data:`symevo.evograd.layout.CONTROLLERS`.
    """

    def __init__(self, controllers: np.ndarray, layer: str) -> None:
        self.sizes, known = CONTROLLERS[layer], controllers.astype(np.float64)
        self._statistics, self._gradient = (tensors(known, layer, net) for net in ("statistics", "gradient"))

    def features(self, statistics: Mapping[str, Array]) -> Array:
        """What the statistics net makes of the statistics ``[N, 6]`` of each vector: ``[N, 4]``, not negative."""
        x = np.concatenate([statistics[name] for name in self.sizes.vectors], axis=-1)
        return _relu(_three(self._statistics, x))

    def corrections(self, signals: Mapping[str, Array], features: Array) -> Array:
        """What the gradient net answers to signals ``[N]`` and the features of their samples ``[N, 4]``: ``[N, k]``."""
        x = np.stack([signals[name] for name in self.sizes.signals], axis=-1)
        return _three(self._gradient, np.concatenate([x, features], axis=-1))


def _three(net: Mapping[str, Array], x: Array) -> Array:
    hidden = _relu(_dense(net, "first", x))
    hidden = _relu(_dense(net, "second", np.concatenate([hidden, x], axis=-1)))
    return _dense(net, "third", hidden)


def updates(controllers: np.ndarray, inputs: Array, h: Array, c: Array) -> Array:
    """What LSTM and head add to Adam's step, ``[steps, N]``.

    Args:
        controllers: The 3,375 numbers.
        inputs: ``[steps, N, 4]``, as :data:`WEIGHT_INPUTS`.
        h: The LSTMs' outputs before the first step, ``[N, 8]``.
        c: Their cells.
    """
    lstm, head = (tensors(controllers.astype(np.float64), "optimizer", net) for net in ("lstm", "head"))
    found = []
    for x in inputs:
        gates = x @ lstm["weight_ih"].T + lstm["bias_ih"] + h @ lstm["weight_hh"].T + lstm["bias_hh"]
        i, f, g, o = (gates[:, CELLS * k : CELLS * (k + 1)] for k in range(4))
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        found.append(_dense(head, "second", _relu(_dense(head, "first", _relu(h))))[:, 0])
    return np.stack(found)


def statistics(x: Array) -> Array:
    """Mean, standard deviation, extremes, skewness and kurtosis over the last dimension: ``[N, F]`` to ``[N, 6]``."""
    low, high = x.min(-1), x.max(-1)
    mean = np.where(low == high, low, x.mean(-1))
    away = x - mean[..., None]
    m2, m3, m4 = ((away**power).mean(-1) for power in (2, 3, 4))
    deviation = np.sqrt(m2)
    still = deviation <= 1e-10
    safe = np.where(still, 1.0, deviation)
    skewness, kurtosis = np.where(still, 0.0, m3 / safe**3), np.where(still, -3.0, m4 / safe**4 - 3)
    return np.stack([mean, deviation, low, high, skewness, kurtosis], axis=-1)


def _dense(net: Mapping[str, Array], name: str, x: Array) -> Array:
    return x @ net[f"{name}.weight"].T + net[f"{name}.bias"]


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


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

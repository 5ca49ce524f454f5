"""The small nets as formulas, for whoever looks into them: numpy in float64, from the tensors of the layout.

The machine code of training (:mod:`symevo.neural.controller_loops`, :mod:`symevo.neural.memory_loops`) computes the
same. Inputs go by their names, so what the published nets are given twice is one input here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from symevo.neural.layout import CELLS, CONTROLLERS, tensors

Array = np.ndarray[Any, np.dtype[np.float64]]
WEIGHT_INPUTS = ("theta", "grad1", "adam", "grad2")
"""What the LSTM of a weight sees: θ, ∇1, Adam's step, ∇2."""


class PlainNets:
    """The statistics net and the gradient net of one type of layer.

    Args:
        controllers: The 3,375 numbers.
        layer: A key of :data:`symevo.neural.layout.CONTROLLERS`.
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

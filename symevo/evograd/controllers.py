"""The controllers of a type of layer, made ready for the loop that runs them.

What the published nets are given twice is given once, with the sum of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symevo.evograd import controller_loops
from symevo.evograd.controller_loops import ANSWERS, HIDDEN, READS, SIGNALS
from symevo.evograd.layout import CONTROLLERS, FEATURES, tensors
from symevo.evograd.statistics import aligned, place

# What a gradient net is given, as sums of what the loop reads: values of a signal, of its feature, of its sample. The
# values of a sample are followed by the features that the statistics net made.
_READS: Mapping[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "loss": (("logits", "exp", "softmax", "onehot"), "", ("max", "sum")),
    "linear": (("output", "grad1_out", "grad2_out"), "", ()),
    "bias": (("input", "output", "grad1_out", "grad2_out"), "bias", ()),
    "relu": (("output", "grad1_in", "grad2_out"), "", ()),
}
_SUMS = {("loss", "grad1"): {"softmax": 1, "onehot": -1}}


class Nets:
    """The nets of one type of layer, of all individuals."""

    def __init__(self, controllers: Tensor, layer: str) -> None:
        """Takes them out of ``controllers [R, 3375]``."""
        flat = packed(controllers, layer)
        self._weights = aligned(flat.shape, flat.dtype).copy_(flat)
        self._others = len(_READS[layer][2])
        kind = np.dtype(str(controllers.dtype).removeprefix("torch."))
        self._loop = controller_loops.loop(kind)

    def on(
        self,
        statistics: Sequence[Tensor],
        signals: Sequence[Tensor],
        out: Sequence[Tensor],
        *,
        feature: Tensor | None = None,
        sample: Tensor | None = None,
    ) -> Callable[[], None]:
        """A function that computes the corrections of one layer from what its tensors hold by then.

        Args:
            statistics: Of each vector that the statistics net sees, ``[R or 1, 6, B]``.
            signals: What is read of each signal, ``[R, F, B]``.
            out: Takes the corrections, ``[R, F, B]`` each.
            feature: What is read of each feature, ``[R, F]``.
            sample: What is read of each sample, ``[R, n, B]``.
        """
        rows, features, batch = out[0].shape
        feature = out[0].new_zeros(1, features) if feature is None else feature
        sample = out[0].new_zeros(1, 1) if sample is None else sample
        before = [*signals, *[signals[-1]] * (SIGNALS - len(signals))]  # its weight is 0
        places = [place(x) for x in (*before, *out)] + [(0, 0)] * (ANSWERS - len(out))
        places += [place(x) for x in (feature, sample, self._weights, *statistics)]
        sizes = (len(statistics), self._others, rows, features, batch)
        table = np.array([*sizes, *(number for pair in places for number in pair)], np.intp)
        loop, address = self._loop, table.ctypes.data
        held = (self, table, statistics, signals, out, feature, sample)

        def correct(held: Any = held) -> None:  # the loop knows addresses only: what lies there must live
            loop(address)

        return correct


def packed(controllers: Tensor, layer: str) -> Tensor:
    """The weights of both nets in the order in which the loop uses them, ``[R, n]``.

    The statistics net unit by unit, each one's bias first; then what the gradient net's units make of a sample, those
    of the second layer before those of the first; what they make of a signal, where each unit of the first layer is
    followed by what it adds to the second; two answers. Units that a smaller net lacks have weights of 0.
    """
    statistics, gradient = (tensors(controllers, layer, net) for net in ("statistics", "gradient"))
    hidden, reads = CONTROLLERS[layer].hidden, torch.from_numpy(_reads(layer)).to(controllers)
    second = gradient["second.weight"]
    of_second, of_first = second[..., hidden:] @ reads, gradient["first.weight"] @ reads
    parts = [
        *(_units(statistics, name) for name in ("first", "second", "third")),
        torch.cat([gradient["second.bias"].unsqueeze(2), of_second[..., READS:]], 2),
        _filled(torch.cat([gradient["first.bias"].unsqueeze(2), of_first[..., READS:]], 2), HIDDEN),
        of_second[..., :READS],
        _filled(torch.cat([of_first[..., :READS], second[..., :hidden].transpose(1, 2)], 2), HIDDEN),
        _filled(_units(gradient, "third"), ANSWERS),
    ]
    return torch.cat([part.flatten(1) for part in parts], 1)


def _filled(units: Tensor, count: int) -> Tensor:
    """Units ``[R, n, weights]``, and as many of weight 0 that they are ``count``."""
    return torch.nn.functional.pad(units, (0, 0, 0, count - units.shape[1]))


def _units(net: Mapping[str, Tensor], name: str) -> Tensor:
    return torch.cat([net[f"{name}.bias"].unsqueeze(2), net[f"{name}.weight"]], 2)


def _reads(layer: str) -> np.ndarray[Any, Any]:
    """The matrix that makes a gradient net's inputs of what the loop reads: of the signal, the feature, the sample."""
    signals, feature, sample = _READS[layer]
    columns = [*signals, *["unused"] * (SIGNALS - len(signals)), feature, *sample]
    inputs = CONTROLLERS[layer].signals
    matrix = np.zeros((len(inputs) + FEATURES, len(columns) + FEATURES))
    for row, name in enumerate(inputs):
        for part, factor in _SUMS.get((layer, name), {name: 1}).items():
            matrix[row, columns.index(part)] = factor
    matrix[len(inputs) :, len(columns) :] = np.eye(FEATURES)
    return matrix

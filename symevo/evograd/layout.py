"""The 3,375 numbers of an individual: which of them is which weight of which small net.

There are two nets for each type of layer. The *statistics net* sees six statistics of each of some vectors of a sample
and makes four features of them; the *gradient net* sees the values that belong to one signal, and these four
features, and answers with one or two corrections of its gradient. The optimizer has an LSTM and a head that makes one
number of its state. Weights have torch's shapes, ``[out, in]``, and where a net's second layer sees the first one's
answer and the input again, the answer comes first.

Source: EvoGrad; the shapes are those of its published code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

STATISTICS = 6
FEATURES = 4
"""What a statistics net answers: features of a sample, which the gradient net of each of its signals sees."""
CELLS = 8
"""State variables of the LSTM for each weight (twice: h and c)."""


class Controller(NamedTuple):
    """The sizes of the two nets of a type of layer.

    Attributes:
        vectors: What the statistics net sees statistics of.
        signals: What the gradient net sees of one signal, besides the features of its sample.
        hidden: The width of the gradient net's first layer.
        corrections: How many numbers it answers with.
    """

    vectors: tuple[str, ...]
    signals: tuple[str, ...]
    hidden: int
    corrections: int


CONTROLLERS: Mapping[str, Controller] = {
    "loss": Controller(
        ("logits", "exp", "softmax", "softmax", "grad1"),
        ("logits", "max", "exp", "sum", "softmax", "softmax", "onehot", "grad1"),
        16,
        1,
    ),
    "linear": Controller(("input", "output", "grad1_in"), ("output", "grad1_out", "grad2_out"), 16, 2),
    "bias": Controller(
        ("input", "bias", "output", "grad1_in"), ("input", "bias", "output", "grad1_out", "grad2_out"), 16, 2
    ),
    "relu": Controller(("output", "output", "grad1_in"), ("output", "output", "grad1_in", "grad2_out"), 8, 1),
}
"""What stands twice stands twice in the published code."""


class Slice(NamedTuple):
    """Where one tensor lies: ``controllers[start:stop]`` in the order of ``shape``, of net ``net`` of a ``layer``."""

    layer: str
    net: str
    tensor: str
    start: int
    stop: int
    shape: tuple[int, ...]


def _dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _net(inputs: int, widths: tuple[int, int, int] | tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """A net whose second layer sees the first one's answer, then the input once more."""
    first, second, *_ = widths
    return {
        **_dense("first", inputs, first),
        **_dense("second", first + inputs, second),
        **_dense("third", second, widths[-1]),
    }


def _slices() -> tuple[Slice, ...]:
    nets: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
    for layer, sizes in CONTROLLERS.items():
        nets[layer, "statistics"] = _net(STATISTICS * len(sizes.vectors), (8, 8, FEATURES))
        nets[layer, "gradient"] = _net(len(sizes.signals) + FEATURES, (sizes.hidden, 4, sizes.corrections))
    gates = 4 * CELLS  # in torch's order: input, forget, cell, output
    nets["optimizer", "lstm"] = {
        "weight_ih": (gates, 4), "weight_hh": (gates, CELLS), "bias_ih": (gates,), "bias_hh": (gates,)
    }  # fmt: skip
    nets["optimizer", "head"] = {**_dense("first", CELLS, 4), **_dense("second", 4, 1)}
    found, start = [], 0
    for (layer, net), tensors in nets.items():
        for tensor, shape in tensors.items():
            found.append(Slice(layer, net, tensor, start, start + math.prod(shape), shape))
            start += math.prod(shape)
    return tuple(found)


SLICES = _slices()
"""All tensors, one after the other without a gap."""
SIZE = SLICES[-1].stop
MEMORY = slice(next(s.start for s in SLICES if s.layer == "optimizer"), SIZE)
"""The optimizer's part: LSTM and head, 489 numbers."""


def tensors(controllers: Any, layer: str, net: str) -> dict[str, Any]:
    """The tensors of one net, by name, as views into ``controllers [..., 3375]``: of numpy or of torch."""
    return {
        s.tensor: controllers[..., s.start : s.stop].reshape(*controllers.shape[:-1], *s.shape)
        for s in SLICES
        if (s.layer, s.net) == (layer, net)
    }


def initial(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The numbers of a new individual, a function of ``seed`` alone.

    Weights of linear layers are normal with standard deviation 0.02, their biases 0; the LSTM's numbers are uniform
    within ±1/√8, as torch starts them.
    """
    random = np.random.default_rng(seed)
    numbers = np.zeros(SIZE, np.float32)
    for one in SLICES:
        count = one.stop - one.start
        if one.net == "lstm":
            numbers[one.start : one.stop] = random.uniform(-1, 1, count) / math.sqrt(CELLS)
        elif one.tensor.endswith("weight"):
            numbers[one.start : one.stop] = random.normal(0, 0.02, count)
    return numbers

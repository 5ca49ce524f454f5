"""The controllers of a type of layer, made ready for the loop that runs them.

What the published nets are given twice is given once, with the sum of the weights.

The loop is machine code of both nets, over all signals of all samples. Samples are taken in *groups* that fill one
vector of the processor. For each group the statistics net runs once, and so does the part of the gradient net that
depends on the sample alone; the rest runs for every feature with all its values in registers. Every signal is computed
alike wherever it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from symevo.evograd.layout import CONTROLLERS, FEATURES, STATISTICS, tensors
from symevo.evograd.statistics import REALS, aligned, machine_code, place
from symevo.native import vectors
from symevo.native.cache import array, pointer
from symevo.native.vectors import Memory, Vector

SIGNALS = 4
"""How many values of one signal the gradient net reads."""
READS = SIGNALS + 1
"""And one of its feature."""
HIDDEN, MIDDLE, ANSWERS, WIDTH = 16, 4, 2, 8
"""Units of the gradient net's layers, where a smaller one has units of weight 0, and of the statistics net's first."""
BYTES = 64
"""Of a vector: a line of the cache."""

_SOURCES = Path(__file__), Path(vectors.__file__)

# Places of addresses, after the four signals, and of vectors in the room of a call.
_ANSWER, _FEATURE, _SAMPLE, _WEIGHTS, _STATISTICS = SIGNALS, SIGNALS + 2, SIGNALS + 3, SIGNALS + 4, SIGNALS + 5
_SIZES = 5
_GIVEN = SIGNALS + ANSWERS
_FEATURES = _GIVEN + MIDDLE + HIDDEN
_ROOM = _FEATURES + FEATURES + 2 * WIDTH + 1  # and one more, to start at a multiple of 64 bytes

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
        self._loop = loop(controllers.dtype)

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


@cache
def loop(dtype: torch.dtype) -> Callable[[int], None]:
    """The machine code for one layer of a net.

    It takes the address of integers: the number of vectors, n, R, F and B; then pairs of an address and of a stride in
    bytes from row to row. They lead to the four values of each signal and to two answers, ``[R, F, B]`` (where there is
    one answer, the second address is 0); to a value of each feature ``[R, F]``, values of each sample ``[R, n, B]``,
    the weights as :func:`packed` orders them, and statistics of each vector ``[R, 6, B]``.
    """
    real = REALS[dtype]
    kind = ir.VectorType(ir.FloatType() if real is types.float32 else ir.DoubleType(), BYTES // dtype.itemsize)
    gather = _gather(pointer(real), kind.count)
    look = _look(gather, _unit(kind, bend=True), _unit(kind, bend=False), MIDDLE + HIDDEN, kind.count)
    answers = _answers(gather, _scatter(pointer(real), kind.count), _answer(kind), kind.count)
    correct = _correct(look, answers, pointer(types.intp), kind.count)
    return machine_code(correct, 1, f"correct {dtype}", *_SOURCES)


def _correct(look: Any, answers: Any, integers: Any, lanes: int) -> Any:
    def correct(places_at: Any) -> None:
        sizes = array(integers(places_at), _SIZES)
        vectors, others, rows, batch = sizes[0], sizes[1], sizes[2], sizes[4]
        at = array(integers(places_at + _SIZES * 8), (_STATISTICS + vectors, 2))
        own = np.empty(_STATISTICS + vectors, np.intp)
        memory = np.zeros((_ROOM + STATISTICS * vectors + others) * BYTES, np.uint8)
        room = memory.ctypes.data
        room += -room % BYTES
        for row in range(rows):
            for i in range(len(own)):
                own[i] = at[i, 0] + row * at[i, 1]
            for first in range(0, batch, lanes):
                weights = look(own, sizes, first, room)
                answers(own, sizes, first, room, weights)

    return correct


def _look(gather: Any, bent: Any, straight: Any, units: int, lanes: int) -> Any:
    """The statistics net on one group of samples, and what the gradient net's units make of its features.

    Both hidden layers' answers lie before the statistics: the second sees the first one's, then the statistics. Returns
    the address of the weights that follow.
    """
    size = BYTES // lanes

    def look(own: Any, sizes: Any, first: Any, room: Any) -> Any:
        vectors, others, batch = sizes[0], sizes[1], sizes[4]
        count, start = min(lanes, batch - first), first * size
        given, features = room + _GIVEN * BYTES, room + _FEATURES * BYTES
        second = features + (others + FEATURES) * BYTES
        hidden, known = second + WIDTH * BYTES, second + 2 * WIDTH * BYTES
        for v in range(vectors):
            gather(own[_STATISTICS + v] + start, batch, STATISTICS, known + STATISTICS * v * BYTES, count)
        gather(own[_SAMPLE] + start, batch, others, features, count)
        seen, weights = STATISTICS * vectors, own[_WEIGHTS]
        for unit in range(WIDTH):
            weights = bent(weights, seen, known, hidden + unit * BYTES)
        for unit in range(WIDTH):
            weights = bent(weights, WIDTH + seen, hidden, second + unit * BYTES)
        for unit in range(FEATURES):
            weights = bent(weights, WIDTH, second, features + (others + unit) * BYTES)
        for unit in range(units):
            weights = straight(weights, others + FEATURES, features, given + unit * BYTES)
        return weights

    look.__qualname__ = f"look_{lanes}"  # a process has one symbol of a name, whatever its types
    return numba.njit(look)


def _answers(gather: Any, scatter: Any, answer: Any, lanes: int) -> Any:
    """The gradient net on one group of samples: every feature in turn."""
    size = BYTES // lanes

    def answers(own: Any, sizes: Any, first: Any, room: Any, weights: Any) -> None:
        features, batch = sizes[3], sizes[4]
        count, given, two = min(lanes, batch - first), room + _GIVEN * BYTES, own[_ANSWER + 1] != 0
        room1, room2, room3 = room + BYTES, room + 2 * BYTES, room + 3 * BYTES
        out0, out1 = room + SIGNALS * BYTES, room + (SIGNALS + 1) * BYTES
        for f in range(features):
            start, feature = (f * batch + first) * size, own[_FEATURE] + f * size
            s0, s1, s2, s3 = own[0] + start, own[1] + start, own[2] + start, own[3] + start
            a0, a1 = own[_ANSWER] + start, own[_ANSWER + 1] + start
            if count < lanes:  # computed as a group like the others
                gather(s0, batch, 1, room, count)
                gather(s1, batch, 1, room1, count)
                gather(s2, batch, 1, room2, count)
                gather(s3, batch, 1, room3, count)
                s0, s1, s2, s3 = room, room1, room2, room3
            to0 = a0 if count == lanes else out0
            to1 = a1 if count == lanes and two else out1
            answer((s0, s1, s2, s3), given, weights, feature, (to0, to1))
            if count < lanes:
                scatter(out0, a0, count)
                if two:
                    scatter(out1, a1, count)

    answers.__qualname__ = f"answers_{lanes}"
    return numba.njit(answers)


def _gather(numbers: Any, lanes: int) -> Any:
    def gather(source_at: Any, stride: Any, count: Any, to_at: Any, samples: Any) -> None:
        source, to = array(numbers(source_at), stride * count), array(numbers(to_at), lanes * count)
        for i in range(count):
            for b in range(samples):
                to[i * lanes + b] = source[i * stride + b]

    gather.__qualname__ = f"gather_{lanes}"
    return numba.njit(gather)


def _scatter(numbers: Any, lanes: int) -> Any:
    def scatter(source_at: Any, to_at: Any, samples: Any) -> None:
        source, to = array(numbers(source_at), samples), array(numbers(to_at), samples)
        for b in range(samples):
            to[b] = source[b]

    scatter.__qualname__ = f"scatter_{lanes}"
    return numba.njit(scatter)


def _unit(kind: Any, *, bend: bool) -> Any:
    """One unit for a group of samples: its bias, and ``count`` vectors by their weights. Returns where these end."""
    size = BYTES // kind.count

    @intrinsic
    def unit(context: Any, weights: Any, count: Any, x: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            weights, count, x, out = args
            total = cgutils.alloca_once(builder, kind)
            builder.store(Memory(builder, weights, kind).number(0).value, total)
            with cgutils.for_range(builder, count) as steps:
                weight = Memory(builder, builder.add(weights, builder.mul(steps.index, _whole(size))), kind).number(1)
                one = Memory(builder, builder.add(x, builder.mul(steps.index, _whole(BYTES))), kind).load()
                builder.store(one.times(weight, plus=Vector(builder, builder.load(total))).value, total)
            found = Vector(builder, builder.load(total))
            Memory(builder, out, kind).store(found.at_least(0.0) if bend else found)
            return builder.add(weights, builder.mul(builder.add(count, _whole(1)), _whole(size)))

        return types.intp(*[types.intp] * 4), generate

    return unit


def _whole(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


def _answer(kind: Any) -> Any:
    @intrinsic
    def answer(context: Any, signals: Any, given: Any, weights: Any, feature: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def memory(one: Any) -> Memory:
                return Memory(builder, one, kind)

            signals, given, weights, feature, out = args
            signals, out = ([memory(one) for one in cgutils.unpack_tuple(builder, some)] for some in (signals, out))
            _gradient_net(signals, memory(given), memory(weights), memory(feature), out)
            return context.get_dummy_value()

        pairs = types.UniTuple(types.intp, SIGNALS), types.UniTuple(types.intp, ANSWERS)
        return types.void(pairs[0], types.intp, types.intp, types.intp, pairs[1]), generate

    return answer


def _gradient_net(signals: list[Memory], given: Memory, weights: Memory, feature: Memory, out: list[Memory]) -> None:
    """The gradient net on one signal of a group; ``given`` is what its units make of the samples."""
    reads = [*(signal.load() for signal in signals), feature.number(0)]

    def read(unit: int, at: int) -> Vector:
        total = given.load(unit)
        for index, one in enumerate(reads, at):
            total = one.times(weights.number(index), plus=total)
        return total

    middle = [read(unit, unit * READS) for unit in range(MIDDLE)]
    at = MIDDLE * READS
    for unit in range(HIDDEN):
        value = read(MIDDLE + unit, at).at_least(0.0)
        at += READS
        middle = [value.times(weights.number(at + k), plus=total) for k, total in enumerate(middle)]
        at += MIDDLE
    middle = [total.at_least(0.0) for total in middle]
    for memory in out:
        total = weights.number(at)
        for index, one in enumerate(middle, at + 1):
            total = one.times(weights.number(index), plus=total)
        memory.store(total)
        at += 1 + MIDDLE

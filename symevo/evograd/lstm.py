"""The neural optimizer: Adam, whose step an LSTM of each weight's own corrects.

Of a weight θ, its gradient g₁ of back-propagation and the second gradient g₂, step t makes

    m ← β1·m + (1 − β1)·g₁,    v ← β2·v + (1 − β2)·g₁²,    s = lr·m̂ / (√v̂ + ε),
    h, c ← LSTM([θ, g₁, s, g₂], (h, c)),    θ ← θ − (s + head(relu(h))),

head: linear 8 → 4, relu, linear 4 → 1. With all numbers of LSTM and head zero this is Adam.

On the CPU it is machine code, one pass over memory. A weight has 18 numbers of state and costs about 1,000 operations
a step, 40 of them sigmoids; by tensor operations each is a pass over tensors of gates. Here a *group* of weights fills
one vector of the processor: its states are read and written once, gates live in registers only. Every weight is
computed alike wherever it lies, so a row's bits depend neither on the number of rows nor on that of weights.

Sigmoid and tanh are never made: with I = 1 + exp(−i) and so on, ``G⁻ = exp(2g) − 1`` and ``G⁺ = exp(2g) + 1``,

    c ← c·σ(f) + σ(i)·tanh(g) = (c·I·G⁺ + G⁻·F) / (I·G⁺·F),        h ← σ(o)·tanh(c) = C⁻ / (C⁺·O),

two divisions where five would be needed, and exp(x) is 2ˣ of weights multiplied by log₂ e beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from symevo.evograd.layout import CELLS
from symevo.evograd.statistics import REALS, machine_code
from symevo.native import vectors
from symevo.native.cache import array, pointer
from symevo.native.vectors import Memory, Vector

INPUTS, GATES, HIDDEN = 4, 4, 4
NUMBERS = 489
"""An LSTM and its head: weight_ih [32, 4], weight_hh [32, 8], bias_ih, bias_hh [32], 4×8, 4, 1×4 and 1 of the head."""
SCALARS = 7
"""β1, 1 − β1, β2, 1 − β2, lr/(1 − β1ᵗ), 1/√(1 − β2ᵗ), ε."""
STATES = 2 * CELLS
BYTES = 64
"""Of a vector: a line of the cache."""

_SOURCES = Path(__file__), Path(vectors.__file__)
_ROWS = GATES * CELLS
_COLUMNS = 1 + INPUTS + CELLS
_HEAD = _ROWS * _COLUMNS
_SCALARS = _HEAD + HIDDEN * CELLS + HIDDEN + HIDDEN + 1
TABLE = _SCALARS + SCALARS
"""Numbers of a row in the order of their use: 32 times a bias and 12 weights, the head, the scalars."""
_LOG2E = 1.4426950408889634
_SCALES = (-_LOG2E, -_LOG2E, 2 * _LOG2E, -_LOG2E)  # of the gates i, f, g, o
_AHEAD = 4  # groups; best of 0, 1, 2, 4, 8 where the states of all rows are larger than the caches


class NeuralAdam:
    """The neural optimizer of W weights in each of R rows, with one LSTM and head for each row.

    The bits of a row depend on its own numbers alone. States lie in groups of as many weights as fill a vector:
    ``[R, groups, 16, together]``, h before c.

    Args:
        rows: R.
        weights: W.
        dtype: float32 or float64.
        betas: β1 and β2.
        eps: ε.
    """

    def __init__(
        self,
        rows: int,
        weights: int,
        dtype: torch.dtype = torch.float32,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.rows, self.weights, self.dtype = rows, weights, dtype
        self._betas, self._eps = betas, eps
        self._loop = loop(dtype)
        together = BYTES // dtype.itemsize
        groups = -(-weights // together)
        self._m, self._v = (torch.zeros(rows, groups * together, dtype=dtype) for _ in range(2))
        self._states = torch.zeros(rows, groups, STATES, together, dtype=dtype)
        self._table = torch.zeros(TABLE, dtype=dtype)
        self._room = torch.zeros(3, together, dtype=dtype)

    @torch.no_grad()
    def update(
        self, theta: Tensor, grad1: Tensor, grad2: Tensor, controllers: Tensor, lr: float | Tensor | np.ndarray, t: int
    ) -> None:
        """One step, in place.

        Args:
            theta: ``[R, W]``, dense in its last dimension, as are all tensors here.
            grad1: Gradients of back-propagation ``[R, W]``.
            grad2: The second gradients ``[R, W]``.
            controllers: Numbers of LSTM and head ``[R, 489]``: :data:`symevo.evograd.layout.MEMORY` of an individual's.
            lr: The learning rate, or ``[R]`` of them.
            t: The number of this step: 1, 2, …

        Raises:
            ValueError: A tensor has another shape or type, or is not on the CPU.
        """
        for name, tensor, size in (
            ("theta", theta, self.weights), ("grad1", grad1, self.weights), ("grad2", grad2, self.weights),
            ("controllers", controllers, NUMBERS),
        ):  # fmt: skip
            fits = tensor.shape == (self.rows, size) and tensor.dtype == self.dtype
            if not fits or tensor.device.type != "cpu" or not tensor[0].is_contiguous():
                raise ValueError(f"{name} must be [{self.rows}, {size}] of {self.dtype} on the CPU, dense in each row")
        self._step((theta, grad1, grad2, controllers), self._scalars(lr, t).to(self.dtype))

    def _step(self, tensors: tuple[Tensor, ...], scalars: Tensor) -> None:
        own = (self._m, self._v, self._states, scalars, self._table, self._room)
        places = [tensor.data_ptr() for tensor in tensors]
        places += [tensor.stride(0) * tensor.element_size() for tensor in tensors]
        places += [tensor.data_ptr() for tensor in own]
        held = np.array([*places, self.rows, self.weights], np.intp)
        self._loop(held.ctypes.data)

    @property
    def m(self) -> Tensor:
        """First moments ``[R, W]``."""
        return self._m[:, : self.weights]

    @property
    def v(self) -> Tensor:
        """Second moments ``[R, W]``."""
        return self._v[:, : self.weights]

    @property
    def _memory(self) -> Tensor:
        return self._states.transpose(1, 2).flatten(2)[..., : self.weights]

    @property
    def h(self) -> Tensor:
        """The LSTMs' outputs ``[R, 8, W]``, a copy or a view."""
        return self._memory[:, :CELLS]

    @property
    def c(self) -> Tensor:
        """The LSTMs' cells ``[R, 8, W]``, a copy or a view."""
        return self._memory[:, CELLS:]

    def restore(self, m: Tensor, v: Tensor, h: Tensor, c: Tensor) -> None:
        """Takes copies of moments and states, of the shapes of `m`, `v`, `h` and `c`."""
        self.m.copy_(m)
        self.v.copy_(v)
        groups, together = self._states.shape[1], self._states.shape[3]
        filled = torch.nn.functional.pad(torch.cat([h, c], 1), (0, groups * together - self.weights))
        self._states.copy_(filled.unflatten(2, (groups, together)).transpose(1, 2))

    def _scalars(self, lr: Any, t: int) -> Tensor:
        """``[R, 7]``, computed in float64; see :data:`SCALARS`."""
        beta1, beta2 = self._betas
        found = np.empty((self.rows, SCALARS))
        rate, root = 1 / (1 - beta1**t), (1 - beta2**t) ** -0.5
        found[:] = beta1, 1 - beta1, beta2, 1 - beta2, rate, root, self._eps
        found[:, 4] *= np.asarray(lr)
        return torch.from_numpy(found)


@cache
def loop(dtype: torch.dtype) -> Callable[[int], None]:
    """The machine code: one step of all rows, in place.

    It takes the address of 16 integers, of which the first four with strides in bytes from row to row: the addresses
    of theta, grad1, grad2 and of the LSTMs' numbers; their strides; the addresses of m and v ``[R, groups, together]``,
    of the states ``[R, groups, 16, together]``, of scalars ``[R, 7]``, of room for :data:`TABLE` numbers and for three
    vectors; R and W.
    """
    real = REALS[dtype]
    update = _update(_step(real), pointer(types.intp), pointer(real), BYTES // dtype.itemsize)
    return machine_code(update, 1, f"memory {dtype}", *_SOURCES)


def _update(step: Any, integers: Any, numbers: Any, together: int) -> Any:
    size, prepare = BYTES // together, _prepare(numbers, together)

    def update(places_at: Any) -> None:
        places = array(integers(places_at), 16)
        m, v, states, scalars, table, room = places[8], places[9], places[10], places[11], places[12], places[13]
        rows, weights = places[14], places[15]
        last = array(numbers(room), 3 * together)
        for row in range(rows):
            theta, grad1 = places[0] + row * places[4], places[1] + row * places[5]
            grad2, given = places[2] + row * places[6], places[3] + row * places[7]
            prepare(given, scalars + row * SCALARS * size, table)
            for _ in range(weights // together):
                step(theta, grad1, grad2, m, v, states, table)
                theta, grad1, grad2, m, v = theta + BYTES, grad1 + BYTES, grad2 + BYTES, m + BYTES, v + BYTES
                states += STATES * BYTES
            rest = weights % together
            if rest:  # computed as a group like the others
                for i in range(rest):
                    last[i] = array(numbers(theta), rest)[i]
                    last[together + i] = array(numbers(grad1), rest)[i]
                    last[2 * together + i] = array(numbers(grad2), rest)[i]
                step(room, room + BYTES, room + 2 * BYTES, m, v, states, table)
                for i in range(rest):
                    array(numbers(theta), rest)[i] = last[i]
                m, v, states = m + BYTES, v + BYTES, states + STATES * BYTES

    return update


def _prepare(numbers: Any, together: int) -> Any:
    def prepare(given_at: Any, scalars_at: Any, table_at: Any) -> None:
        given, scalars = array(numbers(given_at), NUMBERS), array(numbers(scalars_at), SCALARS)
        table = array(numbers(table_at), TABLE)
        recurrent, biases, head = _ROWS * INPUTS, _ROWS * (INPUTS + CELLS), _ROWS * (INPUTS + CELLS + 2)
        for row in range(_ROWS):
            gate, cell = row // CELLS, row % CELLS
            scale, at = _SCALES[gate], (cell * GATES + gate) * _COLUMNS
            table[at] = scale * (given[biases + row] + given[biases + _ROWS + row])
            for i in range(INPUTS):
                table[at + 1 + i] = scale * given[row * INPUTS + i]
            for i in range(CELLS):
                table[at + 1 + INPUTS + i] = scale * given[recurrent + row * CELLS + i]
        for i in range(NUMBERS - head):
            table[_HEAD + i] = given[head + i]
        for i in range(SCALARS):
            table[_SCALARS + i] = scalars[i]

    prepare.__qualname__ = f"prepare_{together}"  # a process has one symbol of a name, whatever its types
    return numba.njit(prepare)


def _step(real: Any) -> Any:
    element = ir.FloatType() if real is types.float32 else ir.DoubleType()
    kind = ir.VectorType(element, BYTES // (real.bitwidth // 8))

    @intrinsic
    def step(context: Any, theta: Any, grad1: Any, grad2: Any, m: Any, v: Any, states: Any, table: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _group(*[Memory(builder, address, kind) for address in args])
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), generate

    return step


def _group(theta: Memory, grad1: Memory, grad2: Memory, m: Memory, v: Memory, states: Memory, table: Memory) -> None:
    """One step of one group of weights."""
    for memory in (theta, grad1, grad2, m, v):
        memory.prefetch(_AHEAD)
    weight, step = theta.load(), _adam(grad1.load(), m, v, table)
    inputs = [weight, grad1.load(), step, grad2.load(), *(states.load(cell) for cell in range(CELLS))]
    memory = [_cell(cell, inputs, states, table) for cell in range(CELLS)]
    theta.store(weight - (step + _head(memory, table)))


def _adam(grad: Vector, m: Memory, v: Memory, table: Memory) -> Vector:
    """Adam's step; its moments are stored."""
    beta1, rest1, beta2, rest2, rate, root, eps = (table.number(_SCALARS + i) for i in range(SCALARS))
    first = m.load().times(beta1, plus=grad * rest1).without_denormals()  # where no gradient comes any more
    second = v.load().times(beta2, plus=grad * grad * rest2)
    m.store(first)
    v.store(second)
    return first * rate / second.sqrt().times(root, plus=eps)


def _cell(cell: int, inputs: list[Vector], states: Memory, table: Memory) -> Vector:
    """relu(h) of one cell; its h and c are stored."""
    for state in (cell, CELLS + cell):  # spread over the group: a processor waits for few lines at a time
        states.prefetch(_AHEAD * STATES + state)
    gates = []
    for gate in range(GATES):
        at = (cell * GATES + gate) * _COLUMNS
        total = table.number(at)
        for place, one in enumerate(inputs, at + 1):
            total = one.times(table.number(place), plus=total)
        gates.append(_bounded(total))
    i, f, o = (gates[gate].exp2_plus_1() for gate in (0, 1, 3))
    below, above = gates[2].exp2_minus_plus_1()
    both = i * above
    c = states.load(CELLS + cell).times(both, plus=below * f) / (both * f)
    states.store(c, CELLS + cell)
    below, above = _bounded(c * (2 * _LOG2E)).exp2_minus_plus_1()
    h = below / (above * o)
    states.store(h, cell)
    return h.at_least(0.0)


def _bounded(x: Vector) -> Vector:
    """Bounds at which a sigmoid is as good as 0 or 1, and a product of three powers is still a number."""
    bound = 40.0 if x.narrow else 300.0
    return x.at_least(-bound).at_most(bound)


def _head(memory: list[Vector], table: Memory) -> Vector:
    biases, weights, bias = (_HEAD + HIDDEN * CELLS + offset for offset in (0, HIDDEN, 2 * HIDDEN))
    out = table.number(bias)
    for unit in range(HIDDEN):
        total = table.number(biases + unit)
        for cell, value in enumerate(memory):
            total = value.times(table.number(_HEAD + unit * CELLS + cell), plus=total)
        out = total.at_least(0.0).times(table.number(weights + unit), plus=out)
    return out

"""The neural optimizer: Adam, whose step an LSTM of each weight's own corrects.

Of a weight θ, its gradient g₁ of back-propagation and the second gradient g₂, step t makes

    m ← β1·m + (1 − β1)·g₁,    v ← β2·v + (1 − β2)·g₁²,    s = lr·m̂ / (√v̂ + ε),
    h, c ← LSTM([θ, g₁, s, g₂], (h, c)),    θ ← θ − (s + head(relu(h))),

head: linear 8 → 4, relu, linear 4 → 1. With all numbers of LSTM and head zero this is Adam.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from symevo.evograd import lstm_loops as memory_loops
from symevo.evograd.layout import CELLS
from symevo.evograd.lstm_loops import NUMBERS, SCALARS, STATES


class NeuralAdam:
    """The neural optimizer of W weights in each of R rows, with one LSTM and head for each row.

    On the CPU it is machine code, and the bits of a row depend on its own numbers alone; elsewhere torch's operations.

    Args:
        rows: R.
        weights: W.
        dtype: float32 or float64.
        betas: β1 and β2.
        eps: ε.
        device: Where the weights lie.
        compiled: Machine code or torch's operations; None: by the device.
    """

    def __init__(
        self,
        rows: int,
        weights: int,
        dtype: torch.dtype = torch.float32,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        device: torch.device | str = "cpu",
        compiled: bool | None = None,
    ) -> None:
        self.rows, self.weights, self.dtype, self.device = rows, weights, dtype, torch.device(device)
        self._betas, self._eps = betas, eps
        by_machine = self.device.type == "cpu" if compiled is None else compiled
        self._form: _Machine | _Torch = (_Machine if by_machine else _Torch)(rows, weights, dtype, self.device)

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
            ValueError: A tensor has another shape, type or device.
        """
        for name, tensor, size in (
            ("theta", theta, self.weights), ("grad1", grad1, self.weights), ("grad2", grad2, self.weights),
            ("controllers", controllers, NUMBERS),
        ):  # fmt: skip
            fits = tensor.shape == (self.rows, size) and tensor.dtype == self.dtype
            if not fits or tensor.device.type != self.device.type or not tensor[0].is_contiguous():
                kind = f"{self.dtype} on {self.device}"
                raise ValueError(f"{name} must be [{self.rows}, {size}] of {kind}, dense in each row")
        self._form.update((theta, grad1, grad2, controllers), self._scalars(lr, t))

    @property
    def m(self) -> Tensor:
        """First moments ``[R, W]``."""
        return self._form.moments()[0]

    @property
    def v(self) -> Tensor:
        """Second moments ``[R, W]``."""
        return self._form.moments()[1]

    @property
    def h(self) -> Tensor:
        """The LSTMs' outputs ``[R, 8, W]``, a copy or a view."""
        return self._form.memory()[:, :CELLS]

    @property
    def c(self) -> Tensor:
        """The LSTMs' cells ``[R, 8, W]``, a copy or a view."""
        return self._form.memory()[:, CELLS:]

    def restore(self, m: Tensor, v: Tensor, h: Tensor, c: Tensor) -> None:
        """Takes copies of moments and states, of the shapes of `m`, `v`, `h` and `c`."""
        for moment, value in zip(self._form.moments(), (m, v), strict=True):
            moment.copy_(value)
        self._form.remember(torch.cat([h, c], 1))

    def _scalars(self, lr: Any, t: int) -> Tensor:
        """``[R, 7]``, computed in float64; see :data:`symevo.evograd.lstm_loops.SCALARS`."""
        beta1, beta2 = self._betas
        found = np.empty((self.rows, SCALARS))
        rate, root = 1 / (1 - beta1**t), (1 - beta2**t) ** -0.5
        found[:] = beta1, 1 - beta1, beta2, 1 - beta2, rate, root, self._eps
        found[:, 4] *= np.asarray(lr)
        return torch.from_numpy(found)


def step(
    theta: Tensor, grad1: Tensor, grad2: Tensor, controllers: Tensor, moments: Tensor, states: Tensor, scalars: Tensor
) -> None:
    """One step by torch's operations, in place, on any device; what ``torch.compile`` takes.

    Args:
        theta: ``[R, W]``.
        grad1: ``[R, W]``.
        grad2: ``[R, W]``.
        controllers: ``[R, 489]``.
        moments: m and v ``[2, R, W]``.
        states: h and c ``[R, 16, W]``.
        scalars: ``[R, 7]``.
    """
    beta1, rest1, beta2, rest2, rate, root, eps = scalars.unsqueeze(-1).unbind(1)
    m = moments[0] * beta1 + grad1 * rest1
    v = moments[1] * beta2 + grad1 * grad1 * rest2
    step = rate * m / (v.sqrt() * root + eps)
    inputs = torch.cat([torch.stack([theta, grad1, step, grad2], 1), states[:, :CELLS]], 1)
    parts = [part.unsqueeze(-1) for part in controllers.split(_SIZES, 1)]
    of_inputs, of_h, bias_ih, bias_hh, first, first_bias, second, second_bias = parts
    weights = torch.cat([of_inputs.reshape(-1, 4 * CELLS, 4), of_h.reshape(-1, 4 * CELLS, CELLS)], 2)
    gates = torch.baddbmm(bias_ih + bias_hh, weights, inputs).unflatten(1, (4, CELLS))
    i, f, g, o = gates.unbind(1)
    c = f.sigmoid() * states[:, CELLS:] + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    hidden = torch.baddbmm(first_bias, first.reshape(-1, 4, CELLS), h.relu()).relu()
    out = torch.baddbmm(second_bias, second.reshape(-1, 1, 4), hidden).squeeze(1)
    theta.sub_(step + out)
    moments.copy_(torch.stack([m, v]))
    states.copy_(torch.cat([h, c], 1))


_SIZES = (128, 256, 32, 32, 32, 4, 4, 1)


class _Machine:
    """States in groups of as many weights as fill a vector: ``[R, groups, 16, together]``, h before c."""

    def __init__(self, rows: int, weights: int, dtype: torch.dtype, device: torch.device) -> None:
        if device.type != "cpu":
            raise ValueError("the machine code of the neural optimizer is for the CPU")
        self._weights, self._dtype = weights, dtype
        kind = np.dtype(str(dtype).removeprefix("torch."))
        self._loop = memory_loops.loop(kind)
        together = memory_loops.BYTES // dtype.itemsize
        groups = -(-weights // together)
        self._m, self._v = (torch.zeros(rows, groups * together, dtype=dtype) for _ in range(2))
        self._states = torch.zeros(rows, groups, STATES, together, dtype=dtype)
        self._table = torch.zeros(memory_loops.TABLE, dtype=dtype)
        self._room = torch.zeros(3, together, dtype=dtype)

    def update(self, tensors: tuple[Tensor, ...], scalars: Tensor) -> None:
        rows, scalars = len(scalars), scalars.to(self._dtype)
        own = (self._m, self._v, self._states, scalars, self._table, self._room)
        places = [tensor.data_ptr() for tensor in tensors]
        places += [tensor.stride(0) * tensor.element_size() for tensor in tensors]
        places += [tensor.data_ptr() for tensor in own]
        held = np.array([*places, rows, self._weights], np.intp)
        self._loop(held.ctypes.data)

    def moments(self) -> tuple[Tensor, Tensor]:
        return self._m[:, : self._weights], self._v[:, : self._weights]

    def memory(self) -> Tensor:
        return self._states.transpose(1, 2).flatten(2)[..., : self._weights]

    def remember(self, states: Tensor) -> None:
        groups, together = self._states.shape[1], self._states.shape[3]
        filled = torch.nn.functional.pad(states, (0, groups * together - self._weights))
        self._states.copy_(filled.unflatten(2, (groups, together)).transpose(1, 2))


class _Torch:
    """The same by torch's operations, on any device."""

    def __init__(self, rows: int, weights: int, dtype: torch.dtype, device: torch.device) -> None:
        self._moments = torch.zeros(2, rows, weights, dtype=dtype, device=device)
        self._states = torch.zeros(rows, STATES, weights, dtype=dtype, device=device)

    def update(self, tensors: tuple[Tensor, ...], scalars: Tensor) -> None:
        theta, grad1, grad2, controllers = tensors
        step(theta, grad1, grad2, controllers, self._moments, self._states, scalars.to(self._states))

    def moments(self) -> tuple[Tensor, Tensor]:
        return self._moments[0], self._moments[1]

    def memory(self) -> Tensor:
        return self._states

    def remember(self, states: Tensor) -> None:
        self._states.copy_(states)

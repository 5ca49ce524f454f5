"""Signals of a layer, and six statistics of each sample's: mean, standard deviation, extremes, skewness and kurtosis.

A signal is one value for each individual that trains, feature and sample, ``[R, F, B]``: the batch innermost, so that
loops run over all samples at once and products over all of them. Each row starts at a multiple of 64 bytes
(:mod:`symevo.tasks.stacked.layers` says why).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from torch import Tensor

from symevo.evograd.layout import STATISTICS
from symevo.native.cache import array, compiled, padded, pointer

REALS = {torch.float32: types.float32, torch.float64: types.float64}


class Signals:
    """Values ``[R, F, B]`` and a place for their statistics ``[R, 6, B]``.

    Attributes:
        values: The signal; one row may stand for all.
        statistics: What `describe` found.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        rows, features, batch = shape
        self.values = aligned(shape, dtype)
        self.statistics = aligned((rows, STATISTICS, batch), dtype)
        self._sizes = (*place(self.values), *place(self.statistics), rows, features, batch)

    def describe(self) -> None:
        """Fills the statistics: of each sample, over its features.

        A vector of standard deviation 1e-10 or less has skewness 0 and kurtosis −3.
        """
        _describe(self.values.dtype)(*self._sizes)


def aligned(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor ``[R, …]`` of zeros, each row at a multiple of 64 bytes."""
    count = math.prod(shape[1:])
    return torch.zeros(shape[0], padded(count, dtype.itemsize), dtype=dtype)[:, :count].unflatten(1, tuple(shape[1:]))


def place(x: Tensor) -> tuple[int, int]:
    """Where a loop finds a tensor: its address, and from row to row how many bytes; none where one row is for all."""
    return x.data_ptr(), x.stride(0) * x.element_size() if len(x) > 1 else 0


def machine_code(function: Callable[..., None], count: int, kept_as: str, *sources: Path) -> Callable[..., None]:
    """A loop of ``count`` whole numbers, compiled or from disk, as a function that Python can call."""
    address = compiled(function, types.void(*[types.intp] * count), kept_as, (Path(__file__), *sources))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * count)(address)


inner: Any = numba.njit(error_model="numpy", fastmath={"contract"})
"""Compiles what loops call: a product and a sum may be rounded once."""


@cache
def _describe(dtype: torch.dtype) -> Callable[..., None]:
    real = pointer(REALS[dtype])

    def describe(x: int, x_row: int, out: int, out_row: int, rows: int, features: int, batch: int) -> None:
        # float64: fourth powers neither overflow nor cancel.
        mean, m2, m3, m4 = np.empty(batch), np.empty(batch), np.empty(batch), np.empty(batch)
        for r in range(rows):
            values = array(real(x + r * x_row), (features, batch))
            found = array(real(out + r * out_row), (STATISTICS, batch))
            _extremes(values, mean, found[2], found[3])
            _moments(values, mean, m2, m3, m4)
            _scale(features, mean, m2, m3, m4, found)

    return machine_code(describe, 7, f"describe {dtype}")


@inner
def _extremes(values: Any, mean: Any, low: Any, high: Any) -> None:
    features, batch = values.shape
    for b in range(batch):
        mean[b] = 0.0
        low[b] = values[0, b]
        high[b] = values[0, b]
    for f in range(features):
        for b in range(batch):
            one = values[f, b]
            mean[b] += one
            low[b] = one if one < low[b] else low[b]
            high[b] = one if one > high[b] else high[b]
    for b in range(batch):  # rounding must not give equal numbers a deviation
        mean[b] = low[b] if low[b] == high[b] else mean[b] / features


@inner
def _moments(values: Any, mean: Any, m2: Any, m3: Any, m4: Any) -> None:
    features, batch = values.shape
    for b in range(batch):
        m2[b] = m3[b] = m4[b] = 0.0
    for f in range(features):
        for b in range(batch):
            away = values[f, b] - mean[b]
            square = away * away
            m2[b] += square
            m3[b] += square * away
            m4[b] += square * square


@inner
def _scale(features: int, mean: Any, m2: Any, m3: Any, m4: Any, found: Any) -> None:
    for b in range(len(mean)):
        variance = m2[b] / features
        deviation = math.sqrt(variance)
        still = deviation <= 1e-10
        found[0, b] = mean[b]
        found[1, b] = deviation
        found[4, b] = 0.0 if still else m3[b] / features / (variance * deviation)
        found[5, b] = -3.0 if still else m4[b] / features / (variance * variance) - 3.0

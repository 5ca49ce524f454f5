"""Statistics of signals are scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from symevo.evograd.statistics import Signals

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}


def described(values: torch.Tensor) -> np.ndarray:
    signals = Signals(values.shape, values.dtype)
    signals.values.copy_(values)
    signals.describe()
    return signals.statistics.numpy()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(3, 17, 5), (1, 784, 64), (2, 2, 1)])
def test_equal_to_scipy(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype).pow_(3).add_(1.5)
    x = values.double().numpy()
    expected = [x.mean(1), x.std(1), x.min(1), x.max(1), stats.skew(x, axis=1), stats.kurtosis(x, axis=1)]
    np.testing.assert_allclose(described(values), np.stack(expected, 1), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("number", [0.0, 0.1, -3e7])
def test_equal_numbers_have_no_deviation(number: float, dtype: torch.dtype) -> None:
    found = described(torch.full((1, 783, 3), number, dtype=dtype))
    expected = np.array([number, 0, number, number, 0, -3], str(dtype).removeprefix("torch."))
    np.testing.assert_array_equal(found, np.broadcast_to(expected[None, :, None], (1, 6, 3)))


def test_fourth_powers_do_not_overflow() -> None:
    x = torch.randn(1, 50, 2, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(described(x * 1e12)[:, 4:], described(x)[:, 4:], rtol=1e-5)


def test_nan_stays_in_its_sample() -> None:
    x = torch.rand(2, 9, 4)
    x[1, 3, 2] = torch.nan
    found = described(x)
    bad = np.zeros((2, 4), bool)
    bad[1, 2] = True
    np.testing.assert_array_equal(np.isnan(found[:, [0, 1, 4, 5]]).all(1), bad)
    np.testing.assert_array_equal(np.isnan(found).any(1), bad)

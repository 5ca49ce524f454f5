"""The numbers of an individual: every one has its place, and torch's modules take them as they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from symevo.evograd.layout import CONTROLLERS, MEMORY, SIZE, SLICES, initial, tensors


def test_slices_follow_each_other_without_a_gap() -> None:
    assert SIZE == 3375
    assert [s.start for s in SLICES] == [0, *(s.stop for s in SLICES[:-1])]
    assert all(s.stop - s.start == math.prod(s.shape) for s in SLICES)
    assert SLICES[-1].stop == SIZE
    assert (MEMORY.start, MEMORY.stop) == (SIZE - 489, SIZE)


def test_names_of_tensors_are_unique() -> None:
    assert len({(s.layer, s.net, s.tensor) for s in SLICES}) == len(SLICES)
    assert {s.layer for s in SLICES} == {*CONTROLLERS, "optimizer"}


@pytest.mark.parametrize(
    ("layer", "statistics", "gradient"),
    [("loss", 596, 329), ("linear", 404, 234), ("bias", 500, 274), ("relu", 404, 145)],
)
def test_sizes_of_the_published_nets(layer: str, statistics: int, gradient: int) -> None:
    for net, size in (("statistics", statistics), ("gradient", gradient)):
        assert sum(s.stop - s.start for s in SLICES if (s.layer, s.net) == (layer, net)) == size


def test_the_lstm_loads_into_torch() -> None:
    numbers = torch.from_numpy(initial(1))
    found = tensors(numbers, "optimizer", "lstm")
    whole, cell = torch.nn.LSTM(4, 8), torch.nn.LSTMCell(4, 8)
    whole.load_state_dict({f"{name}_l0": value for name, value in found.items()})
    cell.load_state_dict(found)
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    h = c = x.new_zeros(3, 8)
    for i, one in enumerate(x):
        gates = one @ found["weight_ih"].T + h @ found["weight_hh"].T + found["bias_ih"] + found["bias_hh"]
        take, keep, new, give = gates.chunk(4, 1)
        expected = cell(one, (h, c))
        c = keep.sigmoid() * c + take.sigmoid() * new.tanh()
        h = give.sigmoid() * c.tanh()
        torch.testing.assert_close(h, expected[0])
        torch.testing.assert_close(h, whole(x[: i + 1])[0][-1])


def test_new_individuals_are_drawn_as_published() -> None:
    many = np.stack([initial(seed) for seed in range(60)])
    assert many.dtype == np.float32
    for s in SLICES:
        values = many[:, s.start : s.stop]
        if s.net == "lstm":
            assert np.abs(values).max() <= 1 / math.sqrt(8)
            assert values.std() == pytest.approx(1 / math.sqrt(24), rel=0.05)
        elif s.tensor.endswith("bias"):
            assert not values.any()
        else:
            assert values.std() == pytest.approx(0.02, rel=0.2)
    assert len({one.tobytes() for one in many}) == 60
    np.testing.assert_array_equal(many[7], initial(7))

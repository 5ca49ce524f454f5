"""EvoGrad's operators against their specification."""

from __future__ import annotations

import random
from collections import Counter
from copy import deepcopy as clone

import numpy as np
import pytest

from symevo.errors import UserError
from symevo.evograd.layout import SIZE, SLICES
from symevo.genomes.controllers import RATE, ControllersGenome


def mutants(count: int, noise: str = "gaussian") -> list[np.ndarray]:
    """What mutation adds to zeros."""
    genome = ControllersGenome(noise=noise)
    random.seed(4)
    return [genome.mutate(genome.seeded()[0], progress=0.0)[0].numbers for _ in range(count)]


def test_a_mutation_changes_one_tensor_drawn_by_its_size() -> None:
    counts: Counter[int] = Counter()
    for changes in mutants(3000):
        (places,) = np.nonzero(changes)
        assert len(places) >= 1
        (tensor,) = {next(i for i, one in enumerate(SLICES) if one.start <= at < one.stop) for at in places}
        counts[tensor] += 1
    for index, one in enumerate(SLICES):
        share = (one.stop - one.start) / SIZE
        assert abs(counts[index] / 3000 - share) <= 4 * (share * (1 - share) / 3000) ** 0.5 + 1e-9


def test_about_one_entry_in_fifty_changes() -> None:
    largest = max(SLICES, key=lambda one: one.stop - one.start)
    size = largest.stop - largest.start
    hits = [np.count_nonzero(one) for one in mutants(4000) if one[largest.start : largest.stop].any()]
    some = 1 - (1 - RATE) ** size
    expected = RATE * size + (1 - some)  # at least one
    assert np.mean(hits) == pytest.approx(expected, abs=4 * np.std(hits) / len(hits) ** 0.5)


@pytest.mark.parametrize("noise", ["gaussian", "triangular"])
def test_noise_has_one_of_two_strengths(noise: str) -> None:
    by_size: dict[bool, list[float]] = {True: [], False: []}
    for one in mutants(4000, noise):
        values = one[one != 0]
        if len(values) > 1:
            by_size[bool(np.abs(values).max() > 0.15 if noise == "gaussian" else np.abs(values).max() > 0.002)] += list(
                values
            )
    strong, weak = (np.array(by_size[key]) for key in (True, False))
    assert len(strong) == pytest.approx(len(weak), rel=0.25)
    expected = (1.0, 0.001**0.5) if noise == "gaussian" else (2 / 6**0.5, 0.002 / 6**0.5)
    assert strong.std() == pytest.approx(expected[0], rel=0.06)
    assert weak.std() == pytest.approx(expected[1], rel=0.06)


def test_each_entry_comes_from_either_parent() -> None:
    genome = ControllersGenome()
    random.seed(1)
    a, b = genome.create(), genome.create()
    first, second = genome.mate(clone(a), clone(b))
    differ = a.numbers != b.numbers
    from_a = first.numbers == a.numbers
    assert np.array_equal(first.numbers, np.where(from_a, a.numbers, b.numbers))
    assert np.array_equal(second.numbers, np.where(from_a, b.numbers, a.numbers))
    share = from_a[differ].mean()
    assert abs(share - 0.5) <= 3 * 0.5 / differ.sum() ** 0.5


@pytest.mark.parametrize("data", ["", "AAAA", "////" * 4500, "é", 3])
def test_bad_numbers_are_refused(data) -> None:
    with pytest.raises(UserError):
        ControllersGenome().from_json({"numbers": data, "phase": 0})


def test_unknown_noise_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown noise 'gausian': did you mean 'gaussian'"):
        ControllersGenome(noise="gausian")

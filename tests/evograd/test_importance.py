"""Recordings agree with the machine code and the reference, and say which inputs matter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from plain_learner import PlainLearner, statistics
from torch import Tensor

from symevo.evograd.importance import (
    SIGNALS,
    WEIGHT_INPUTS,
    Inputs,
    NetsImportance,
    Recording,
    importances,
    joined,
    of_nets,
    of_optimizer,
    record,
    updates,
)
from symevo.evograd.layout import CONTROLLERS, FEATURES, SIZE, initial, tensors

SIZES = (7, 12, 9, 4)


def weights_of(seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [shape for f, g in pairwise(SIZES) for shape in ((g, f), (g,))]
    return [torch.randn(shape, generator=generator) * 0.4 for shape in shapes]


def batch(step: int, size: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return torch.rand(size, SIZES[0], generator=generator), torch.randint(SIZES[-1], (size,), generator=generator)


def controllers_of(noise: float = 0.1, seed: int = 0) -> np.ndarray:
    return noise * np.random.default_rng(seed).standard_normal(SIZE)


def recorded(controllers: np.ndarray, steps: int = 20, **settings: float) -> Recording:
    return record(controllers, weights_of(), batch, **{"lr": 0.01, "steps": steps, "seed": 0, **settings})


def only(layer: str, signal: str, *, answer: int = 0) -> np.ndarray:
    """Controllers whose one correction is relu(1 + 2·signal) of a type of layer."""
    numbers = np.zeros(SIZE)
    net = tensors(numbers, layer, "gradient")
    net["first.weight"][0, CONTROLLERS[layer].signals.index(signal)] = 2
    net["first.bias"][0] = 1
    net["second.weight"][0, 0] = net["third.weight"][answer, 0] = 1
    return numbers


class Spy(PlainLearner):
    """The reference, which notes what its nets see of each signal in turn."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.seen: dict[str, list[np.ndarray]] = {layer: [] for layer in CONTROLLERS}
        self.vectors: list[np.ndarray] = []

    def features(self, layer: str, vectors: list[np.ndarray]) -> np.ndarray:
        self.vectors = vectors
        return super().features(layer, vectors)

    def correction(self, layer: str, signals: list[float], features: np.ndarray) -> np.ndarray:
        described = [one for vector in self.vectors for one in statistics(vector)]
        self.seen[layer].append(np.array([*signals, *described]))
        return super().correction(layer, signals, features)


def test_what_is_kept_is_what_the_reference_sees() -> None:
    """Of one batch: signals, by name, with the statistics of their sample."""
    controllers, (x, y) = controllers_of(0.3), batch(0)
    plain = Spy(controllers, [one.double().numpy() for one in weights_of()], 0.01)
    plain.gradients(x.numpy(), y.numpy())
    found = recorded(controllers, steps=1)
    assert set(found.layers) == set(CONTROLLERS)
    for layer, seen in found.layers.items():
        sizes = CONTROLLERS[layer]
        kept = np.column_stack(
            [*(seen.signals[one] for one in sizes.signals), *(seen.statistics[one] for one in sizes.vectors)]
        )
        assert len(kept) == min(SIGNALS, 16 * SIZES[-1]) * {"loss": 1, "relu": 2}.get(layer, 3)
        reference = np.array(plain.seen[layer])
        distance = np.abs(kept[:, None] - reference[None]) / (1 + np.abs(reference))
        assert distance.max(2).min(1).max() < 1e-3  # kurtosis of few numbers loses digits


def test_windows_replay_what_the_optimizer_did() -> None:
    """θ of the next step follows from Adam's step and what LSTM and head add to it."""
    controllers = controllers_of(0.3)
    windows = recorded(controllers).windows
    assert windows is not None
    added, theta = updates(controllers, windows), windows["theta"]
    np.testing.assert_allclose(theta[:, 1:], (theta - windows["adam"] - added)[:, :-1], rtol=0, atol=1e-5)
    assert np.abs(added).max() > 1e-2


def test_a_recording_is_a_function_of_its_arguments() -> None:
    one, other = (recorded(controllers_of()) for _ in range(2))
    assert one.windows is not None
    assert other.windows is not None
    assert same(one.windows, other.windows)
    for layer, seen in one.layers.items():
        assert same(seen.signals, other.layers[layer].signals)
        assert same(seen.statistics, other.layers[layer].statistics)


def same(one: Inputs, other: Inputs) -> bool:
    return all(np.array_equal(values, other[name]) for name, values in one.items())


def test_a_training_that_explodes_leaves_what_was_finite() -> None:
    controllers = np.zeros(SIZE)
    tensors(controllers, "optimizer", "head")["second.bias"][:] = -1e38
    found = recorded(controllers, steps=30)
    assert found.steps < 30
    assert found.windows is None
    assert all(np.isfinite(one).all() for seen in found.layers.values() for one in seen.signals.values())
    assert joined([found, found]).windows is None


def test_the_importance_of_inputs_of_a_sum() -> None:
    """Of x + 2y with equal variances: 1/5 and 4/5."""
    x, y = np.random.default_rng(0).standard_normal((2, 20_000))
    found = importances(lambda inputs: (inputs["x"] + 2 * inputs["y"])[:, None], {"x": x, "y": y, "z": x}, seed=0)
    assert found == {"x": [pytest.approx(0.2, abs=0.01)], "y": [pytest.approx(0.8, abs=0.01)], "z": [0.0]}


@pytest.mark.parametrize("layer", ["loss", "linear", "bias", "relu"])
def test_the_only_input_that_matters_has_all_importance(layer: str) -> None:
    sizes = CONTROLLERS[layer]
    signal, answer = sizes.signals[0], sizes.corrections - 1
    controllers = only(layer, signal, answer=answer)
    found = of_nets(controllers, layer, recorded(controllers).layers[layer], seed=0)
    assert found.signals.pop(signal)[answer] == pytest.approx(1, abs=0.1)
    assert found.sizes[answer] > 0
    for others in (found.signals, found.features, found.vectors, found.statistics):
        assert {one for values in others.values() for one in values} == {0.0}


def test_statistics_matter_through_the_features() -> None:
    controllers = np.zeros(SIZE)
    seen, answers = tensors(controllers, "relu", "statistics"), tensors(controllers, "relu", "gradient")
    seen["first.weight"][0, 1] = seen["second.weight"][0, 0] = seen["third.weight"][2, 0] = 1  # of the output: its std
    place = len(CONTROLLERS["relu"].signals) + 2
    answers["first.weight"][0, place] = answers["second.weight"][0, 0] = answers["third.weight"][0, 0] = 1
    found = of_nets(controllers, "relu", recorded(controllers).layers["relu"], seed=0)
    assert found.vectors["output"] == pytest.approx([1], abs=0.1)
    assert found.statistics["output_std"] == pytest.approx([1], abs=0.1)
    assert found.features["feature3"] == pytest.approx([1], abs=0.1)
    assert found.features["feature1"] == found.vectors["grad1_in"] == found.statistics["output_mean"] == [0.0]
    assert {one for values in found.signals.values() for one in values} == {0.0}


@pytest.mark.parametrize("index", range(len(WEIGHT_INPUTS)))
def test_an_input_of_the_optimizer_without_weights_does_not_matter(index: int) -> None:
    controllers = initial(0).astype(float)
    lstm, head = (tensors(controllers, "optimizer", net) for net in ("lstm", "head"))
    for tensor in head.values():
        tensor[:] = np.abs(tensor) + 0.1  # what the LSTM says is heard
    lstm["weight_hh"][:] = lstm["bias_ih"][:] = 0
    lstm["bias_hh"][:] = np.repeat([0, -50, 0, 0], 8)  # and nothing is remembered
    lstm["weight_ih"][:, [one for one in range(4) if one != index]] = 0
    windows = recorded(controllers).windows
    assert windows is not None
    found = of_optimizer(controllers, windows, seed=0)
    assert found.inputs.pop(WEIGHT_INPUTS[index]) == pytest.approx(1, abs=0.1)
    assert max(found.inputs.values()) < 1e-12  # what is left of the memory
    assert found.size > 0


@pytest.mark.parametrize("numbers", [lambda: np.zeros(SIZE), lambda: constants()])
def test_what_is_constant_has_no_importance(numbers: Callable[[], np.ndarray]) -> None:
    controllers = numbers()
    seen = recorded(controllers)
    assert seen.windows is not None
    for layer, one in seen.layers.items():
        found = of_nets(controllers, layer, one, seed=0)
        assert all_zero(found)
        assert (found.sizes[0] > 0) == bool(controllers.any())
    found = of_optimizer(controllers, seen.windows, seed=0)
    assert set(found.inputs.values()) == {0.0}
    assert (found.size > 0) == bool(controllers.any())


def constants() -> np.ndarray:
    controllers = np.zeros(SIZE)
    for layer in CONTROLLERS:
        tensors(controllers, layer, "gradient")["third.bias"][:] = 0.1
    tensors(controllers, "optimizer", "head")["second.bias"][:] = 0.01
    return controllers


def all_zero(found: NetsImportance) -> bool:
    parts = (found.signals, found.features, found.vectors, found.statistics)
    return all(value == 0 for part in parts for values in part.values() for value in values)


def test_features_are_four() -> None:
    found = of_nets(controllers_of(), "loss", recorded(controllers_of()).layers["loss"], seed=0)
    assert len(found.features) == FEATURES
    assert "softmax" in found.signals
    assert len(found.vectors) == 4  # of five, one stands twice

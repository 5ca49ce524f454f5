"""How much each input of the small nets matters, by permutation over recorded signals.

The importance of an input x for an answer f is

    E[(f(x, z) − f(x_π, z))²] / (2·Var f),

where x_π are the same values in another order, and z are the other inputs. It is 0 for an input that changes nothing,
and 1 on average for the only one that does; with interactions the sum may exceed 1. Inputs that go together (the two
streams where corrections are small) are parted by the permutation: what counts is what the net does with each, not what
one tells that another does not. Breiman 2001; Fisher, Rudin & Dominici 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from symevo.evograd.layout import FEATURES, STATISTICS
from symevo.evograd.plain import WEIGHT_INPUTS, Array, PlainNets, updates
from symevo.evograd.recording import Recorded, Windows

REPEATS = 5
"""Permutations of each input; importances are means over them."""
STATISTIC_NAMES = ("mean", "std", "min", "max", "skewness", "kurtosis")
MEMORY = "memory"
"""The LSTM's state before the window, as an input of its own."""
_STILL = 1e-20
"""Of the mean square: a smaller variance is rounding, and the answer constant."""
Importances = dict[str, list[float]]
"""For each input, one importance for each correction."""


@dataclass(frozen=True)
class NetsImportance:
    """What matters to the two nets of a type of layer.

    Attributes:
        sizes: Root mean square of each correction over that of the ∇1 that it builds on.
        signals: Of the gradient net's signals.
        features: Of the four features that the statistics net gives it.
        vectors: Of the statistics net's vectors, the six statistics of one permuted together.
        statistics: Of each, by ``vector_statistic``.
    """

    sizes: list[float]
    signals: Importances
    features: Importances
    vectors: Importances
    statistics: Importances


@dataclass(frozen=True)
class OptimizerImportance:
    """What matters to the neural optimizer; ``inputs`` has its memory too.

    Attributes:
        size: Root mean square of what it adds over that of Adam's step.
        inputs: Importance of each input.
    """

    size: float
    inputs: dict[str, float]


def of_nets(controllers: np.ndarray, layer: str, seen: Recorded, *, seed: int) -> NetsImportance:
    """Permutes each input of both nets among all recorded signals."""
    nets, generator = PlainNets(controllers, layer), np.random.default_rng(seed)
    features, answers = nets.features(seen.statistics), seen.corrections

    def loss(corrections: Callable[[np.ndarray], Array]) -> list[float]:
        return _importance(answers, corrections, generator).tolist()

    def of_signal(name: str) -> list[float]:
        one = seen.signals[name]
        return loss(lambda order: nets.corrections({**seen.signals, name: one[order]}, features))

    def of_feature(place: int) -> list[float]:
        return loss(lambda order: nets.corrections(seen.signals, _permuted(features, order, [place])))

    def of_statistics(vector: str, places: list[int]) -> list[float]:
        def corrections(order: np.ndarray) -> Array:
            changed = {**seen.statistics, vector: _permuted(seen.statistics[vector], order, places)}
            return nets.corrections(seen.signals, nets.features(changed))

        return loss(corrections)

    return NetsImportance(
        [_ratio(answers[:, one], seen.beside) for one in range(answers.shape[1])],
        {name: of_signal(name) for name in dict.fromkeys(nets.sizes.signals)},
        {f"feature{one + 1}": of_feature(one) for one in range(FEATURES)},
        {name: of_statistics(name, list(range(STATISTICS))) for name in seen.statistics},
        {
            f"{name}_{statistic}": of_statistics(name, [place])
            for name in seen.statistics
            for place, statistic in enumerate(STATISTIC_NAMES)
        },
    )


def of_optimizer(controllers: np.ndarray, seen: Windows, *, seed: int) -> OptimizerImportance:
    """Permutes each input among all recorded weights, alike in each step of a window; variances are of each step."""
    generator = np.random.default_rng(seed)
    answers = updates(controllers, seen.inputs, seen.h, seen.c).T

    def of_input(place: int) -> float:
        def changed(order: np.ndarray) -> Array:
            inputs = seen.inputs.copy()
            inputs[..., place] = seen.inputs[:, order, place]
            return updates(controllers, inputs, seen.h, seen.c).T

        return float(_importance(answers, changed, generator, together=True))

    def forgotten(order: np.ndarray) -> Array:
        return updates(controllers, seen.inputs, seen.h[order], seen.c[order]).T

    inputs = {name: of_input(place) for place, name in enumerate(WEIGHT_INPUTS)}
    inputs[MEMORY] = float(_importance(answers, forgotten, generator, together=True))
    return OptimizerImportance(_ratio(answers, seen.inputs[..., WEIGHT_INPUTS.index("adam")]), inputs)


def _importance(
    answers: Array, permuted: Callable[[np.ndarray], Array], generator: np.random.Generator, *, together: bool = False
) -> Array:
    """Of answers ``[N, k]``: ``[k]``, or with ``together`` one for the sums over k."""
    variance, scale = answers.var(0), (answers**2).mean(0)
    changes = [((permuted(generator.permutation(len(answers))) - answers) ** 2).mean(0) for _ in range(REPEATS)]
    change = np.mean(changes, axis=0)
    if together:
        change, variance, scale = (np.asarray(one.sum()) for one in (change, variance, scale))
    still = variance <= _STILL * scale
    return np.where(still, 0.0, change / np.where(still, 1.0, 2 * variance))


def _permuted(values: Array, order: np.ndarray, places: list[int]) -> Array:
    found = values.copy()
    found[:, places] = values[order][:, places]
    return found


def _ratio(values: Array, beside: Array) -> float:
    """Of two root mean squares; 0 over 0 is 0."""
    over, under = (float(np.sqrt((one**2).mean())) for one in (values, beside))
    return over / under if under else (float("inf") if over else 0.0)

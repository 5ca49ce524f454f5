"""How much each input of the small nets matters, by permutation of what they saw in training.

The importance of an input x for an answer f is

    E[(f(x, z) − f(x_π, z))²] / (2·Var f),

where x_π are the same values in another order, and z are the other inputs. It is 0 for an input that changes nothing,
and 1 on average for the only one that does; with interactions the sum may exceed 1. The permutation parts inputs that
go together (the two streams where corrections are small): what counts is what the net does with each, not what one
tells that another does not. Breiman 2001; Fisher, Rudin & Dominici 2019.

What a net is given twice is one input here, by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.inspection import permutation_importance
from torch import Tensor

from symevo.evograd.controllers import _READS, Nets
from symevo.evograd.layout import CELLS, CONTROLLERS, FEATURES, tensors
from symevo.evograd.learner import Learner
from symevo.evograd.network import perceptron

Array = np.ndarray[Any, np.dtype[np.float64]]
Inputs = Mapping[str, Array]
"""Values ``[N]`` or ``[N, …]`` of each input."""
Importances = dict[str, list[float]]
"""For each input, one importance for each correction."""

REPEATS = 5
"""Permutations of each input; importances are means over them."""
STATISTIC_NAMES = ("mean", "std", "min", "max", "skewness", "kurtosis")
WEIGHT_INPUTS = ("theta", "grad1", "adam", "grad2")
"""What the LSTM of a weight sees: θ, ∇1, Adam's step, ∇2."""
MOMENTS, WINDOWS = 16, 4
"""Steps of a training at which signals are kept, and at which windows of weights begin."""
SIGNALS, WEIGHTS = 64, 512
"""Signals of each layer that are kept of a step, and weights of each window."""
WINDOW = 8
"""Steps of a window."""
_STILL = 1e-20  # of the mean square: a smaller variance is rounding, and the answer constant
_BETAS, _EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Seen:
    """What the nets of one type of layer saw.

    Attributes:
        signals: ``[N]`` by name.
        statistics: Of the signals' samples, ``[N, 6]`` by name of the vector.
    """

    signals: Inputs
    statistics: Inputs


@dataclass(frozen=True)
class Recording:
    """One or several trainings.

    Attributes:
        layers: By type of layer; a type that the networks did not have is missing.
        windows: Of weights in consecutive steps: each of :data:`WEIGHT_INPUTS` ``[N, steps]``, and ``memory [N, 16]``,
            the LSTM's state before the first step. None where no training was finite for long enough.
        steps: How many steps were trained.
    """

    layers: Mapping[str, Seen]
    windows: Inputs | None
    steps: int


@dataclass(frozen=True)
class NetsImportance:
    """What matters to the two nets of a type of layer.

    Attributes:
        sizes: Root mean square of each correction over that of the ∇1 that it builds on.
        means: Mean of each correction.
        signals: Importance of the gradient net's signals.
        features: Of the four features that the statistics net gives it.
        vectors: Of the statistics net's vectors, the six statistics of one permuted together.
        statistics: Of each, by ``vector_statistic``.
    """

    sizes: list[float]
    means: list[float]
    signals: Importances
    features: Importances
    vectors: Importances
    statistics: Importances


@dataclass(frozen=True)
class OptimizerImportance:
    """What matters to the neural optimizer.

    Attributes:
        size: Root mean square of what it adds over that of Adam's step.
        inputs: Importance of each input, its memory among them.
    """

    size: float
    inputs: dict[str, float]


def record(
    controllers: np.ndarray,
    weights: Sequence[Tensor],
    batches: Callable[[int], tuple[Tensor, Tensor]],
    *,
    lr: float,
    steps: int,
    seed: int,
) -> Recording:
    """Trains a network and keeps a random part of what the nets see.

    It ends early where a weight or a signal is no longer finite; what was kept before remains.

    Args:
        controllers: The 3,375 numbers.
        weights: Initial matrix ``[out, in]`` and bias ``[out]`` of each layer in turn.
        batches: Inputs ``[B, in]`` and labels ``[B]`` of a step.
        lr: Learning rate.
        steps: Training steps, 1 or more.
        seed: Of what is kept.
    """
    sizes = [weights[0].shape[1], *(len(bias) for bias in weights[1::2])]
    generator = np.random.default_rng(seed)
    learner = _Watched(perceptron(sizes), controllers[None], lr=lr, betas=_BETAS, eps=_EPS)
    learner.generator = generator
    learner.start(weights)
    # Tensors of weights have gaps between them.
    views = [one.value[0] for pair in learner.weights for one in pair]
    places = torch.cat([torch.arange(one.numel()) + one.storage_offset() for one in views])
    places = places[torch.from_numpy(generator.permutation(len(places))[:WEIGHTS])]
    moments = set(np.linspace(0, steps - 1, min(MOMENTS, steps)).astype(int).tolist())
    length = min(WINDOW, steps)
    starts = np.linspace(0, steps - length, min(WINDOWS, steps // length)).astype(int).tolist()
    kept: list[tuple[str, Seen]] = []
    memory: dict[int, Array] = {}
    inputs: list[Array] = []
    done = 0
    for done in range(steps):
        if done in starts:
            memory[done] = _doubles(torch.cat([learner.memory.h, learner.memory.c], 1)[0][:, places]).T
        learner.seen = [] if done in moments else None
        theta = _doubles(learner.theta[0][places])
        learner.step(*batches(done))
        if not all(_finite(one) for _, one in learner.seen or []):
            break
        kept += learner.seen or []
        inputs.append(np.stack([theta, *_of_step(learner, places, lr)]))
        if not learner.theta.isfinite().all():
            break
    windows = []
    for start in starts:
        if start + length <= len(inputs):
            parts = np.stack(inputs[start : start + length], axis=-1)  # inputs, N, steps
            windows.append({**dict(zip(WEIGHT_INPUTS, parts, strict=True)), "memory": memory[start]})
    windows = [one for one in windows if all(np.isfinite(values).all() for values in one.values())]
    return Recording(_by_layer(kept), _joined(windows), done + 1)


def joined(recordings: Sequence[Recording]) -> Recording:
    """Several recordings, of as many steps each, as one."""
    layers = _by_layer([pair for one in recordings for pair in one.layers.items()])
    windows = _joined([one.windows for one in recordings if one.windows])
    return Recording(layers, windows, sum(one.steps for one in recordings))


def of_nets(controllers: np.ndarray, layer: str, seen: Seen, *, seed: int) -> NetsImportance:
    """Permute each input of both nets of a type of layer among all recorded signals."""
    nets = [tensors(controllers.astype(np.float64), layer, net) for net in ("statistics", "gradient")]
    sizes, features = CONTROLLERS[layer], [f"feature{one + 1}" for one in range(FEATURES)]

    def corrections(inputs: Inputs) -> Array:
        return _three(nets[1], np.stack([inputs[name] for name in (*sizes.signals, *features)], axis=-1))

    def with_features(statistics: Inputs) -> Inputs:
        made = _relu(_three(nets[0], np.concatenate([statistics[name] for name in sizes.vectors], axis=-1)))
        return {**seen.signals, **dict(zip(features, made.T, strict=True))}

    def by_vectors(statistics: Inputs) -> Array:
        return corrections(with_features(statistics))

    def by_statistics(values: Inputs) -> Array:
        names = {name: [f"{name}_{one}" for one in STATISTIC_NAMES] for name in seen.statistics}
        return by_vectors({name: np.stack([values[one] for one in own], axis=-1) for name, own in names.items()})

    given = with_features(seen.statistics)
    single = {
        f"{name}_{one}": column
        for name, values in seen.statistics.items()
        for one, column in zip(STATISTIC_NAMES, values.T, strict=True)
    }
    answers = corrections(given)
    beside = next(values for name, values in seen.signals.items() if name.startswith("grad1"))
    found = importances(corrections, given, seed=seed)
    return NetsImportance(
        [_ratio(one, beside) for one in answers.T],
        answers.mean(0).tolist(),
        {name: found[name] for name in seen.signals},
        {name: found[name] for name in features},
        importances(by_vectors, seen.statistics, seed=seed),
        importances(by_statistics, single, seed=seed),
    )


def of_optimizer(controllers: np.ndarray, seen: Inputs, *, seed: int) -> OptimizerImportance:
    """Permute each input among all recorded weights, alike in each step of a window; variances are of each step."""

    def answer(inputs: Inputs) -> Array:
        return updates(controllers, inputs)

    found = importances(answer, seen, seed=seed, together=True)
    return OptimizerImportance(_ratio(answer(seen), seen["adam"]), {name: one for name, (one,) in found.items()})


def importances(answer: Callable[[Inputs], Array], inputs: Inputs, *, seed: int, together: bool = False) -> Importances:
    """The importance of each input for each column of the answer.

    Args:
        answer: What it makes of inputs, ``[N, k]``.
        inputs: What it was given; an input of several numbers is permuted as one.
        seed: Of the permutations.
        together: One importance, for the sum of the columns.
    """
    answers = answer(inputs)
    variance, square = answers.var(0), (answers**2).mean(0)
    if together:
        variance, square = variance.sum(keepdims=True), square.sum(keepdims=True)
    still = variance <= _STILL * square

    def score(answering: _Answering, rows: np.ndarray, truth: Array) -> dict[int, float]:
        change = ((answering.predict(rows) - truth) ** 2).mean(0)
        change = change.sum(keepdims=True) if together else change
        return dict(enumerate(-np.where(still, 0.0, change) / np.where(still, 1.0, 2 * variance)))

    rows = np.tile(np.arange(len(answers))[:, None], len(inputs))
    found = permutation_importance(
        _Answering(answer, inputs), rows, answers, scoring=score, n_repeats=REPEATS, random_state=seed % 2**32
    )
    columns = zip(*(found[one].importances_mean for one in range(len(still))), strict=True)
    return {name: [float(one) + 0.0 for one in values] for name, values in zip(inputs, columns, strict=True)}


class _Answering:
    """An answer as scikit-learn has it: an estimator whose columns, one an input, are numbers of recorded rows."""

    def __init__(self, answer: Callable[[Inputs], Array], inputs: Inputs) -> None:
        self._answer, self._inputs = answer, inputs

    def fit(self, rows: np.ndarray, answers: Array) -> _Answering:
        return self

    def predict(self, rows: np.ndarray) -> Array:
        pairs = zip(self._inputs.items(), rows.T, strict=True)
        return self._answer({name: values[order] for (name, values), order in pairs})


def updates(controllers: np.ndarray, windows: Inputs) -> Array:
    """What LSTM and head add to Adam's step, ``[N, steps]``; ``windows`` as in :class:`Recording`."""
    lstm, head = (tensors(controllers.astype(np.float64), "optimizer", net) for net in ("lstm", "head"))
    h, c = windows["memory"][:, :CELLS], windows["memory"][:, CELLS:]
    found = []
    for x in np.stack([windows[name] for name in WEIGHT_INPUTS], axis=-1).swapaxes(0, 1):
        gates = x @ lstm["weight_ih"].T + lstm["bias_ih"] + h @ lstm["weight_hh"].T + lstm["bias_hh"]
        i, f, g, o = np.split(gates, 4, axis=-1)
        c = expit(f) * c + expit(i) * np.tanh(g)
        h = expit(o) * np.tanh(c)
        found.append(_dense(head, "second", _relu(_dense(head, "first", _relu(h))))[:, 0])
    return np.stack(found, axis=-1)


def _three(net: Mapping[str, Array], x: Array) -> Array:
    hidden = _relu(_dense(net, "first", x))
    hidden = _relu(_dense(net, "second", np.concatenate([hidden, x], axis=-1)))
    return _dense(net, "third", hidden)


def _dense(net: Mapping[str, Array], name: str, x: Array) -> Array:
    return x @ net[f"{name}.weight"].T + net[f"{name}.bias"]


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _ratio(values: Array, beside: Array) -> float:
    """Of two root mean squares; 0 over 0 is 0."""
    over, under = (float(np.sqrt((one**2).mean())) for one in (values, beside))
    return over / under if under else (float("inf") if over else 0.0)


class _Watched(Learner):
    """A learner that keeps what its nets see, in ``seen``, while that is a list."""

    seen: list[tuple[str, Seen]] | None = None
    generator: np.random.Generator

    def __init__(self, network: Any, controllers: np.ndarray, **settings: Any) -> None:
        super().__init__(network, controllers, **settings)
        known = torch.as_tensor(controllers).to(self.dtype)
        self._nets = {layer: _WatchedNets(known, layer, self) for layer in CONTROLLERS}


class _WatchedNets(Nets):
    def __init__(self, controllers: Tensor, layer: str, learner: _Watched) -> None:
        super().__init__(controllers, layer)
        self._layer, self._learner = layer, learner

    def on(
        self,
        statistics: Sequence[Tensor],
        signals: Sequence[Tensor],
        out: Sequence[Tensor],
        *,
        feature: Tensor | None = None,
        sample: Tensor | None = None,
    ) -> Callable[[], None]:
        correct = super().on(statistics, signals, out, feature=feature, sample=sample)
        names, of_feature, of_sample = _READS[self._layer]
        read = dict(zip(names, signals, strict=True))
        if feature is not None:
            read[of_feature] = feature.unsqueeze(2)
        for index, name in enumerate(of_sample):
            assert sample is not None
            read[name] = sample[:, index : index + 1]
        vectors = dict(zip(CONTROLLERS[self._layer].vectors, statistics, strict=True))
        _, features, batch = out[0].shape

        def watched() -> None:
            if self._learner.seen is not None:
                count = features * batch
                places = self._learner.generator.choice(count, min(SIGNALS, count), replace=False)
                at, of = (torch.from_numpy(one) for one in np.divmod(places, batch))
                own = {name: _doubles(one[0].expand(features, batch)[at, of]) for name, one in read.items()}
                if self._layer == "loss":
                    own["grad1"] = own["softmax"] - own["onehot"]
                kept = {name: _doubles(one[0][:, of].T) for name, one in vectors.items()}
                self._learner.seen.append((self._layer, Seen(own, kept)))
            correct()

        return watched


def _of_step(learner: Learner, places: Tensor, lr: float) -> list[Array]:
    """∇1, Adam's step and ∇2 of weights in the last step."""
    (beta1, beta2), memory = _BETAS, learner.memory
    m, v, grad1, grad2 = (_doubles(one[0][places]) for one in (memory.m, memory.v, learner.grad1, learner.grad2))
    adam = lr * m / (1 - beta1**learner.t) / (np.sqrt(v / (1 - beta2**learner.t)) + _EPS)
    return [grad1, adam, grad2]


def _finite(seen: Seen) -> bool:
    return all(np.isfinite(one).all() for one in (*seen.signals.values(), *seen.statistics.values()))


def _by_layer(pairs: Sequence[tuple[str, Seen]]) -> dict[str, Seen]:
    found = {}
    for layer in CONTROLLERS:
        own = [one for name, one in pairs if name == layer]
        signals, statistics = (_joined([getattr(one, part) for one in own]) for part in ("signals", "statistics"))
        if signals and statistics:
            found[layer] = Seen(signals, statistics)
    return found


def _joined(parts: Sequence[Inputs]) -> dict[str, Array] | None:
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]} if parts else None


def _doubles(x: Tensor) -> Array:
    return x.detach().double().numpy()

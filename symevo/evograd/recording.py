"""Recordings: what the small nets see and answer while one individual trains a network.

The training is the learner's own. At some of its steps the passes are computed once more, plainly, from the weights
that it has by then, and a random part of all signals is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from symevo.evograd.layout import CONTROLLERS
from symevo.evograd.learner import Learner
from symevo.evograd.network import perceptron
from symevo.evograd.plain import Array, PlainPasses, Seen

MOMENTS, WINDOWS = 16, 4
"""Steps of a training at which signals are kept, and at which windows of weights begin."""
SIGNALS, WEIGHTS = 128, 256
"""Signals of each type of layer that are kept of a step, and weights of each window."""
WINDOW = 8
"""Steps of a window."""
_BETAS, _EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Recorded:
    """Signals of one type of layer, with what its nets saw of each and answered.

    Attributes:
        signals: ``[N]`` by name.
        statistics: Of the signals' samples, ``[N, 6]`` by name of the vector.
        corrections: ``[N, k]``.
        beside: The ∇1 that they build on, ``[N]``.
    """

    signals: Mapping[str, Array]
    statistics: Mapping[str, Array]
    corrections: Array
    beside: Array


@dataclass(frozen=True)
class Windows:
    """What LSTMs of weights saw in consecutive steps.

    Attributes:
        inputs: ``[steps, N, 4]``, see :data:`symevo.evograd.plain.WEIGHT_INPUTS`.
        h: Their outputs before the first step, ``[N, 8]``.
        c: Their cells before it.
    """

    inputs: Array
    h: Array
    c: Array


@dataclass(frozen=True)
class Recording:
    """One or several trainings.

    Attributes:
        layers: By type of layer; a type that the networks did not have is missing.
        windows: Of weights; None where no training was finite for long enough.
        steps: How many steps were trained.
    """

    layers: Mapping[str, Recorded]
    windows: Windows | None
    steps: int


def record(
    controllers: np.ndarray,
    weights: Sequence[Tensor],
    batches: Callable[[int], tuple[Tensor, Tensor]],
    *,
    lr: float,
    steps: int,
    seed: int,
) -> Recording:
    """Trains a network and keeps what the nets see.

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
    learner = Learner(perceptron(sizes), controllers[None], lr=lr, betas=_BETAS, eps=_EPS)
    learner.start(weights)
    generator = np.random.default_rng(seed)
    moments = set(np.linspace(0, steps - 1, min(MOMENTS, steps)).astype(int).tolist())
    window = min(WINDOW, steps)
    starts = np.linspace(0, steps - window, min(WINDOWS, steps // window)).astype(int)
    signals = _Signals(controllers, generator)
    kept = _Weights(learner, generator, lr, starts.tolist(), window)
    done = 0
    for done in range(steps):
        x, y = batches(done)
        if done in moments and not signals.look(learner, x, y):
            break
        kept.before(done)
        learner.step(x, y)
        kept.after()
        if not learner.theta.isfinite().all():
            break
    return Recording(signals.found(), kept.found(), done + 1)


def joined(recordings: Sequence[Recording]) -> Recording:
    """Several recordings as one."""
    layers = {}
    for layer in CONTROLLERS:
        parts = [one.layers[layer] for one in recordings if layer in one.layers]
        if parts:
            layers[layer] = _joined(parts)
    length = max((one.windows.inputs.shape[0] for one in recordings if one.windows), default=0)
    windows = [one.windows for one in recordings if one.windows and one.windows.inputs.shape[0] == length]
    return Recording(layers, _together(windows), sum(one.steps for one in recordings))


def _joined(parts: Sequence[Recorded]) -> Recorded:
    first = parts[0]
    return Recorded(
        {name: np.concatenate([one.signals[name] for one in parts]) for name in first.signals},
        {name: np.concatenate([one.statistics[name] for one in parts]) for name in first.statistics},
        np.concatenate([one.corrections for one in parts]),
        np.concatenate([one.beside for one in parts]),
    )


def _together(parts: Sequence[Windows]) -> Windows | None:
    if not parts:
        return None
    inputs = np.concatenate([one.inputs for one in parts], axis=1)
    return Windows(inputs, np.concatenate([one.h for one in parts]), np.concatenate([one.c for one in parts]))


class _Signals:
    """A random part of the signals of each type of layer."""

    def __init__(self, controllers: np.ndarray, generator: np.random.Generator) -> None:
        self._passes = PlainPasses(controllers, lambda seen: self._seen.append(seen))
        self._generator = generator
        self._seen: list[Seen] = []
        self._parts: dict[str, list[Recorded]] = {layer: [] for layer in CONTROLLERS}

    def look(self, learner: Learner, x: Tensor, y: Tensor) -> bool:
        """Keeps signals of a batch; False where one is not finite, and none is kept."""
        self._seen.clear()
        weights = [tuple(_doubles(one.value[0]) for one in pair) for pair in learner.weights]
        with np.errstate(all="ignore"):
            found = self._passes(weights, _doubles(x), y.numpy())  # type: ignore[arg-type]
        gradients = [one for pair in found for one in pair]
        if not all(np.isfinite(one).all() for one in (*gradients, *(seen.corrections for seen in self._seen))):
            return False
        for layer, parts in self._parts.items():
            layers = [seen for seen in self._seen if seen.layer == layer]
            parts += [self._some(seen, SIGNALS // len(layers)) for seen in layers]
        return True

    def _some(self, seen: Seen, count: int) -> Recorded:
        batch, features = seen.beside.shape
        places = self._generator.choice(batch * features, min(count, batch * features), replace=False)
        sample, feature = np.divmod(places, features)
        return Recorded(
            {name: one[sample, feature] for name, one in seen.signals.items()},
            {name: one[sample] for name, one in seen.statistics.items()},
            seen.corrections[sample, feature],
            seen.beside[sample, feature],
        )

    def found(self) -> dict[str, Recorded]:
        return {layer: _joined(parts) for layer, parts in self._parts.items() if parts}


class _Weights:
    """Windows of a random part of the weights."""

    def __init__(
        self, learner: Learner, generator: np.random.Generator, lr: float, starts: Sequence[int], length: int
    ) -> None:
        # Tensors of weights have gaps between them.
        views = [one.value[0] for pair in learner.weights for one in pair]
        self._places = torch.cat([torch.arange(one.numel()) + one.storage_offset() for one in views])
        self._learner, self._generator, self._lr = learner, generator, lr
        self._starts, self._length = starts, length
        self._open: list[_Window] = []
        self._ended: list[Windows] = []

    def before(self, step: int) -> None:
        """The step with this number comes next."""
        memory = self._learner.memory
        if step in self._starts:
            count = min(WEIGHTS, len(self._places))
            places = self._places[torch.from_numpy(self._generator.choice(len(self._places), count, replace=False))]
            h, c = (_doubles(one[0][:, places]).T for one in (memory.h, memory.c))
            self._open.append(_Window(places, h, c, []))
        self._theta = [_doubles(self._learner.theta[0][one.places]) for one in self._open]

    def after(self) -> None:
        """The step is done."""
        for one, theta in zip(self._open, self._theta, strict=True):
            one.inputs.append(self._inputs(one.places, theta))
        full = [one for one in self._open if len(one.inputs) == self._length]
        self._open = [one for one in self._open if len(one.inputs) < self._length]
        windows = [Windows(np.stack(one.inputs), one.h, one.c) for one in full]
        self._ended += [one for one in windows if all(np.isfinite(x).all() for x in (one.inputs, one.h, one.c))]

    def _inputs(self, places: Tensor, theta: Array) -> Array:
        learner, (beta1, beta2) = self._learner, _BETAS
        m, v = _doubles(learner.memory.m[0][places]), _doubles(learner.memory.v[0][places])
        adam = self._lr * m / (1 - beta1**learner.t) / (np.sqrt(v / (1 - beta2**learner.t)) + _EPS)
        grad1, grad2 = _doubles(learner.grad1[0][places]), _doubles(learner.grad2[0][places])
        return np.stack([theta, grad1, adam, grad2], axis=-1)

    def found(self) -> Windows | None:
        return _together(self._ended)


@dataclass(frozen=True)
class _Window:
    """One that has begun."""

    places: Tensor
    h: Array
    c: Array
    inputs: list[Array]


def _doubles(x: Tensor) -> Array:
    return x.detach().double().numpy()

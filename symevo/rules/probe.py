"""What a rule does, without training: its steps under fixed gradients.

A rule's *direction* is its step before the learning rate: theta − theta' for lr = 1, no weight decay and no schedule.
The probe drives it for :data:`STEPS` steps with gradients of several kinds side by side: noisy ones with a drift, as a
convex loss has them, tiny, huge, sparse and sign-alternating ones. From the directions follow

- reasons to reject a rule before it is trained, and
- a *fingerprint*, equal for rules that make equal steps up to one positive factor, whatever their text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b

import numpy as np
import torch

from symevo.rules.backends.interpreter import Interpreter, assembled
from symevo.rules.program import Program

STEPS = 24
GROUP = 8
"""Weights of each kind of gradient."""
KINDS = ("convex", "tiny", "huge", "sparse", "alternating")
_DIGITS = 1e8  # of the largest step, to which fingerprints are rounded
_SAME = 1e-10  # steps that differ by less, relative to the largest, do not vary


@dataclass(frozen=True)
class Probe:
    """What a probe found.

    Attributes:
        reason: Why the rule is not worth training, or None.
        fingerprint: Hash of the directions up to a positive factor; empty where there is a reason.
        scale: That factor: the largest step under convex gradients.
        sizes: Of each kind of gradient, the largest step relative to the scale.
        steps: All steps, each relative to the largest of its kind, float32.
    """

    reason: str | None
    fingerprint: str = ""
    scale: float = 0.0
    sizes: tuple[float, ...] = ()
    steps: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32), compare=False, repr=False)


@cache
def gradients() -> torch.Tensor:
    """The probe's gradients, float64 ``[STEPS, 1, weights]``; the kinds of :data:`KINDS` side by side."""
    random = np.random.default_rng(20260101)
    size = (STEPS, GROUP)
    scale = 10.0 ** random.uniform(-2, 0.5, GROUP)
    drift = random.choice([-1.0, 1.0], GROUP) * np.exp(-np.arange(STEPS)[:, None] / STEPS)
    convex = scale * (drift + 0.7 * random.normal(size=size))
    convex[:, GROUP // 2 :] = -convex[:, : GROUP // 2]  # a step that is blind to the sign gains nothing on average
    tiny = 1e-8 * random.normal(size=size)
    huge = 1e6 * random.normal(size=size)
    sparse = np.where(random.random(size) < 0.25, random.normal(size=size), 0.0)
    sparse[:, 0] = 0.0  # a weight that never gets a gradient
    signs = (-1.0) ** np.arange(STEPS)[:, None]
    alternating = signs * scale * (1 + 0.1 * random.normal(size=size))
    return torch.from_numpy(np.concatenate([convex, tiny, huge, sparse, alternating], axis=1)[:, None])


def directions(
    programs: Sequence[Program], hypers: Sequence[Mapping[str, float]], grads: torch.Tensor | None = None
) -> np.ndarray:
    """The steps, float64 ``[rules, steps, weights]``, that rules make before the learning rate.

    Each program has the form ``theta = theta - lr*(…)``. Gradients are float64 ``[steps, 1, weights]``, by default
    the probe's.
    """
    grads = gradients() if grads is None else grads
    steps, _, weights = grads.shape
    interpreter = Interpreter(programs, weights, torch.float64)
    still = [{**hyper, "weight_decay": 0.0} if "weight_decay" in hyper else hyper for hyper in hypers]
    table = interpreter.table(still, [np.ones(steps)] * len(programs), steps)
    theta = torch.zeros(steps, len(programs), weights, dtype=torch.float64)
    states = [torch.zeros(1, len(programs), weights, dtype=torch.float64) for _ in range(interpreter.states)]
    interpreter.run(theta, grads, states, table, torch.ones(len(programs), 1, dtype=torch.bool))
    return -theta.numpy().transpose(1, 0, 2)


def probe(programs: Sequence[Program], hypers: Sequence[Mapping[str, float]]) -> list[Probe]:
    """Probes rules, all in one call."""
    with np.errstate(all="ignore"):
        found = directions(programs, hypers)
        return [_judge(program, steps) for program, steps in zip(programs, found, strict=True)]


def _judge(program: Program, steps: np.ndarray) -> Probe:
    reason = _reason(program, steps)
    if reason is not None:
        return Probe(reason)
    groups = steps.reshape(STEPS, len(KINDS), GROUP).transpose(1, 0, 2)
    largest = np.abs(groups).max(axis=(1, 2))
    scale = float(largest[0] or largest.max())
    # Each kind of gradient by its own largest step: a rule may take huge gradients for a million times what it takes
    # others for. Zeros are added because -0 and 0 are one number.
    shape = groups / np.where(largest > 0, largest, 1.0)[:, None, None]
    sizes = tuple(float(size / scale) for size in largest)
    exact = (np.rint(shape * _DIGITS) + 0.0).tobytes() + " ".join(f"{size:.7e}" for size in sizes).encode()
    digest = blake2b(exact, digest_size=12).hexdigest()
    return Probe(None, digest, scale, sizes, shape.reshape(-1).astype(np.float32))


def _reason(program: Program, steps: np.ndarray) -> str | None:
    if not any(("g",) in one.args for one in assembled(program)[1].instructions):
        return "does not read the gradient"
    if not np.isfinite(steps).all():
        return "not finite"
    largest = np.abs(steps).max()
    if largest == 0 or np.ptp(steps) <= _SAME * largest:
        return "constant"
    steps, grads = steps[:, :GROUP], gradients().numpy()[:, 0, :GROUP]
    spread = np.sqrt((steps**2).sum(axis=0) * (grads**2).sum(axis=0))
    # a cosine for each weight, so that each counts alike, whatever its scale
    cosines = np.divide((steps * grads).sum(axis=0), spread, out=np.zeros(GROUP), where=spread > 0)
    return "climbs" if cosines.mean() <= _SAME else None

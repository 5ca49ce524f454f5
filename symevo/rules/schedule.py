"""Learning-rate schedules that ride along with a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from symevo.errors import UserError
from symevo.registry import Registry, nearest

MAX_WARMUP = 10**12

DECAYS: Registry[Callable[[Any], Any]] = Registry("decay")
"""Decays by name: functions of progress s/T in [0, 1) that give a factor in [0, 1]."""

DECAYS.register("constant", lambda progress: np.ones_like(progress))
DECAYS.register("cosine", lambda progress: 0.5 * (1.0 + np.cos(np.pi * progress)))
DECAYS.register("linear", lambda progress: 1.0 - progress)


@dataclass(frozen=True)
class Schedule:
    """η(s) = lr · min(1, (s+1)/W) · decay(s/T) · γ^⌊s/E⌋ with s = 0, 1, …, T−1.

    Warmup, decay and steps multiply, and decay runs on global progress from step 0.

    Attributes:
        warmup: W: a number of steps (int), or a fraction of T (float below 1).
        decay: Name in :data:`DECAYS`.
        every: E: after so many steps the rate is multiplied by gamma, again and again, as torch's StepLR does; 0:
            never.
        gamma: γ in (0, 1].

    Raises:
        UserError: Negative warmup, a fraction of 1 or more, an unknown decay, or steps that cannot be.
    """

    warmup: int | float = 0
    decay: str = "constant"
    every: int = 0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.warmup, bool) or not isinstance(self.warmup, int | float):
            raise UserError("warmup must be a number of steps or a fraction of them")
        fraction = 0 <= self.warmup < 1
        if not (fraction or (1 <= self.warmup <= MAX_WARMUP and self.warmup == int(self.warmup))):
            raise UserError(f"warmup must be a fraction in [0, 1) or a whole number of steps up to {MAX_WARMUP:,}")
        DECAYS.get(self.decay)
        if isinstance(self.every, bool) or not isinstance(self.every, int) or not 0 <= self.every <= MAX_WARMUP:
            raise UserError(f"a schedule's every is a whole number of steps up to {MAX_WARMUP:,}, not {self.every!r}")
        if isinstance(self.gamma, bool) or not isinstance(self.gamma, int | float) or not 0 < self.gamma <= 1:
            raise UserError(f"a schedule's gamma is a factor above 0 and at most 1, not {self.gamma!r}")
        if (self.every > 0) != (self.gamma < 1):
            raise UserError("a schedule's every and gamma go together: every counts steps, gamma is below 1")

    def __str__(self) -> str:
        """The parts that do something, such as ``warmup 0.05, decay cosine, every 782 steps × 0.7``."""
        length = f"{self.warmup:.6g}" if self.warmup < 1 else f"{self.warmup:.0f}"
        parts = [f"warmup {length}"] if self.warmup else []
        parts += [f"decay {self.decay}"] if self.decay != "constant" else []
        parts += [f"every {self.every} steps × {self.gamma:.6g}"] if self.every else []
        return ", ".join(parts) or "constant"

    @property
    def is_constant(self) -> bool:
        """Whether the factor is 1 at every step."""
        return self.warmup == 0 and self.decay == "constant" and self.every == 0

    def factor(self, step: Any, total: int) -> Any:
        """The factor on lr.

        Args:
            step: s = t − 1, a number or an array of them, from 0.
            total: T; past it the factor stays at the last step's.

        Returns:
            float64, of the shape of ``step``.
        """
        s = np.minimum(np.asarray(step, dtype=np.float64), total - 1)
        steps = self.warmup * total if 0 < self.warmup < 1 else self.warmup
        warm = np.minimum(1.0, (s + 1.0) / steps) if steps else 1.0
        found = warm * DECAYS.get(self.decay)(s / total)
        return found * self.gamma ** (s // self.every) if self.every else found

    def to_json(self) -> dict[str, Any]:
        """The plain form that rule JSON holds; steps stand there only if there are any."""
        steps = {"every": self.every, "gamma": self.gamma} if self.every else {}
        return {"warmup": self.warmup, "decay": self.decay, **steps}

    @classmethod
    def from_json(cls, data: Any) -> Schedule:
        """Reads :meth:`to_json`'s form.

        Raises:
            UserError: Not such an object.
        """
        if not isinstance(data, dict) or not set(data) <= {"warmup", "decay", "every", "gamma"}:
            raise UserError("a schedule is an object with the keys warmup and decay, and for steps every and gamma")
        if not isinstance(data.get("decay", ""), str):
            raise UserError("a schedule's decay is a name, such as cosine")
        return cls(**data)


def schedule(source: Any, /) -> Schedule:
    """Makes a schedule from a text, the form that rule JSON holds, or a schedule.

    Args:
        source: ``"constant"``, another decay's name, or ``"step:STEPS:FACTOR"``: torch's StepLR, as ``step:782:0.7``.

    Raises:
        UserError: Nothing of the kind.
    """
    if isinstance(source, Schedule):
        return source
    if not isinstance(source, str):
        return Schedule.from_json(source)
    kind, *numbers = source.strip().split(":")
    if kind == "step":
        try:
            every, gamma = numbers
            steps = int(every), float(gamma)
        except ValueError:
            raise UserError(f"{source!r} is no schedule: write step:STEPS:FACTOR, as step:782:0.7") from None
        return Schedule(every=steps[0], gamma=steps[1])
    if numbers or kind not in DECAYS:
        hint = nearest(kind, [*DECAYS, "step"])
        raise UserError(f"unknown schedule {source!r}: {hint}; steps are written step:STEPS:FACTOR, as step:782:0.7")
    return Schedule(decay=kind)

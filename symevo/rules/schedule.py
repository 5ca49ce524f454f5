"""Learning-rate schedules that ride along with a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from symevo.errors import UserError
from symevo.registry import Registry

MAX_WARMUP = 10**12

DECAYS: Registry[Callable[[Any], Any]] = Registry("decay")
"""Decays by name: functions of progress s/T in [0, 1) that give a factor in [0, 1]."""

DECAYS.register("constant", lambda progress: np.ones_like(progress))
DECAYS.register("cosine", lambda progress: 0.5 * (1.0 + np.cos(np.pi * progress)))
DECAYS.register("linear", lambda progress: 1.0 - progress)


@dataclass(frozen=True)
class Schedule:
    """η(s) = lr · min(1, (s+1)/W) · decay(s/T) with s = 0, 1, …, T−1.

    Warmup and decay multiply, and decay runs on global progress from step 0 (systems.md, term-sum, step 1).

    Attributes:
        warmup: W: a number of steps (int), or a fraction of T (float below 1).
        decay: Name in :data:`DECAYS`.

    Raises:
        UserError: Negative warmup, a fraction of 1 or more, or an unknown decay.
    """

    warmup: int | float = 0
    decay: str = "constant"

    def __post_init__(self) -> None:
        if isinstance(self.warmup, bool) or not isinstance(self.warmup, int | float):
            raise UserError("warmup must be a number of steps or a fraction of them")
        fraction = 0 <= self.warmup < 1
        if not (fraction or (1 <= self.warmup <= MAX_WARMUP and self.warmup == int(self.warmup))):
            raise UserError(f"warmup must be a fraction in [0, 1) or a whole number of steps up to {MAX_WARMUP:,}")
        DECAYS.get(self.decay)

    def __str__(self) -> str:
        """The parts that do something, such as ``warmup 0.05, decay cosine``."""
        length = f"{self.warmup:.6g}" if self.warmup < 1 else f"{self.warmup:.0f}"
        parts = [f"warmup {length}"] if self.warmup else []
        parts += [f"decay {self.decay}"] if self.decay != "constant" else []
        return ", ".join(parts) or "constant"

    @property
    def is_constant(self) -> bool:
        """Whether the factor is 1 at every step."""
        return self.warmup == 0 and self.decay == "constant"

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
        return warm * DECAYS.get(self.decay)(s / total)

    def to_json(self) -> dict[str, Any]:
        """The plain form that rule JSON holds."""
        return {"warmup": self.warmup, "decay": self.decay}

    @classmethod
    def from_json(cls, data: Any) -> Schedule:
        """Reads :meth:`to_json`'s form.

        Raises:
            UserError: Not such an object.
        """
        if not isinstance(data, dict) or not set(data) <= {"warmup", "decay"}:
            raise UserError("a schedule is an object with the keys warmup and decay")
        if not isinstance(data.get("decay", ""), str):
            raise UserError("a schedule's decay is a name, such as cosine")
        return cls(**data)

"""Ranges of numbers: where a search for hyperparameters may go, and on which scale it measures.

A range maps its numbers to [0, 1]; what is drawn, or moved by a step of one width, on that line is even on the
range's scale.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from symevo.errors import UserError
from symevo.registry import nearest
from symevo.rules.hyper import number, unknown
from symevo.rules.rule import Rule


class Scale(NamedTuple):
    """How a scale bends the line of numbers."""

    bend: Callable[[float], float]
    straighten: Callable[[float], float]
    holds: Callable[[float], bool]
    needs: str


SCALES: dict[str, Scale] = {
    "linear": Scale(float, float, lambda x: True, ""),
    "log": Scale(math.log, math.exp, lambda x: x > 0, "numbers above 0"),
    "complement": Scale(
        lambda x: -math.log1p(-x), lambda y: -math.expm1(-y), lambda x: x < 1, "numbers below 1, as decay rates are"
    ),
}
"""``complement`` is the logarithm of 1 − x: from 0.9 to 0.99 is as far as from 0.99 to 0.999, ten times the memory."""


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high``, both included.

    Attributes:
        low: Lowest number.
        high: Highest number.
        scale: Name in :data:`SCALES`.

    Raises:
        UserError: Not a range, or one that its scale cannot hold.
    """

    low: float
    high: float
    scale: str = "linear"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UserError(f"unknown scale {self.scale!r}: {nearest(self.scale, list(SCALES))}")
        if not self.low < self.high:
            raise UserError(f"{self.low:g}:{self.high:g} is no range: its low must be less than its high")
        if not math.isfinite(self.high - self.low):
            raise UserError(f"{self.low:g}:{self.high:g} is too wide a range: give ends that are closer")
        scale = SCALES[self.scale]
        if not (scale.holds(self.low) and scale.holds(self.high)):
            raise UserError(f"{self.low:g}:{self.high:g} does not fit scale {self.scale}: it needs {scale.needs}")

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}:{self.scale}"

    def at(self, place: float) -> float:
        """The number at ``place`` in [0, 1] of the scale."""
        scale = SCALES[self.scale]
        low, high = scale.bend(self.low), scale.bend(self.high)
        return self.clip(scale.straighten(low + place * (high - low)))

    def place(self, value: float) -> float:
        """Where a number of the range lies on the scale, in [0, 1]."""
        scale = SCALES[self.scale]
        low, high = scale.bend(self.low), scale.bend(self.high)
        return (scale.bend(value) - low) / (high - low)

    def clip(self, value: float) -> float:
        """``value``, or the end of the range that it passes."""
        return min(max(value, self.low), self.high)

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN is not."""
        return self.low <= value <= self.high


_KNOWN: tuple[tuple[str, Range], ...] = (
    ("lr", Range(1e-5, 1.0, "log")),
    ("momentum|beta1", Range(0.0, 0.99, "complement")),
    (r"beta[02-9]\d*|beta|rho", Range(0.5, 0.9999, "complement")),
    ("weight_decay", Range(1e-6, 0.1, "log")),
    ("eps", Range(1e-10, 1e-3, "log")),
)
"""Default ranges by name, the first that fits; ``eps`` stands last: it is tuned only where it is named."""

PAPER = {"lr": Range(1e-4, 1.0), "momentum": Range(0.0, 0.9), "weight_decay": Range(0.0, 0.1)}
"""The ranges of "Evolving Hyperparameters", uniform."""

_SPEC = re.compile(r"(?P<name>\w+)(?:=(?P<low>[^:]+):(?P<high>[^:]+)(?::(?P<scale>\w+))?)?")


def default_range(name: str, own: float) -> Range:
    """Where to look for a number of which only the name and one good value are known.

    Args:
        name: A hyperparameter.
        own: Its value in the rule. A range by name is widened to hold it, on a log scale a tenth and ten times of it
            too. Another name has a range around it: a factor of ten both ways, of 1 − own if it looks like a decay
            rate (from ½ to 1); [0, 1] around 0.
    """
    known = next((found for pattern, found in _KNOWN if re.fullmatch(pattern, name)), None)
    if known is None:
        return _around(own)
    if not SCALES[known.scale].holds(own):  # such as no weight decay
        return known
    lowest, highest = (own / 10, own * 10) if known.scale == "log" else (own, own)
    return Range(min(known.low, lowest), max(known.high, highest), known.scale)


def _around(own: float) -> Range:
    if 0.5 <= own < 1:
        return Range(max(0.0, 1 - 10 * (1 - own)), 1 - (1 - own) / 10, "complement")
    if own > 0:
        return Range(own / 10, own * 10, "log")
    return Range(2 * own, 0.0) if own < 0 else Range(0.0, 1.0)


def default_names(rule: Rule) -> list[str]:
    """The numbers that are worth tuning in any rule: learning rate, decay rates, weight decay, in this order."""
    patterns = [pattern for pattern, _ in _KNOWN if pattern != "eps"]
    return [name for pattern in patterns for name in sorted(rule.hyper) if re.fullmatch(pattern, name)]


def ranges(rule: Rule, tune: Iterable[str] | None = None, *, paper: bool = False) -> dict[str, Range]:
    """The ranges of the numbers to tune.

    Args:
        rule: The rule that has them.
        tune: For each ``NAME``, ``NAME=LOW:HIGH`` or ``NAME=LOW:HIGH:SCALE``. Without a scale it is that of the
            default range if that can hold the two ends, else linear. None: those of :func:`default_names`.
        paper: Published ranges where there are any, and every scale linear unless it is given.

    Raises:
        UserError: A text is none of these, names a number that the rule lacks or twice, or gives a range that cannot
            be or that holds values which the rule must not have.
    """
    found: dict[str, Range] = {}
    for spec in default_names(rule) if tune is None else tune:
        match = _SPEC.fullmatch(spec.strip())
        if match is None:
            raise UserError(f"{spec!r} is no range: write NAME, NAME=LOW:HIGH or NAME=LOW:HIGH:SCALE, as lr=1e-4:1:log")
        name = match["name"]
        if name not in rule.hyper:
            raise UserError(unknown(name, rule.hyper))
        if name in found:
            raise UserError(f"names {name} twice: name each number once")
        usual = default_range(name, rule.hyper[name])
        usual = PAPER.get(name, Range(usual.low, usual.high)) if paper else usual
        found[name] = usual if match["low"] is None else _stated(match, usual)
    if not found:
        raise UserError(f"names no number: give some of {', '.join(rule.hyper)}")
    return found


def _stated(match: Mapping[str, str] | re.Match[str], usual: Range) -> Range:
    """The range that a text states."""
    name, spec = match["name"], f"{match['low']}:{match['high']}"
    try:
        low, high = float(match["low"]), float(match["high"])
    except ValueError:
        raise UserError(f"{name}={spec} is no range: LOW and HIGH are numbers, as lr=1e-4:1:log") from None
    for end in (low, high):
        number(name, end)
    bends = SCALES[usual.scale].holds
    try:
        return Range(low, high, match["scale"] or (usual.scale if bends(low) and bends(high) else "linear"))
    except UserError as error:
        raise UserError(f"{name}: {error}") from None

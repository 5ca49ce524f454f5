"""The box as a DEAP individual: the numbers of a rule, each in a range of its own.

Source: "Evolving Hyperparameters: Genetic Algorithms for Dynamic Neural Network Optimization" (preset ``paper``). The
preset ``default`` differs in where it looks and how it moves, see :class:`Box`.
"""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from deap import creator, tools

from symevo.errors import UserError
from symevo.genomes.base import FITNESS, GENOMES, Genes, Genome, check_keys, check_number, check_whole
from symevo.genomes.weights import NetworkGenome, check_start
from symevo.registry import nearest
from symevo.rules.classic import CLASSICS
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
    """From ``low`` to ``high``, both included, on a scale of :data:`SCALES`.

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
    """Where to look for a number of which only the name and one good value, ``own``, are known.

    A range by name is widened to hold ``own``, on a log scale a tenth and ten times of it too. Another name has a range
    around it: a factor of ten both ways, of 1 − own if it looks like a decay rate (from ½ to 1); [0, 1] around 0.
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


creator.create("BoxIndividual", list, fitness=FITNESS)

RULE = "momentum"
"""The rule that is tuned where none is named: SGD with momentum, as published."""
RESET = 0.1
"""Share of the default's mutations that draw a number anew."""
WIDTH = 0.1
"""Standard deviation of the default's steps at the start of a run, as a share of the range; it shrinks to a fifth."""


@GENOMES.register("box")
class Box(Genome):
    """The numbers of one rule under a preset; an individual is a list of floats in the order of ``ranges``.

    ``paper``: numbers are drawn evenly from linear ranges, crossed by uniform crossover, and mutated by drawing anew,
    each with probability 0.2.

    ``default``: learning rates and the like are drawn and moved on a logarithmic scale (drawn evenly from [10⁻⁴, 1],
    nine of ten are above 0.1). A mutated number takes a Gaussian step that shrinks over the run, reflected at the ends
    of the range, and is now and then drawn anew; at least one number of a child is mutated.

    Args:
        preset: ``"default"`` or ``"paper"``.
        rule: The rule whose numbers are tuned; its other numbers, and its schedule, stay as they are.
        tune: Which numbers, see :func:`ranges`.
        mutation: Probability that a number is mutated; None: the preset's, 0.2 or 0.4.

    Raises:
        UserError: Unknown preset, or a range that cannot be.

    Example:
        >>> genome = Box("paper")
        >>> genome.to_json(genome.seeded()[0])
        {'lr': 0.001, 'momentum': 0.9, 'weight_decay': 0.0}
    """

    individual = creator.BoxIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time

    def __init__(
        self,
        preset: str = "default",
        *,
        rule: Rule | None = None,
        tune: Iterable[str] | None = None,
        mutation: float | None = None,
    ) -> None:
        super().__init__(preset)
        paper = preset == "paper"
        self.rule = rule or CLASSICS.get(RULE)
        self.ranges: Mapping[str, Range] = ranges(self.rule, tune, paper=paper)
        self.mutation = mutation if mutation is not None else 0.2 if paper else 0.4
        self.operators = {"mate_numbers": self.mate, "mutate_reset": self.mutate_reset, "mutate_step": self.mutate_step}

    def create(self) -> Any:
        """Each number drawn evenly on the scale of its range."""
        return self.individual(one.at(random.random()) for one in self.ranges.values())

    def seeded(self) -> list[Any]:
        """The rule's own numbers, moved into their ranges where they lie outside."""
        return [self.individual(one.clip(self.rule.hyper[name]) for name, one in self.ranges.items())]

    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Uniform crossover: each number changes places with p = ½."""
        return tools.cxUniform(a, b, 0.5)

    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        change = self.mutate_reset if self.preset == "paper" else self.mutate_step
        return change(individual, progress=progress)

    def mutate_reset(self, individual: Any, *, progress: float) -> tuple[Any]:
        """Each number is drawn anew with probability ``mutation``."""
        for index, one in enumerate(self.ranges.values()):
            if random.random() < self.mutation:
                individual[index] = one.at(random.random())
        return (individual,)

    def mutate_step(self, individual: Any, *, progress: float) -> tuple[Any]:
        """Each number, and at least one, takes a Gaussian step on its scale; one in ten of these is drawn anew."""
        picked = [index for index in range(len(individual)) if random.random() < self.mutation]
        found = list(self.ranges.values())
        for index in picked or [random.randrange(len(individual))]:
            one = found[index]
            if random.random() < RESET:
                place = random.random()
            else:
                place = _reflected(one.place(individual[index]) + random.gauss(0, WIDTH * (1 - 0.8 * progress)))
            individual[index] = one.at(place)
        return (individual,)

    def express(self, individual: Any) -> Rule:
        return self.rule.with_hyper(**self.numbers(individual))

    def numbers(self, individual: Any) -> dict[str, float]:
        return dict(zip(self.ranges, individual, strict=True))

    def from_rule(self, rule: Rule) -> Any | None:
        """The individual of a rule that differs from the tuned one in tuned numbers alone, all in their ranges."""
        if rule.program.lines != self.rule.program.lines or rule.schedule != self.rule.schedule:
            return None
        if any(rule.hyper[name] != own for name, own in self.rule.hyper.items() if name not in self.ranges):
            return None
        values = [rule.hyper[name] for name in self.ranges]
        inside = all(one.holds(value) for one, value in zip(self.ranges.values(), values, strict=True))
        return self.individual(values) if inside else None

    def to_json(self, individual: Any) -> dict[str, Any]:
        return self.numbers(individual)

    def from_json(self, data: Any) -> Any:
        check_keys(data, self.ranges, f"a box genome is an object with the keys {', '.join(self.ranges)}")
        individual = self.individual(data[name] for name in self.ranges)
        self.validate(individual)
        return self.individual(map(float, individual))

    def validate(self, individual: Any) -> None:
        if len(individual) != len(self.ranges):
            raise UserError(f"a box genome has {len(self.ranges)} numbers, not {len(individual)}")
        for (name, one), value in zip(self.ranges.items(), individual, strict=True):
            check_number(name, value, one.low, one.high)


def _reflected(place: float) -> float:
    """A place beyond an end of [0, 1], mirrored at it as often as it takes."""
    place = abs(place) % 2
    return 2 - place if place > 1 else place


class TunedNetwork(Genes, list):  # type: ignore[type-arg]  # DEAP's individuals are plain lists
    """Tuned numbers in the order of their ranges, and the network that they go on with.

    For ``start`` see :func:`symevo.training.continued.begin`; ``phase`` is the training interval that comes next.
    """

    order = None

    def __init__(self, numbers: Iterable[float] = (), start: Mapping[str, Any] | None = None, phase: int = 0) -> None:
        super().__init__(numbers)
        self.start, self.phase = dict(start or {"seed": 0}), phase

    def genes(self) -> tuple[list[float], dict[str, Any], int]:
        return list(self), self.start, self.phase


creator.create("TunedNetworkIndividual", TunedNetwork, fitness=FITNESS)


@GENOMES.register("box-networks")
class BoxNetworks(Box, NetworkGenome):
    """A :class:`symevo.genomes.box.Box` whose individuals carry networks, all begun as training seed 0."""

    individual = creator.TunedNetworkIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time

    def to_json(self, individual: Any) -> dict[str, Any]:
        return {"numbers": self.numbers(individual), "start": dict(individual.start), "phase": individual.phase}

    def from_json(self, data: Any) -> Any:
        keys = ("numbers", "start", "phase")
        check_keys(data, keys, "a tuned network is an object with the keys numbers, start and phase")
        if not isinstance(data["start"], dict):
            raise UserError("a tuned network's start is an object with the key seed or copy")
        found = super().from_json(data["numbers"])
        found.start, found.phase = copy.deepcopy(data["start"]), data["phase"]
        self.validate(found)
        return found

    def validate(self, individual: Any) -> None:
        super().validate(individual)
        check_start(individual.start)
        check_whole("phase", individual.phase)

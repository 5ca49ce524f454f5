"""The box as a DEAP individual: the numbers of a rule, each in a range of its own.

Source: "Evolving Hyperparameters: Genetic Algorithms for Dynamic Neural Network Optimization" (preset ``paper``). The
preset ``default`` differs in where it looks and how it moves, see :class:`Box`.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Mapping
from typing import Any

from deap import creator, tools

from symevo.errors import UserError
from symevo.genomes.base import FITNESS, GENOMES, Genes, Genome
from symevo.genomes.box.ranges import Range, ranges
from symevo.genomes.weights import check_start, name_of, whole_number
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule

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

    ``default``: learning rates and the like are drawn and moved on a logarithmic scale, on which a factor of ten is
    as far at 10⁻⁴ as at 10⁻¹ (drawn evenly from [10⁻⁴, 1], nine of ten learning rates are above 0.1). A mutated
    number takes a Gaussian step that shrinks over the run, reflected at the ends of the range, and is now and then
    drawn anew; at least one number of a child is mutated, so that none is its parent again.

    Args:
        preset: ``"default"`` or ``"paper"``.
        rule: The rule whose numbers are tuned; its other numbers, and its schedule, stay as they are.
        tune: Which numbers, see :func:`symevo.genomes.box.ranges.ranges`.
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
        self.operators = {
            "mate_numbers": self.mate_numbers,
            "mutate_reset": self.mutate_reset,
            "mutate_step": self.mutate_step,
        }
        self._mutate = self.mutate_reset if paper else self.mutate_step

    def create(self) -> Any:
        """Each number drawn evenly on the scale of its range."""
        return self.individual(one.at(random.random()) for one in self.ranges.values())

    def seeded(self) -> list[Any]:
        """The rule's own numbers, moved into their ranges where they lie outside."""
        return [self.individual(one.clip(self.rule.hyper[name]) for name, one in self.ranges.items())]

    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Uniform crossover."""
        return self.mate_numbers(a, b)

    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        """The preset's mutation."""
        return self._mutate(individual, progress=progress)

    def mate_numbers(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Uniform crossover: each number changes places with p = ½."""
        return tools.cxUniform(a, b, 0.5)

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
        """The rule with these numbers."""
        return self.rule.with_hyper(**self.numbers(individual))

    def numbers(self, individual: Any) -> dict[str, float]:
        """The numbers by name."""
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
        """The numbers by name."""
        return self.numbers(individual)

    def from_json(self, data: Any) -> Any:
        """Reads :meth:`to_json`'s form and checks it."""
        if not isinstance(data, dict) or set(data) != set(self.ranges):
            raise UserError(f"a box genome is an object with the keys {', '.join(self.ranges)}")
        individual = self.individual(data[name] for name in self.ranges)
        self.validate(individual)
        return self.individual(map(float, individual))

    def validate(self, individual: Any) -> None:
        """Checks that each number is one, and in its range."""
        if len(individual) != len(self.ranges):
            raise UserError(f"a box genome has {len(self.ranges)} numbers, not {len(individual)}")
        for (name, one), value in zip(self.ranges.items(), individual, strict=True):
            if isinstance(value, bool) or not isinstance(value, int | float) or not one.holds(value):
                raise UserError(f"gene {name} must be a number from {one.low:g} to {one.high:g}, not {value!r}")


def _reflected(place: float) -> float:
    """A place beyond an end of [0, 1], mirrored at it as often as it takes."""
    place = abs(place) % 2
    return 2 - place if place > 1 else place


class TunedNetwork(Genes, list):  # type: ignore[type-arg]  # DEAP's individuals are plain lists
    """Numbers in the order of their ranges, and the network that they go on with.

    Attributes:
        start: ``{"seed": n}`` or ``{"copy": name}``, see :func:`symevo.training.weight_crossover.begin`.
        phase: The interval of training that comes.
        order: None: all networks see the same batches.
    """

    order = None

    def __init__(self, numbers: Iterable[float] = (), start: Mapping[str, Any] | None = None, phase: int = 0) -> None:
        super().__init__(numbers)
        self.start, self.phase = dict(start or {"seed": 0}), phase

    def genes(self) -> tuple[list[float], dict[str, Any], int]:
        """Numbers, start and phase."""
        return list(self), self.start, self.phase


creator.create("TunedNetworkIndividual", TunedNetwork, fitness=FITNESS)


@GENOMES.register("box-networks")
class BoxNetworks(Box):
    """A :class:`symevo.genomes.box.genome.Box` whose individuals carry networks, all begun as training seed 0."""

    individual = creator.TunedNetworkIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time

    def name(self, individual: Any) -> str:
        """What its weights are kept under: equal for those that train alike within a run, and for no others."""
        return name_of(self.express(individual), self.to_json(individual))

    def further(self, individual: Any, phase: int) -> Any:
        """The network that goes on from a trained one, with the same numbers."""
        found = copy.deepcopy(individual)
        del found.fitness.values
        found.start, found.phase = {"copy": self.name(individual)}, phase
        return found

    def to_json(self, individual: Any) -> dict[str, Any]:
        """The numbers by name, the start and the phase."""
        return {"numbers": self.numbers(individual), "start": dict(individual.start), "phase": individual.phase}

    def from_json(self, data: Any) -> Any:
        """Reads :meth:`to_json`'s form and checks it."""
        if not isinstance(data, dict) or set(data) != {"numbers", "start", "phase"}:
            raise UserError("a tuned network is an object with the keys numbers, start and phase")
        if not isinstance(data["start"], dict):
            raise UserError("a tuned network's start is an object with the key seed or copy")
        found = super().from_json(data["numbers"])
        found.start, found.phase = copy.deepcopy(data["start"]), data["phase"]
        self.validate(found)
        return found

    def validate(self, individual: Any) -> None:
        """Checks numbers, start and phase."""
        super().validate(individual)
        check_start(individual.start)
        whole_number("phase", individual.phase)

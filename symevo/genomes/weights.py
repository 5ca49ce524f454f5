"""Networks in training as individuals: the genes are a recipe, and the weights stay where they are trained.

A recipe says which networks a new one descends from, with what probabilities and seed. A worker that holds the
parents' weights carries it out (:mod:`symevo.training.continued`). The operators are those of GADAM (Zhang & Gouza,
arXiv 1805.07500, equations 9 to 12).
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deap import creator

from symevo.errors import UserError
from symevo.genomes.base import FITNESS, GENOMES, Genes, Genome, check_keys, check_whole
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule

NOISES = ("uniform", "gaussian")
INHERIT = ("none", "fitter", "both")
_SEEDS = 2**31


@dataclass(frozen=True)
class WeightCrossover:
    """How children come from their parents; ``mutation`` is the base rate p.

    A mutated weight is drawn from U(0, scale) (``"uniform"``) or gets noise of ``scale`` standard deviations of its
    tensor (``"gaussian"``). A child's rule states are new, the fitter parent's, or come with each weight (``inherit``).
    """

    mutation: float = 0.01
    noise: str = "gaussian"
    scale: float = 0.1
    inherit: str = "both"


PRESETS = {"default": WeightCrossover(), "paper": WeightCrossover(noise="uniform", scale=1.0, inherit="none")}


def share(first: float, second: float) -> float:
    """Return the first parent's share of the weights: e^(−L̂ᵢ) / (e^(−L̂ᵢ) + e^(−L̂ⱼ)) (GADAM, equation 10).

    L̂ is a parent's normalised loss; infinite for a network that failed.
    """
    if first == second:
        return 0.5
    return 1.0 / (1.0 + math.exp(max(-700.0, min(700.0, first - second))))


def mutation_rate(base: float, first: float, second: float) -> float:
    """The mutation rate of a child: p·max(0, 1 − P(i) − P(j)) (GADAM, equation 12).

    P(i) and P(j) are the probabilities with which the parents are selected. The published rate turns negative where a
    likely parent is paired with itself; here it ends at 0.
    """
    return base * max(0.0, 1.0 - first - second)


class Recipe(Genes):
    """What a network starts from and goes through; see :func:`symevo.training.continued.begin` for ``start``.

    ``order`` seeds the order of the data. ``loss`` is L̂, normalised over the population; ``chance`` is P of selection.
    """

    loss: float = 0.5
    chance: float = 0.0

    def __init__(self, start: Mapping[str, Any], order: int, phase: int = 0) -> None:
        self.start, self.order, self.phase = dict(start), order, phase

    def genes(self) -> dict[str, Any]:
        return {"start": copy.deepcopy(self.start), "order": self.order, "phase": self.phase}


creator.create("WeightsIndividual", Recipe, fitness=FITNESS)


class NetworkGenome(Genome):
    """A kind whose individuals are networks in training, each with a ``start`` and a ``phase``."""

    def further(self, individual: Any, phase: int) -> Any:
        """The network that goes on from a trained one."""
        found = copy.deepcopy(individual)
        del found.fitness.values
        found.start, found.phase = {"copy": self.name(individual)}, phase
        return found


@GENOMES.register("weights")
class Weights(NetworkGenome):
    """Networks in training by one rule, Adam unless another is given; a ``crossover`` replaces the preset's."""

    individual = creator.WeightsIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time

    def __init__(
        self, preset: str = "default", *, rule: Rule | None = None, crossover: WeightCrossover | None = None
    ) -> None:
        super().__init__(preset)
        self.rule = rule or CLASSICS.get("adam")
        self.crossover = crossover or PRESETS[preset]
        self.operators = {"mate_weights": self.mate, "mutate_weights": self.mutate}

    def create(self) -> Any:
        """A new network."""
        return self.individual({"seed": random.randrange(_SEEDS)}, random.randrange(_SEEDS))

    def seeded(self) -> list[Any]:
        """The network that training seed 0 starts from."""
        return [self.individual({"seed": 0}, 0)]

    def further(self, individual: Any, phase: int) -> Any:
        """As of all networks, with a new order of the data."""
        found = super().further(individual, phase)
        found.order = random.randrange(_SEEDS)
        return found

    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Make each the child of both; the first has the first parent's weights with probability :func:`share`."""
        names, losses, chance = [self.name(a), self.name(b)], (a.loss, b.loss), a.chance + b.chance
        for one, first, second in ((a, 0, 1), (b, 1, 0)):
            parents = [names[first], names[second]]
            one.start = self._cross(parents, share(losses[first], losses[second]))
            one.order, one.chance = random.randrange(_SEEDS), chance
        return a, b

    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        """Set a child's mutation rate, :func:`mutation_rate`; any other becomes a mutated copy of itself."""
        if "cross" not in individual.start:
            individual.start = self._cross([self.name(individual)] * 2, 1.0)
        individual.start["rate"] = mutation_rate(self.crossover.mutation, individual.chance, 0.0)
        return (individual,)

    def express(self, individual: Any) -> Rule:
        return self.rule

    def from_rule(self, rule: Rule) -> Any | None:
        """A new network, where the rule is the one that trains them."""
        return self.seeded()[0] if rule.identity == self.rule.identity else None

    def from_json(self, data: Any) -> Any:
        keys = ("start", "order", "phase")
        check_keys(data, keys, "a recipe of weights is an object with the keys start, order and phase")
        if not isinstance(data["start"], dict):
            raise UserError("a recipe's start is an object with the key seed, copy or cross")
        individual = self.individual(copy.deepcopy(data["start"]), data["order"], data["phase"])
        self.validate(individual)
        return individual

    def validate(self, individual: Any) -> None:
        check_start(individual.start)
        for gene in ("order", "phase"):
            check_whole(gene, getattr(individual, gene))

    def _cross(self, parents: list[str], portion: float) -> dict[str, Any]:
        how = self.crossover
        return {
            "cross": parents, "share": portion, "rate": 0.0, "noise": how.noise, "scale": how.scale,
            "inherit": how.inherit, "draw": random.randrange(_SEEDS),
        }  # fmt: skip


def check_start(start: Any) -> None:
    """Raise UserError where a start is none that :func:`symevo.training.continued.begin` reads."""
    keys = set(start) if isinstance(start, dict) else set()
    if keys == {"seed"}:
        check_whole("seed", start["seed"])
    elif keys == {"copy"}:
        _name(start["copy"])
    elif keys == {"cross", "share", "rate", "noise", "scale", "inherit", "draw"}:
        parents = start["cross"]
        if not isinstance(parents, list) or len(parents) != 2:
            raise UserError("a recipe's cross is a list of two names")
        for parent in parents:
            _name(parent)
        check_whole("draw", start["draw"])
        for gene, most in (("share", 1.0), ("rate", 1.0), ("scale", 1e6)):
            value = start[gene]
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise UserError(f"a recipe's {gene} is {value!r}; it must be a number from 0 to {most:g}")
        for gene, known in (("noise", NOISES), ("inherit", INHERIT)):
            if start[gene] not in known:
                raise UserError(f"a recipe's {gene} is {start[gene]!r}; it must be {' or '.join(known)}")
    else:
        raise UserError("a recipe's start must be a seed, a copy of one network, or the cross of two")


def _name(value: Any) -> None:
    if not isinstance(value, str) or len(value) != 24 or set(value) - set("0123456789abcdef"):
        raise UserError(f"{value!r} is no name of stored weights: 24 hexadecimal digits")

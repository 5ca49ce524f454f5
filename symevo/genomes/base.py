"""The interface of a genome kind: how a search draws, crosses, mutates, prints and trains candidates.

A new kind is a DEAP individual made at module level, and a registered subclass of :class:`Genome`.
"""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from deap import base, creator

from symevo.errors import UserError
from symevo.registry import Registry, nearest
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule

Individual = TypeVar("Individual")

creator.create("SymevoFitness", base.Fitness, weights=(1.0,))
FITNESS: type[base.Fitness] = creator.SymevoFitness  # type: ignore[attr-defined]  # DEAP adds it at run time
"""The fitness class of every kind: one number, higher is better. Its name leaves FitnessMax to users."""


class Genes:
    """The content of an individual; individuals are equal where their genes are, whatever their fitness and class."""

    def genes(self) -> Any:
        """All genes, as a new piece of plain data."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if getattr(type(other), "genes", None) is not type(self).genes:
            return NotImplemented
        return self.genes() == other.genes()  # type: ignore[attr-defined]  # it has the method of this one

    def __ne__(self, other: object) -> bool:  # a list has one of its own
        return not self == other

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Decoded:
    """What an individual stands for; made once and shared with its clones.

    It holds for ``genes`` alone. Individuals of equal ``identity`` need one training; ``reason`` says why to skip it.
    """

    genes: Any
    rule: Rule
    trained: Any
    identity: str
    reason: str | None = None

    def __deepcopy__(self, memo: object) -> Decoded:
        return self  # nothing changes it


def carried(genome: Genome, individual: Any, decode: Callable[[Any], Decoded] | None = None) -> Decoded:
    """What an individual stands for, kept as its ``decoded``; made anew where its genes have changed."""
    found = getattr(individual, "decoded", None)
    if found is None or found.genes != genome.to_json(individual):
        found = individual.decoded = (decode or genome.decode)(individual)
    return found


class Genome(ABC):
    """A kind of genome under one preset.

    Randomness is drawn from the global ``random`` module, as DEAP's operators do; the origin of a search
    seeds it anew each generation. Operators work in place on individuals that the caller has cloned, and leave their
    fitness alone: the caller invalidates it.

    Attributes:
        presets: Names that the kind accepts; ``"paper"`` is the published system, ``"default"`` the
            recommended one.
        individual: The DEAP class of the individuals, created once at module level so that it can be pickled; they
            are lists of genes, or :class:`Genes`, so that a copy is equal to its original.
        preset: The one in use.
        operators: Every ``mate_*`` and ``mutate_*`` operator by name, each usable on its own:
            ``mate_*(a, b) -> (a, b)`` and ``mutate_*(individual, *, progress) -> (individual,)``.

    Args:
        preset: One of ``presets``.

    Raises:
        UserError: Unknown preset; the message gives the nearest one.
    """

    presets: ClassVar[tuple[str, ...]] = ("default", "paper")
    individual: ClassVar[type[Any]]
    operators: dict[str, Callable[..., tuple[Any, ...]]]

    def __init__(self, preset: str = "default") -> None:
        if preset not in self.presets:
            raise UserError(f"unknown preset {preset!r}: {nearest(str(preset), list(self.presets))}")
        self.preset = preset

    @abstractmethod
    def create(self) -> Any:
        """A random individual of the preset's initial distribution."""

    @abstractmethod
    def seeded(self) -> list[Any]:
        """New copies of the individuals that the preset puts in the first population."""

    @abstractmethod
    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Cross two clones in place. Each child alone has the preset's distribution."""

    @abstractmethod
    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        """Mutate a clone in place; ``progress`` is gen / generations in [0, 1], for annealing."""

    def name(self, individual: Any) -> str:
        """Equal for individuals that train alike within a run: what trained weights are kept under."""
        data = json.dumps([self.express(individual).to_json(), self.to_json(individual)], sort_keys=True)
        return hashlib.blake2b(data.encode(), digest_size=12).hexdigest()

    @abstractmethod
    def express(self, individual: Any) -> Rule:
        """The rule it stands for: readable, pruned and canonical; what is printed and shipped."""

    def candidate(self, individual: Any) -> Rule:
        """The form that is trained; equal for individuals that express equal rules."""
        return self.express(individual)

    def decode(self, individual: Any) -> Decoded:
        """All that it stands for; a kind whose :meth:`candidate` is not what it expresses has one of its own."""
        rule = self.express(individual)
        return Decoded(self.to_json(individual), rule, rule, self.identity(rule), self.reason(rule))

    def identity(self, candidate: Rule) -> str:
        """What counts as one candidate: equal for rules of which one training is enough."""
        return candidate.identity

    def reject(self, individual: Any) -> str | None:
        """Why an individual is not worth training, in a few words; None where it is."""
        return self.reason(self.express(individual))

    def reason(self, rule: Rule) -> str | None:
        """Why a rule is not worth training; see :meth:`reject`."""
        return None

    @abstractmethod
    def from_rule(self, rule: Rule) -> Any | None:
        """An individual that does what ``rule`` does, or None where this kind and preset cannot hold it."""

    def to_json(self, individual: Any) -> dict[str, Any]:
        """The genes as plain data that :meth:`from_json` reads back exactly; fitness is not part of it."""
        return individual.genes()

    @abstractmethod
    def from_json(self, data: Any) -> Any:
        """Read :meth:`to_json`'s form; raises UserError for another, or an individual out of bounds."""

    @abstractmethod
    def validate(self, individual: Any) -> None:
        """Raise UserError where a gene is out of bounds; it names the gene, its value and its bounds."""


GENOMES: Registry[type[Genome]] = Registry("genome")
"""Genome kinds by the name that users write."""


def cross_uniformly(a: Individual, b: Individual, names: Iterable[str]) -> tuple[Individual, Individual]:
    """Uniform crossover of named genes, in place: each changes places with p = ½ (Syswerda 1989)."""
    for name in names:
        if random.random() < 0.5:
            first, second = getattr(a, name), getattr(b, name)
            setattr(a, name, second)
            setattr(b, name, first)
    return a, b


def schedule_of(individual: Any) -> Schedule:
    """The schedule that the genes ``use_warmup``, ``warmup`` and ``cosine`` stand for."""
    return Schedule(individual.warmup if individual.use_warmup else 0, "cosine" if individual.cosine else "constant")


def schedule_genes(schedule: Schedule) -> dict[str, Any] | None:
    """The genes of a schedule, ``warmup`` only where it has one; None where such genes cannot hold it."""
    if schedule.decay not in ("constant", "cosine") or schedule.every:
        return None
    warmup = {"warmup": schedule.warmup} if schedule.warmup > 0 else {}
    return {"cosine": schedule.decay == "cosine", "use_warmup": schedule.warmup > 0, **warmup}


def flip(individual: Any, names: Iterable[str], p: float) -> None:
    """Each of these flags changes with probability ``p``."""
    for name in names:
        if random.random() < p:
            setattr(individual, name, not getattr(individual, name))


def check_keys(data: Any, keys: Iterable[str], message: str) -> None:
    """Raise UserError with ``message`` where data is not an object with exactly these keys."""
    if not isinstance(data, dict) or set(data) != set(keys):
        raise UserError(message)


def check_number(gene: str, value: Any, low: float, high: float) -> None:
    """Raise UserError where a gene is no number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UserError(f"gene {gene} must be a number from {low:g} to {high:g}, not {value!r}")


def check_flags(individual: Any, names: Iterable[str]) -> None:
    """Raise UserError where one of these genes is neither true nor false."""
    for name in names:
        if not isinstance(getattr(individual, name), bool):
            raise UserError(f"gene {name} must be true or false, not {getattr(individual, name)!r}")


def check_whole(gene: str, value: Any) -> None:
    """Raise UserError where a gene of a recipe is no whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise UserError(f"a recipe's {gene} is {value!r}; it must be a whole number of at least 0")

"""A system: a composition of shared parts under a name, and the loop by which it searches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any, ClassVar

from symevo.genomes.base import Decoded
from symevo.registry import Registry
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule
from symevo.search.cma_es import polish
from symevo.search.loops import LOOPS, Generation, Islands, admitted, born, evolve, random_individual
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings

Say = Callable[[str], object]


class SearchLoop:
    """How a system searches and trains; this one evolves rules by a loop of :data:`symevo.search.loops.LOOPS`.

    A system that evolves something else, or whose training changes by phase, has a subclass. ``finds`` is ``"rules"``,
    ``"networks"`` or ``"controllers"``.
    """

    finds: ClassVar[str] = "rules"
    search: Any

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def evaluations(self) -> int:
        """How many individuals are scored at most, over all generations."""
        of = self.settings
        return of.population + (of.generations - 1) * LOOPS.get(of.loop)().births(of.population, of.elites)

    @property
    def closing(self) -> int:
        """How many trainings at most follow the last generation."""
        return 0

    def rows(self, most: int) -> int:
        """Rows of a stack: an even share of a population, at most ``most``, which was measured for the task."""
        return ceil(self.settings.population / ceil(self.settings.population / most))

    def suits(self, workload: Any) -> None:
        """Raise UserError where a :class:`symevo.tasks.Workload` is none for the system."""

    def weights(self) -> str | None:
        """The folder of networks that go on, where there are any."""
        return None

    def memory(self) -> Any:
        """Where outcomes are looked up: the store, or what stands before it."""
        return self.search.store

    def decode(self, individual: Any) -> Decoded:
        """What an individual stands for, made from its genes."""
        return self.search.genome.decode(individual)

    def first_population(self) -> list[Any]:
        """The user's rules, the genome's own, and random individuals."""
        settings, genome, toolbox = self.settings, self.search.genome, self.search.toolbox
        random.seed(seed_for(settings.seed, "generation", 0))
        own = genome.seeded() if settings.classics else []
        people = [*seeded_individuals(genome, settings), *own][: settings.population]
        for one in people:
            toolbox.accept(born(one, "seed"))  # so that no random individual repeats it
        while len(people) < settings.population:
            people.append(admitted(toolbox, partial(random_individual, toolbox)) or random_individual(toolbox))
        return people

    def opened(self, population: list[Any]) -> None:
        """Called when a stored search goes on, before anything is trained."""

    def generations(self, population: list[Any], past: list[list[Any]]) -> Iterator[Generation]:
        """The search, and after it the polishing, which must know the ``past`` of each stored generation."""
        settings, toolbox = self.settings, self.search.toolbox
        first = settings.generations - polishing(settings)
        search = evolve(
            toolbox,
            population,
            loop=LOOPS.get(settings.loop)(),
            generations=first,
            seed=self.seed,
            elites=settings.elites,
            start=len(past),
            islands=Islands(settings.islands, settings.migrate_every),
        )
        if first == settings.generations:
            return search
        return polish(
            search, toolbox, population, past=past, first=first, generations=settings.generations, seed=self.seed
        )

    def seed(self, gen: int) -> int:
        """The seed of Python's ``random`` for a generation."""
        return seed_for(self.settings.seed, "generation", gen)

    def facts(self, generation: Generation) -> dict[str, Any]:
        """What a generation's record holds besides what all records do."""
        return {}

    def closed(self, population: list[Any]) -> None:
        """Called when a generation was stored, with the population that the next one starts from."""

    def enough(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether nothing more is to be expected after the generations of these records."""
        return False

    def conclude(self) -> None:
        """Do what is left when the last generation is closed."""


class CustomLoop(SearchLoop):
    """A system's own loop, for one population of individuals with a ``phase``."""

    individuals: int

    @property
    def evaluations(self) -> int:
        return self.settings.generations * self.individuals

    def trained(self, individual: Any) -> Any:
        """What a worker trains in an individual's phase; its ``identity`` is the individual's."""
        raise NotImplementedError

    def decode(self, individual: Any) -> Decoded:
        """Named as what is trained."""
        genome, trained = self.search.genome, self.trained(individual)
        return Decoded(genome.to_json(individual), genome.express(individual), trained, trained.identity)

    def first_population(self) -> list[Any]:
        """The genome's own individuals, and random ones."""
        settings, genome = self.settings, self.search.genome
        random.seed(seed_for(settings.seed, "population"))  # not that of generation 0, whose children come next
        own = genome.seeded() if settings.classics else []
        drawn = [genome.create() for _ in range(settings.population - len(own))]
        return [*(born(one, "seed") for one in own), *(born(one, "random") for one in drawn)]

    def generations(self, population: list[Any], past: list[list[Any]]) -> Iterator[Generation]:
        for gen in range(len(past), self.settings.generations):
            random.seed(self.seed(gen))
            generation = self.generation(population, gen)
            population = generation.population
            yield generation

    def generation(self, population: list[Any], gen: int) -> Generation:
        """Make a generation of the first population or of what the last one left; ``random`` is seeded."""
        raise NotImplementedError


@dataclass(frozen=True)
class System:
    """What ``symevo run NAME`` runs.

    Attributes:
        name: Name on the command line.
        description: One line for ``symevo systems``.
        genome: Makes the genome kind for a run's settings.
        loop: Makes the loop for a run's settings.
        report: The closing report of a run, as text; None where it is that of rules.
        finish: Called once when a run has ended: writes what it leaves in its folder beside the store.
        backends: The update backend for each type of device, as measured; taken where the user names none.
        equations: Whether the equations of a candidate's rule tell what it is; else progress leaves them out.
    """

    name: str
    description: str
    genome: Callable[[Settings], Any]
    loop: Callable[[Settings], SearchLoop] = SearchLoop
    report: Callable[[Any], str] | None = None
    finish: Callable[[Any, Say], None] | None = None
    backends: Mapping[str, str] = field(default_factory=lambda: {"cpu": "compiled", "cuda": "compiled"})
    equations: bool = True


SYSTEMS: Registry[System] = Registry("system")


def finds(settings: Settings) -> str:
    """What a run of these settings finds: ``"rules"``, ``"networks"`` or ``"controllers"``."""
    return SYSTEMS.get(settings.system).loop(settings).finds


def no_rule(settings: Settings, what: str) -> str | None:
    """Why ``what``, a run of these settings or one of its candidates, is no rule; None where it is one."""
    found = finds(settings)
    if found == "rules":
        return None
    if found == "controllers":
        return (
            f"{what} holds controllers and no rule: use symevo transfer RUN, or best.optimizer(model) of the run in "
            "Python"
        )
    numbers = "; its numbers over time are the run's timetable()" if settings.mode == "dynamic" else ""
    return (
        f"{what} is of {settings.system}, whose networks evolve, and no rule: give a run of term-sum, expression or "
        f"hyperparameters{numbers}"
    )


def polishing(settings: Settings) -> int:
    """How many of the last generations polish: as many as were asked for, but at most half of all."""
    return min(settings.polish, settings.generations // 2)


def seeded_individuals(genome: Any, settings: Settings) -> list[Any]:
    """The user's own rules as individuals; raises UserError where the genome cannot hold one."""
    found = []
    for data in settings.seed_rules:
        rule = Rule.from_json(dict(data), finite=True)
        individual = genome.from_rule(rule)
        if individual is None:
            fit = [name for name in CLASSICS if genome.from_rule(CLASSICS.get(name)) is not None]
            raise SettingError(
                "seed_rules",
                f": genome {settings.system} cannot hold rule {rule.name!r}; "
                f"it holds {', '.join(fit) or 'none of the classics'}, and what is built like them",
            )
        found.append(individual)
    return found

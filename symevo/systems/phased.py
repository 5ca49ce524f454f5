"""The driver of a system that has a loop of its own, in which what is trained changes from phase to phase."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from symevo.search.loops import Generation
from symevo.seeds import seed_for
from symevo.systems.base import Phases
from symevo.systems.driver import Driver


class PhasedDriver(Driver):
    """A :class:`symevo.systems.driver.Driver` whose system says how individuals are searched and trained."""

    @property
    def phases(self) -> Phases:
        """What the system adds."""
        found = self.system.phases(self.settings)
        assert found is not None
        return found

    def trainee(self, individual: Any) -> Any:
        """What a worker gets, in the individual's phase."""
        return self.phases.trainee(self.settings, self.genome, individual)

    def identify(self, trainee: Any) -> str:
        """Its name."""
        return trainee.identity

    def enough(self) -> bool:
        """Whether the system's own criterion is met."""
        return self.phases.enough(self.settings, self.store.records())

    def facts(self, generation: Generation) -> dict[str, Any]:
        """What the system notes of a generation."""
        return self.phases.facts(self.toolbox, generation)

    def population(self) -> list[Any]:
        """That of the last closed generation."""
        last = self.store.last_generation()
        return [self._individual(one, one["origin"]) for one in last[1]] if last else []

    def tools(self) -> None:
        """Registers what the system's loop needs in the toolbox."""

    def _generations(self, population: list[Any], past: list[list[Any]]) -> Iterator[Generation]:
        self.tools()
        return self.phases.search(
            self.toolbox,
            population,
            generations=self.settings.generations,
            seed=lambda gen: seed_for(self.settings.seed, "generation", gen),
            start=len(past),
        )

    def _first_population(self) -> list[Any]:
        random.seed(seed_for(self.settings.seed, "population"))  # not that of generation 0, whose children come next
        own = self.genome.seeded() if self.settings.classics else []
        drawn = [self.genome.create() for _ in range(self.settings.population - len(own))]
        for operator, group in (("seed", own), ("random", drawn)):
            for one in group:
                one.birth, one.bar = {"parents": [], "operator": operator}, None
        return [*own, *drawn]

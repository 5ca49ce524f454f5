"""Islands: parts of a population that breed on their own, with migration round a ring (Cohoon et al. 1987).

Which island an individual lives on is its place in the population: island k holds places k, k + n, k + 2n, … of n
islands. So a stored population tells its islands, and seeded individuals, which come first, are dealt out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SHARE = 0.1
"""Of an island, what migrates: at least one."""


@dataclass(frozen=True)
class Islands:
    """How a population is divided.

    Attributes:
        count: How many islands.
        migrate_every: Generations from one migration to the next.
    """

    count: int = 1
    migrate_every: int = 5

    def split(self, population: list[Any]) -> list[list[Any]]:
        """The islands of a population; their sizes differ by one at most."""
        return [population[island :: self.count] for island in range(self.count)]

    def merged(self, islands: list[list[Any]]) -> list[Any]:
        """The population whose islands these are."""
        population: list[Any] = [None] * sum(map(len, islands))
        for place, island in enumerate(islands):
            population[place :: self.count] = island
        return population

    def migrated(self, islands: list[list[Any]], gen: int) -> list[list[Any]]:
        """If it is time, each island's best replace the worst of the next one; they stay at home as well.

        All leave before any arrives, and who lives on the next island already does not move.
        """
        if self.count == 1 or gen == 0 or gen % self.migrate_every:
            return islands
        return [_joined(island, islands[place - 1]) for place, island in enumerate(islands)]


SINGLE = Islands()
"""No division."""


def _joined(island: list[Any], neighbour: list[Any]) -> list[Any]:
    after, there = list(island), [one.origin for one in island]
    count = max(1, round(SHARE * len(island)))
    leaving = sorted(neighbour, key=_fitness, reverse=True)[:count]
    worst = sorted(range(len(island)), key=lambda at: _fitness(island[at]))
    for at, one in zip(worst, (one for one in leaving if one.origin not in there), strict=False):
        after[at] = one
    return after


def _fitness(individual: Any) -> float:
    return individual.fitness.values[0]

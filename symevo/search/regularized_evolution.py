"""Regularized evolution, also called aging (Real et al. 2019, arXiv 1802.01548): the oldest die, however good."""

from __future__ import annotations

from typing import Any

from symevo.search.loops import LOOPS, Loop, make_offspring


@LOOPS.register("aging")
class RegularizedEvolution(Loop):
    """A population in the order of birth; children of tournament winners join it, and as many of the oldest leave.

    ::

        evaluate(population)
        for gen in 1, 2, …:
            children = [mutate(select) or mate(select, select)[0] …], each new and worth training
            evaluate(children)
            population = the youngest of population + children

    The paper makes one child at a time. Here a generation makes as many as the population holds, which train in
    lockstep. The front is taken from all that was ever evaluated.
    """

    def propose(self, toolbox: Any, population: list[Any], *, elites: int, progress: float) -> list[Any]:
        """Children of tournament winners; elites are not used."""
        return make_offspring(toolbox, lambda: toolbox.select(population, 1)[0], len(population), progress=progress)

    def survive(self, toolbox: Any, population: list[Any], offspring: list[Any]) -> list[Any]:
        """The youngest, oldest first."""
        return [*population, *offspring][-(len(population) or len(offspring)) :]

"""A user's page of a system: the numbers of a rule, by a loop of its own that draws every generation anew."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from symevo.genomes.box import Box
from symevo.search.loops import Generation, evaluate
from symevo.search.system import SYSTEMS, CustomLoop, System
from symevo.settings.model import MODELS, Flag, Settings


class Drawn(CustomLoop):
    """Random search, generation by generation."""

    finds = "rules"

    @property
    def individuals(self):
        return self.settings.population

    def decode(self, individual):
        return self.search.genome.decode(individual)

    def generations(self, population, past):
        toolbox = self.search.toolbox
        for gen in range(len(past), self.settings.generations):
            random.seed(self.seed(gen))
            population = population if gen == 0 else toolbox.population(n=self.individuals)
            for one in population:
                one.birth, one.bar = {"parents": [], "operator": "random"}, None
            evaluate(toolbox, population, gen)
            yield Generation(gen, population, population)


class DrawnSettings(Settings):
    """Those of all systems, and one of its own."""

    kept: Annotated[int, Flag("Numbers that the report tells.", "N")] = Field(1, ge=1)


def report(run):
    ranked = sorted(run.candidates, key=lambda one: -one.fitness)
    rates = [f"{one.rule.lr:.4g}" for one in ranked[: run.settings.kept]]
    return f"drawn: {', '.join(rates)}"


def finish(run, say):
    (run.path / "drawn.txt").write_text(f"{len(run.trials)}\n")


if "drawn" not in SYSTEMS:
    MODELS.register("drawn", DrawnSettings)
    SYSTEMS.register(
        "drawn", System("drawn", "random numbers", lambda settings: Box(), loop=Drawn, report=report, finish=finish)
    )

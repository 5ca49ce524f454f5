"""A user's page of a system: the numbers of a rule, by a loop of its own that draws every generation anew."""

from __future__ import annotations

import random

from symevo.genomes.box import Box
from symevo.search.loops import Generation, evaluate
from symevo.search.system import SYSTEMS, CustomLoop, System


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


def report(run):
    return f"drawn: {run.best.rule.lr:.4g}"


def finish(run, say):
    (run.path / "drawn.txt").write_text(f"{len(run.trials)}\n")


if "drawn" not in SYSTEMS:
    SYSTEMS.register(
        "drawn", System("drawn", "random numbers", lambda settings: Box(), loop=Drawn, report=report, finish=finish)
    )

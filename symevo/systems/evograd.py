"""``evograd``: small networks, evolved and never trained, that watch each layer's signals and shape its update.

The genome is 3,375 numbers (:mod:`symevo.genomes.controllers`); they act in :mod:`symevo.evograd`. Each generation
draws one network and one learning rate on which all individuals, and plain Adam, are scored: a fitness is worth
something within its generation only.

::

    for gen in 0, 1, …:
        draw a task; score every individual, and plain Adam, on it
        population = elites + [mutate(mate(two parents drawn with weight N − rank)) …]

 Fitness ``accuracy`` is that on held-out images; ``peak``, the paper's, the highest of a
training batch. When the run has ended, the last population is ranked on four networks drawn anew, and the best is
scored beside plain Adam on four others: those that picked it would flatter it.
"""

from __future__ import annotations

import random
from statistics import fmean
from typing import Any, ClassVar

from deap import tools

from symevo.errors import RunFailed, UserError
from symevo.files import replace_file
from symevo.genomes.controllers import NOISES, ControllersGenome
from symevo.reporting.text.runs import controllers_report
from symevo.runs.candidate import controllers_file
from symevo.runs.run import NETWORK, Run
from symevo.search.loops import CONTROL, Generation, born, child_of, elites_of, evaluate
from symevo.search.system import SYSTEMS, CustomLoop, Say, System
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings

FRESH = 4
"""Networks drawn anew that rank the last population, and as many others that score the best of it."""
BEST, ADAM = "the best controllers", "plain Adam"
"""What networks drawn anew are trained by when a run has ended."""


def genome(settings: Settings) -> ControllersGenome:
    """The genome of a run; raises UserError for a setting that controllers cannot have."""
    if len(settings.tasks) > 1:
        raise SettingError("tasks", f"names {len(settings.tasks)}: controllers are evolved on one task")
    for name in ("seeds", "islands"):
        if getattr(settings, name) > 1:
            raise SettingError(name, "means nothing to evograd; leave it out")
    if settings.fitness not in ("accuracy", "peak"):
        raise SettingError("fitness", f"{settings.fitness} is none of evograd's: use accuracy or peak")
    noise = settings.noise or "gaussian"
    if noise not in NOISES:
        raise SettingError("noise", f"{noise} is none of evograd's: use {' or '.join(NOISES)}")
    return ControllersGenome("paper" if settings.preset == "paper" else "default", noise=noise)


class ControllerLoop(CustomLoop):
    """A search among controllers, which ranks its last population on networks drawn anew."""

    finds: ClassVar[str] = "controllers"

    @property
    def individuals(self) -> int:
        """The population and plain Adam."""
        return self.settings.population + 1

    @property
    def closing(self) -> int:
        """Those of the ranking and of the score of the best."""
        return FRESH * (self.settings.population + 2)

    def rows(self, most: int) -> int:
        """Half a generation: controllers train in stacks of their own."""
        return -(-self.individuals // 2)

    def suits(self, workload: Any) -> None:
        from symevo.training import controllers

        controllers.suits(workload)

    def trained(self, individual: Any) -> Any:
        """The individual on the network of its phase."""
        from symevo.training.controllers import Controlled

        settings, genome = self.settings, self.search.genome
        draw = seed_for(settings.seed, "evograd", individual.phase) % 2**31
        numbers = genome.to_json(individual)["numbers"]
        return Controlled(genome.name(individual), genome.express(individual), numbers, draw, settings.scale)

    def generation(self, population: list[Any], gen: int) -> Generation:
        control = self.search.genome.seeded()[0]
        return evograd(self.search.toolbox, population, gen, control=control, elites=self.settings.elites)

    def facts(self, generation: Generation) -> dict[str, Any]:
        """Adam's fitness on the same task."""
        return {"adam": generation.evaluated[-1].fitness.values[0]}

    def conclude(self) -> None:
        """Ranks the last population, writes the best, and scores it on networks that did not pick it."""
        from symevo.training.snapshots import digest

        search, end = self.search, self.settings.generations
        population, name = search.population(), search.genome.name
        search.progress.message(f"ranking the last population on {FRESH} networks drawn anew")
        scores = self._outcomes(population, range(end, end + FRESH))
        entries: dict[str, tuple[float, dict[str, Any], bytes, Any]] = {}
        for individual, rows in zip(population, scores, strict=True):
            identity = name(individual)
            if identity not in entries and all(row["status"] == "ok" for row in rows):
                file = controllers_file(individual.numbers, self.settings, individual.fitness.values[0])
                means = {key: fmean(row[key] for row in rows) for key in ("loss", "accuracy")}
                about = {"identity": identity, "origin": individual.origin, "digest": digest(file)}
                entries[identity] = means["accuracy"], {**about, "validation": means, "test": None}, file, individual
        if not entries:
            raise RunFailed("no controllers of the last generation trained every network to its end")
        ranked = sorted(entries.values(), key=lambda one: -one[0])
        _, _, file, best = ranked[0]
        replace_file(search.store.folder / NETWORK, file)
        search.progress.message(f"scoring the best, beside {ADAM}, on {FRESH} others")
        rivals = self._outcomes([best, search.genome.seeded()[0]], range(end + FRESH, end + 2 * FRESH))
        replays = {
            who: [row["accuracy"] if row["status"] == "ok" else None for row in rows]
            for who, rows in zip((BEST, ADAM), rivals, strict=True)
        }
        search.store.conclude([entry for _, entry, *_ in ranked], replays)

    def _outcomes(self, individuals: list[Any], phases: range) -> list[list[Any]]:
        """Outcomes of individuals on the networks of these phases."""
        found: list[list[Any]] = [[] for _ in individuals]
        for phase in phases:
            moved = [self.search.genome.individual(one.numbers, phase) for one in individuals]
            outcomes = self.search.evaluator.more([self.trained(one) for one in moved], [0])
            for rows, (outcome,) in zip(found, outcomes, strict=True):
                rows.append(outcome)
        return found


def evograd(toolbox: Any, population: list[Any], gen: int, *, control: Any, elites: int = 3) -> Generation:
    """Make a generation of new controllers, or of those that the last one left, beside ``control``, plain Adam.

    The best, as many as ``elites``, pass unchanged. The toolbox has ``mate``, ``mutate``, ``clone``, ``map`` and
    ``evaluate``.
    """
    if gen:
        population = _next(toolbox, population, elites)
    people = [*population, born(control, CONTROL)]
    for one in people:
        one.phase = gen
    evaluate(toolbox, people, gen)
    return Generation(gen, population, people)


def rank_weights(count: int) -> list[int]:
    """Weights of individuals as parents, best first: N − rank, the rank of the best being 0."""
    return list(range(count, 0, -1))


def _next(toolbox: Any, population: list[Any], elites: int) -> list[Any]:
    ranked = tools.selBest(population, len(population))
    kept = elites_of(toolbox, ranked, elites)
    for one in kept:
        del one.fitness.values  # it is scored on another task
    return kept + [_child(toolbox, ranked) for _ in range(len(ranked) - len(kept))]


def _child(toolbox: Any, ranked: list[Any]) -> Any:
    child = child_of(toolbox, *random.choices(ranked, rank_weights(len(ranked)), k=2), progress=0.0)
    child.bar = None
    return child


def finish(run: Run, say: Say) -> None:
    """Draw best and mean fitness by generation, beside Adam's."""
    from symevo.reporting.figures import by_generation

    series = {name: [record[name] for record in run.history] for name in ("best", "mean")}
    series["plain Adam"] = [record["adam"] for record in run.history]
    title = f"Controllers evolved on {run.settings.tasks[0]}"
    try:
        by_generation(run.path / "figures", "fitness", series, ylabel=f"fitness ({run.settings.fitness})", title=title)
    except (OSError, UserError) as error:  # the run itself is safe
        say(f"cannot draw figures in {run.path}: {getattr(error, 'strerror', None) or error}")


SYSTEMS.register(
    "evograd",
    System(
        name="evograd",
        description="small evolved networks that shape the update of each layer; the result is 3,375 numbers",
        genome=genome,
        loop=ControllerLoop,
        report=controllers_report,
        finish=finish,
        backends={"cpu": "eager", "cuda": "eager"},  # controllers have kernels of their own
        equations=False,
    ),
)

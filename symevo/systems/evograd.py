"""``evograd``: small networks, evolved and never trained, that watch each layer's signals and shape its update.

The genome is 3,375 numbers (:mod:`symevo.genomes.controllers`); they act in :mod:`symevo.evograd`. Each generation
draws one network and one learning rate on which all individuals, and plain Adam, are scored
(:mod:`symevo.search.evograd`). Fitness ``accuracy`` is that on held-out images; ``peak``, the paper's, the highest of a
training batch. When the run has ended, the last population is ranked on four networks drawn anew, and the best is
scored beside plain Adam on four others: those that picked it would flatter it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from symevo.genomes.controllers import NOISES, ControllersGenome
from symevo.reporting.text.runs import controllers_report
from symevo.runs.run import Run
from symevo.search import evograd as loop
from symevo.search.system import SYSTEMS, Phases, Say, System
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings

FRESH = 4
"""Networks drawn anew that rank the last population, and as many others that score the best of it."""


def genome(settings: Settings) -> ControllersGenome:
    """The genome of a run.

    Raises:
        UserError: A setting that controllers cannot have.
    """
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


def trainee(settings: Settings, genome: ControllersGenome, individual: Any) -> Any:
    """An individual on the network of its phase."""
    from symevo.training.controllers import Controlled

    draw = seed_for(settings.seed, "evograd", individual.phase) % 2**31
    numbers = genome.to_json(individual)["numbers"]
    return Controlled(genome.name(individual), genome.express(individual), numbers, draw, settings.scale)


def suits(workload: Any) -> None:
    """Raises UserError where a task is none for controllers."""
    from symevo.training import controllers as controlled

    controlled.suits(workload)


def phases(settings: Settings) -> Phases:
    """What the evolution of controllers adds."""
    return Phases(
        search=partial(loop.evograd, elites=settings.elites),
        trainee=trainee,
        individuals=lambda settings: settings.population + 1,
        facts=loop.facts,
        closing=lambda settings: FRESH * (settings.population + 2),
        suits=suits,
        networks=False,
    )


def finish(run: Run, say: Say) -> None:
    """Draws best and mean fitness by generation, beside Adam's."""
    from symevo.errors import UserError
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
        backends={"cpu": "eager", "cuda": "eager"},  # controllers have kernels of their own
        report=controllers_report,
        phases=phases,
        equations=False,
        finish=finish,
    ),
)

"""The dynamic mode of ``hyperparameters``: numbers evolve while networks train, and the result is a timetable of them.

A member trains one network for each training seed (``seeds``), all under its numbers. All members start from the same
weights and see the same batches, so that differences are due to numbers alone. The best of many is lucky with the
networks that picked it: so its timetable is replayed on new ones, beside the rule's own constant numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.genomes.box.networks import BoxNetworks
from symevo.reporting.text.runs import timetable_report
from symevo.rules.timetable import Timetable
from symevo.runs.history import mean
from symevo.runs.run import TIMETABLE, Run
from symevo.search.pbt import pbt
from symevo.search.system import Phases, Say
from symevo.settings.model import Settings
from symevo.systems.networks import WHOLE, line_of, member, one_task

TABLE, OWN = "the timetable", "the rule's own numbers"
"""What new networks are trained under when a run has ended."""


def phases(settings: Settings) -> Phases:
    """What population-based training adds."""
    one_task(settings)
    return Phases(
        search=pbt,
        trainee=lambda settings, genome, one: member(genome, one, stretch(settings, one.phase)),
        individuals=lambda settings: settings.population,
        facts=lambda toolbox, generation: {},
        rivals=rivals,
    )


def rivals(settings: Settings, genome: BoxNetworks, line: list[Any]) -> dict[str, list[Any]]:
    """The best line's numbers, and the rule's own, which do not change."""
    own = genome.seeded()
    own += [own[0] for _ in line[1:]]
    for phase in range(1, len(line)):
        own[phase] = genome.further(own[phase - 1], phase)
    return {TABLE: line, OWN: own}


def stretch(settings: Settings, phase: int) -> dict[str, Any]:
    """An interval: the same batches for every network, and a score on the validation split."""
    steps = settings.steps
    size = settings.score_batch or WHOLE
    return {
        "seed": 0,
        "first": phase * steps,
        "clock": phase * steps,
        "total": settings.generations * steps,
        "probes": ((settings.score_split, size, phase),),
    }


def timetable(run: Run, genome: BoxNetworks) -> Timetable:
    """The numbers that the best network was trained under."""
    line = line_of(run)
    numbers = {name: tuple(one["genome"]["numbers"][name] for one in line) for name in genome.ranges}
    first = genome.rule.with_hyper(**{name: values[0] for name, values in numbers.items()})
    return Timetable(first, tuple(run.settings.steps * at for at in range(len(line) + 1)), numbers)


def report(run: Run, genome: BoxNetworks) -> str:
    """The closing report."""
    return timetable_report(run, timetable(run, genome), _losses(run))


def finish(run: Run, genome: BoxNetworks, say: Say) -> None:
    """Writes the timetable, and draws it."""
    found = timetable(run, genome)
    try:
        found.save(run.path / TIMETABLE)
        draw(run.path / "figures", run, genome, found)
    except (OSError, UserError) as error:  # the run itself is safe
        say(f"cannot write all results to {run.path}: {getattr(error, 'strerror', None) or error}")


def draw(folder: Path, run: Run, genome: BoxNetworks, found: Timetable) -> None:
    """The numbers over time, and the losses of the population.

    Raises:
        UserError: A figure cannot be written.
    """
    from symevo.reporting.figures import by_generation, schedule_steps

    title = f"Numbers of {genome.rule.name} on {run.settings.tasks[0]}"
    scales = {name: one.scale for name, one in genome.ranges.items()}
    schedule_steps(folder, "schedule", found.boundaries, found.numbers, scales=scales, title=title)
    by_generation(
        folder, "loss", {"best network's line": _losses(run)}, ylabel="validation loss", title=title, logy=True
    )


def _losses(run: Run) -> list[float | None]:
    """The best member's loss at the end of each interval, as the search saw it: the mean over training seeds."""
    return [mean([outcome["loss"] for outcome in one["outcomes"]]) for one in line_of(run)]

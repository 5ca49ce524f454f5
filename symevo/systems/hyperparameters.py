"""``hyperparameters``: the numbers of a known rule, evolved.

The genome is a box: a range for each tuned number (setting ``tune``) of one rule (setting ``rule``); the fitness is
the validation loss after training. Preset ``paper`` is "Evolving Hyperparameters" as far as it says: learning rate,
momentum and weight decay of SGD drawn evenly, the best half as parents, uniform crossover, mutation by drawing anew.
It leaves open for how long a candidate trains: two epochs here. Preset ``default`` draws and steps on logarithmic
scales, starts from the rule's own numbers too, and selects by tournaments (see :class:`symevo.genomes.box.Box`).
All candidates share one program.

With setting ``mode`` dynamic the numbers evolve while networks train, and the result is a timetable of them. A member
trains one network for each training seed (``seeds``), all under its numbers. All members start from the same weights
and see the same batches, so that differences are due to numbers alone. The best of many is lucky with the networks that
picked it: so its timetable is replayed on new ones, beside the rule's own constant numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from symevo.errors import UserError
from symevo.genomes.box import RULE, Box, BoxNetworks
from symevo.reporting.text.runs import numbers_report, timetable_report
from symevo.rules.timetable import Timetable
from symevo.runs.run import TIMETABLE, Run, Trial, mean
from symevo.search.loops import Generation
from symevo.search.pbt import pbt
from symevo.search.system import SYSTEMS, Say, SearchLoop, System
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.systems.networks import WHOLE, NetworkLoop, one_task, trained_by

TABLE, OWN = "the timetable", "the rule's own numbers"
"""What new networks are trained under when a dynamic run has ended."""


def genome(settings: Settings) -> Box:
    """The genome of a run; raises UserError for a rule that is none, or numbers that it lacks or must not have."""
    if settings.mode == "dynamic":
        one_task(settings)
    rule = trained_by(settings, RULE)
    preset = "paper" if settings.preset == "paper" else "default"
    kind = BoxNetworks if settings.mode == "dynamic" else Box
    try:
        return kind(preset, rule=rule, tune=settings.tune, mutation=settings.mutation)
    except UserError as error:
        raise SettingError("tune", f": {error}") from None


def report(run: Run) -> str:
    """The closing report."""
    box = genome(run.settings)
    if isinstance(box, BoxNetworks):
        return timetable_report(run, timetable(run, box), _line_losses(run))
    identity = box.decode(box.seeded()[0]).identity
    own = next((one for one in run.trials if one.identity == identity), None)
    return numbers_report(run, rule=box.rule, ranges=box.ranges, trials=run.trials, own=own)


def finish(run: Run, say: Say) -> None:
    """Write the best rule, or the timetable, and the figures into the run's folder."""
    box, folder = genome(run.settings), run.path / "figures"
    try:
        if isinstance(box, BoxNetworks):
            found = timetable(run, box)
            found.save(run.path / TIMETABLE)
            _draw_timetable(folder, run, box, found)
        else:
            (run.path / "best.json").write_text(json.dumps(run.best.rule.to_json(), indent=1) + "\n")
            _draw(folder, box, run.trials)
    except (OSError, UserError) as error:  # the run itself is safe
        say(f"cannot write all results to {run.path}: {getattr(error, 'strerror', None) or error}")


def _draw(folder: Path, box: Box, found: list[Trial]) -> None:
    """Loss by generation, and every number against the loss."""
    from symevo.reporting.figures import by_generation, scatter_numbers

    title, losses = f"Numbers of {box.rule.name}", losses_by_generation(found)
    by_generation(folder, "loss", losses, ylabel="validation loss", title=title, logy=True)
    scatter_numbers(
        folder,
        "numbers",
        {name: [one.numbers[name] for one in found] for name in box.ranges},
        [one.loss for one in found],
        scales={name: one.scale for name, one in box.ranges.items()},
        generations=[one.gen for one in found],
        title=title,
    )


def losses_by_generation(found: list[Trial]) -> dict[str, list[float | None]]:
    """The best loss so far, and the median of those first tried in each generation."""
    best: list[float | None] = []
    middle: list[float | None] = []
    for gen in range(max(one.gen for one in found) + 1):
        new = [one.loss for one in found if one.gen == gen and one.loss is not None]
        so_far = [loss for loss in (*best[-1:], *new) if loss is not None]
        best.append(min(so_far, default=None))
        middle.append(median(new) if new else None)
    return {"best so far": best, "median of the new": middle}


class DynamicLoop(NetworkLoop):
    """Population-based training."""

    @property
    def individuals(self) -> int:
        return self.settings.population

    def stretch(self, phase: int) -> dict[str, Any]:
        """An interval: the same batches for every network, and a score on the validation split."""
        steps, score = self.settings.steps, (self.settings.score_split, self.settings.score_batch or WHOLE, phase)
        total = self.settings.generations * steps
        return {"seed": 0, "first": phase * steps, "clock": phase * steps, "total": total, "probes": (score,)}

    def generation(self, population: list[Any], gen: int) -> Generation:
        return pbt(self.register(), population, gen, progress=gen / self.settings.generations)

    def rivals(self, line: list[Any]) -> dict[str, list[Any]]:
        """The best line's numbers, and the rule's own, which do not change."""
        genome = self.search.genome
        own = genome.seeded()
        own += [own[0] for _ in line[1:]]
        for phase in range(1, len(line)):
            own[phase] = genome.further(own[phase - 1], phase)
        return {TABLE: line, OWN: own}


def timetable(run: Run, genome: BoxNetworks) -> Timetable:
    """The numbers that the best network was trained under."""
    line = run.lineage()
    numbers = {name: tuple(one["genome"]["numbers"][name] for one in line) for name in genome.ranges}
    first = genome.rule.with_hyper(**{name: values[0] for name, values in numbers.items()})
    return Timetable(first, tuple(run.settings.steps * at for at in range(len(line) + 1)), numbers)


def _draw_timetable(folder: Path, run: Run, genome: BoxNetworks, found: Timetable) -> None:
    """The numbers over time, and the losses of the population."""
    from symevo.reporting.figures import by_generation, schedule_steps

    title = f"Numbers of {genome.rule.name} on {run.settings.tasks[0]}"
    losses = {"best network's line": _line_losses(run)}
    scales = {name: one.scale for name, one in genome.ranges.items()}
    schedule_steps(folder, "schedule", found.boundaries, found.numbers, scales=scales, title=title)
    by_generation(folder, "loss", losses, ylabel="validation loss", title=title, logy=True)


def _line_losses(run: Run) -> list[float | None]:
    """The best member's loss at the end of each interval, as the search saw it: the mean over training seeds."""
    return [mean([outcome["loss"] for outcome in one["outcomes"]]) for one in run.lineage()]


SYSTEMS.register(
    "hyperparameters",
    System(
        name="hyperparameters",
        description="the numbers of a known rule: learning rate, decay rates, weight decay",
        genome=genome,
        # As fast as compiled kernels here, and nothing to compile; on a GPU there is no interpreter.
        backends={"cpu": "interpreter", "cuda": "compiled"},
        report=report,
        loop=lambda settings: (DynamicLoop if settings.mode == "dynamic" else SearchLoop)(settings),
        finish=finish,
    ),
)

"""``hyperparameters``: the numbers of a known rule, evolved.

The genome is a box: a range for each tuned number (setting ``tune``) of one rule (setting ``rule``); the fitness is
the validation loss after training. Preset ``paper`` is "Evolving Hyperparameters" as far as it says: learning rate,
momentum and weight decay of SGD drawn evenly, the best half as parents, uniform crossover, mutation by drawing anew.
It leaves open for how long a candidate trains: two epochs here. Preset ``default`` draws and steps on logarithmic
scales, starts from the rule's own numbers too, and selects by tournaments (see :class:`symevo.genomes.box.genome.Box`).
All candidates share one program.

With setting ``mode`` dynamic the numbers change while a network trains (:mod:`symevo.systems.dynamic`).
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from symevo.errors import UserError
from symevo.genomes.box.genome import RULE, Box
from symevo.genomes.box.networks import BoxNetworks
from symevo.reporting.text.runs import numbers_report
from symevo.runs.history import Trial, trials
from symevo.runs.run import Run
from symevo.search.system import SYSTEMS, Say, System
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.systems import dynamic
from symevo.systems.networks import trained_by


def genome(settings: Settings) -> Box:
    """The genome of a run.

    Raises:
        UserError: A rule that is none, or numbers that it lacks or must not have.
    """
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
        return dynamic.report(run, box)
    found = trials(run.path, run.settings)
    return numbers_report(run, rule=box.rule, ranges=box.ranges, trials=found, own=_own(box, found))


def finish(run: Run, say: Say) -> None:
    """Writes the best rule and the figures into the run's folder."""
    box = genome(run.settings)
    if isinstance(box, BoxNetworks):
        return dynamic.finish(run, box, say)
    best = run.path / "best.json"
    try:
        best.write_text(json.dumps(run.best.rule.to_json(), indent=1) + "\n")
        draw(run.path / "figures", box, trials(run.path, run.settings))
    except (OSError, UserError) as error:  # the run itself is safe
        say(f"cannot write all results to {run.path}: {getattr(error, 'strerror', None) or error}")


def draw(folder: Path, box: Box, found: list[Trial]) -> None:
    """Loss by generation, and every number against the loss.

    Raises:
        UserError: A figure cannot be written.
    """
    from symevo.reporting.figures import by_generation, scatter_numbers

    title = f"Numbers of {box.rule.name}"
    by_generation(folder, "loss", losses_by_generation(found), ylabel="validation loss", title=title, logy=True)
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


def _own(box: Box, found: list[Trial]) -> Trial | None:
    """The trial of the rule's own numbers."""
    identity = box.identity(box.candidate(box.seeded()[0]))
    return next((one for one in found if one.identity == identity), None)


SYSTEMS.register(
    "hyperparameters",
    System(
        name="hyperparameters",
        description="the numbers of a known rule: learning rate, decay rates, weight decay",
        genome=genome,
        # As fast as compiled kernels here, and nothing to compile; on a GPU there is no interpreter.
        backends={"cpu": "interpreter", "cuda": "compiled"},
        report=report,
        phases=lambda settings: dynamic.phases(settings) if settings.mode == "dynamic" else None,
        finish=finish,
    ),
)

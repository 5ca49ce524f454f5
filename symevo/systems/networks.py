"""What systems of networks share: settings that they cannot have, lines of descent, and the figures of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule
from symevo.rules.schedule import schedule
from symevo.runs import Store
from symevo.runs.history import lineage
from symevo.runs.run import Run
from symevo.search.system import Say
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings

WHOLE = 2**31 - 1
"""More samples than a split has."""


def finish(run: Run, say: Say) -> None:
    """Draws losses by step and by generation, and the share of children that survive."""
    try:
        draw(run.path / "figures", run)
    except (OSError, UserError) as error:  # the run itself is safe
        say(f"cannot draw all figures in {run.path}: {getattr(error, 'strerror', None) or error}")


def draw(folder: Path, run: Run) -> None:
    """The figures of the paper: loss by step, score by generation, adoption rate.

    Raises:
        UserError: A figure cannot be written.
    """
    from symevo.reporting.figures import by_generation, by_step, shares

    title = f"{run.settings.system} on {run.settings.tasks[0]}"
    losses = {
        f"{kind}, {how}": [record[key][at] for record in run.history]
        for kind, key in (("parents", "elders"), ("children", "children"))
        for at, how in enumerate(("best", "mean"))
    }
    by_generation(folder, "scores", losses, ylabel="loss", title=title, logy=True)
    shares(
        folder, "adopted", {"adopted": [record["adopted"] for record in run.history]},
        ylabel="children among the survivors", title=title,
    )  # fmt: skip
    line = descent(run)
    by_step(folder, "loss", {"best network's line": line}, ylabel="training loss", title=title)


def descent(run: Run) -> tuple[list[int], list[float]]:
    """Training losses along the best network's line.

    Returns:
        Steps, and the mean loss of the stretch that ends there.
    """
    steps: list[int] = []
    losses: list[float] = []
    for one in line_of(run):
        curve = one["outcomes"][0]["curve"]
        start, length = one["genome"]["phase"] * run.settings.steps, run.settings.steps / len(curve)
        steps += [round(start + (at + 1) * length) for at in range(len(curve))]
        losses += curve
    return steps, losses


def line_of(run: Run) -> list[dict[str, Any]]:
    """The best network's line, see :func:`symevo.runs.history.lineage`."""
    store = Store.open(run.path)
    try:
        return lineage(store, run.settings, run.best.identity)
    finally:
        store.close()


def member(genome: Any, individual: Any, stretch: dict[str, Any]) -> Any:
    """The network to be, for a worker.

    Args:
        genome: Names it, and knows what trains it.
        individual: The recipe.
        stretch: The fields of :class:`symevo.training.continued.Stretch`.
    """
    from symevo.training.continued import Member, Stretch

    name, rule = genome.name(individual), genome.express(individual)
    return Member(name, rule, individual.start, individual.order, Stretch(**stretch))


def one_task(settings: Settings) -> None:
    """Refuses settings that mean nothing where the individuals are networks in training.

    Raises:
        UserError: More than one task or island, or another fitness than the loss.
    """
    if len(settings.tasks) > 1:
        raise SettingError("tasks", f"names {len(settings.tasks)}: networks that go on are trained on one task")
    if settings.islands > 1:
        raise SettingError("islands", "means nothing where networks go on: their population is one; leave it out")
    if settings.fitness != "loss":
        why = f"{settings.fitness} means nothing where networks go on: they compete by their loss"
        raise SettingError("fitness", why)


def trained_by(settings: Settings, default: str) -> Rule:
    """The rule that a system trains with: setting ``rule``, under setting ``schedule``.

    Args:
        settings: Of the run.
        default: A classic, where no rule was named.

    Raises:
        UserError: It is none.
    """
    try:
        rule = CLASSICS.get(default) if settings.rule is None else Rule.from_json(settings.rule, finite=True)
    except UserError as error:
        raise SettingError("rule", f": {error}") from None
    return rule if settings.schedule is None else replace(rule, schedule=schedule(settings.schedule))

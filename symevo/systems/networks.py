"""What systems of networks share: settings that they cannot have, lines of descent, and the figures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.explain import SettingError
from symevo.settings import Settings
from symevo.store import Store
from symevo.systems.base import Say
from symevo.systems.result import Run

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
    from symevo.report.figures import by_generation, by_step, shares

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
    for one in lineage(run):
        curve = one["outcomes"][0]["curve"]
        start, length = one["genome"]["phase"] * run.settings.steps, run.settings.steps / len(curve)
        steps += [round(start + (at + 1) * length) for at in range(len(curve))]
        losses += curve
    return steps, losses


def lineage(run: Run) -> list[dict[str, Any]]:
    """The best network's line, oldest first: what it goes on from, and of two parents the one with the larger share.

    Returns:
        ``genome`` of each, and its ``outcomes`` by training seed.
    """
    store = Store.open(run.path)
    try:
        genomes = {one["identity"]: one["genome"] for one in store.evaluations()}
        found: list[dict[str, Any]] = []
        name: str | None = run.best.identity
        while name is not None:
            outcomes = [store.training(name, run.settings.tasks[0], seed) for seed in range(run.settings.seeds)]
            found.append({"genome": genomes[name], "outcomes": outcomes})
            name = _before(genomes[name]["start"])
    finally:
        store.close()
    return found[::-1]


def _before(start: dict[str, Any]) -> str | None:
    if "cross" in start:
        return start["cross"][0 if start["share"] >= 0.5 else 1]
    return start.get("copy")


def one_task(settings: Settings) -> None:
    """Refuses settings that mean nothing where the individuals are networks in training.

    Raises:
        UserError: More than one task or island.
    """
    if len(settings.tasks) > 1:
        raise SettingError("tasks", f"names {len(settings.tasks)}: networks that go on are trained on one task")
    if settings.islands > 1:
        raise SettingError("islands", "means nothing where networks go on: their population is one; leave it out")

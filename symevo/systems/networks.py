"""What a finished run of networks leaves in its folder besides their weights: figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.store import Store
from symevo.systems.base import Say
from symevo.systems.result import Run


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
    """Training losses along the best network's line: itself, what it goes on from, and of two parents the larger share.

    Returns:
        Steps, and the mean loss of the stretch that ends there.
    """
    store = Store.open(run.path)
    try:
        genomes = {one["identity"]: one["genome"] for one in store.evaluations()}
        steps: list[int] = []
        losses: list[float] = []
        name: str | None = run.best.identity
        while name is not None:
            genome = genomes[name]
            curve = (store.training(name, run.settings.tasks[0], 0) or {})["curve"]
            end, length = (genome["phase"] + 1) * run.settings.steps, run.settings.steps / len(curve)
            for at, loss in reversed(list(enumerate(curve))):
                steps.append(round(end - (len(curve) - 1 - at) * length))
                losses.append(loss)
            name = _before(genome["start"])
    finally:
        store.close()
    return steps[::-1], losses[::-1]


def _before(start: dict[str, Any]) -> str | None:
    if "cross" in start:
        return start["cross"][0 if start["share"] >= 0.5 else 1]
    return start.get("copy")

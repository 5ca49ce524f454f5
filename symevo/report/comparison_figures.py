"""The figures of a comparison: profile, budgets, learning rates, learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symevo.report.figures.curves import curves
from symevo.report.figures.lines import by_step

_BELOW = 0.9
"""Scores are drawn down to this share of the best."""


def draw(data: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draws all figures.

    Args:
        data: What :func:`symevo.compare.session.compare` returns.
        folder: Is made where there is none.

    Returns:
        The files.

    Raises:
        UserError: They cannot be written.
    """
    profiles = {name: (one["ratio"], one["share"]) for name, one in data["profile"].items()}
    found = curves(
        folder, "profile", profiles, staircase=True,
        xlabel="steps to target, as a multiple of the fastest", ylabel="share of (task, replicate) pairs",
        title="Performance profile",
    )  # fmt: skip
    for task, entry in data["tasks"].items():
        shown = {
            name: one for name, one in entry["contestants"].items() if data["contestants"][name]["role"] != "ablation"
        }
        found += _budget(task, shown, folder) + _rates(task, shown, folder) + _losses(task, shown, folder, data)
    return found


def _budget(task: str, shown: Mapping[str, Any], folder: Path) -> list[Path]:
    series = {
        name: ([int(budget) for budget in one["budget_curve"]], list(one["budget_curve"].values()))
        for name, one in shown.items()
    }
    return curves(
        folder, f"budget-{task}", series, xlabel="trials of a tuning",
        ylabel="expected best validation score", title=f"Tuning budget on {task}", lowest=_lowest(series),
    )  # fmt: skip


def _rates(task: str, shown: Mapping[str, Any], folder: Path) -> list[Path]:
    series = {
        name: ([lr for lr, _ in one["lr_curve"]], [score for _, score in one["lr_curve"]])
        for name, one in shown.items()
    }
    return curves(
        folder, f"lr-{task}", series, xlabel="learning rate", ylabel="best validation score near it",
        title=f"Sensitivity to the learning rate on {task}", lowest=_lowest(series),
    )  # fmt: skip


def _losses(task: str, shown: Mapping[str, Any], folder: Path, data: Mapping[str, Any]) -> list[Path]:
    series = {name: (one["curve"]["step"], one["curve"]["loss"]) for name, one in shown.items()}
    return by_step(
        folder, f"loss-{task}", series, ylabel="training loss, median over replicates", title=f"Tuned on {task}",
        highlight=data["candidates"][0],
    )  # fmt: skip


def _lowest(series: Mapping[str, Any]) -> float | None:
    scores = [score for _, values in series.values() for score in values if score is not None]
    return _BELOW * max(scores) if scores and max(scores) > 0 else None

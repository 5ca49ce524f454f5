"""The figures of a comparison: profile, budgets, learning rates, learning curves; the page has them too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from symevo.reporting.compared import Comparison, Entry
from symevo.reporting.figures import by_step, curves, profile
from symevo.statistics import expected_best_interval

_BELOW = 0.9
"""Scores are drawn down to this share of the best."""


def draw(found: Comparison, folder: Path) -> list[Path]:
    """Draws all figures.

    Args:
        found: The comparison.
        folder: Is made where there is none.

    Returns:
        The files.

    Raises:
        UserError: They cannot be written.
    """
    files = profiles(folder, "profile", found, title="Performance profile")
    for task in found.tasks:
        files += budgets(folder, f"budget-{task}", found, task, title=f"Tuning budget on {task}")
        files += rates(folder, f"lr-{task}", found, task, title=f"Sensitivity to the learning rate on {task}")
        files += losses(folder, f"loss-{task}", found, task, title=f"Tuned on {task}")
    return files


def profiles(folder: Path, name: str, found: Comparison, *, title: str) -> list[Path]:
    """How often each is nearly as fast as the fastest, over all tasks and replicates."""
    return profile(
        folder, name, {method: (one.ratio, one.share) for method, one in found.profile.items()}, title=title,
        xlabel="steps, as a multiple of the fastest's", ylabel="share of trainings",
        highlight=found.candidates[0],
    )  # fmt: skip


def budgets(folder: Path, name: str, found: Comparison, task: str, *, title: str) -> list[Path]:
    """The score that so many trials of a tuning are expected to reach, with its interval."""
    series = {method: _budget(entry) for method, entry in found.drawn(task).items() if entry.budget_curve}
    return curves(
        folder, name, series, title=title, xlabel="trials of a tuning", ylabel="expected best validation score",
        lowest=_lowest(values for _, values in series.values()), highlight=found.candidates[0],
        intervals={method: budget_ends(entry) for method, entry in found.drawn(task).items() if entry.budget_curve},
    )  # fmt: skip


def _budget(entry: Entry) -> tuple[list[int], list[float]]:
    return sorted(entry.budget_curve), [entry.budget_curve[budget] for budget in sorted(entry.budget_curve)]


def budget_ends(entry: Entry) -> list[tuple[float, float]]:
    """The 95 % interval over replicates at each budget of a contestant, in rising order; NaN where there is none."""
    groups = [[trial.score for trial in trials] for trials in entry.trials]
    return [expected_best_interval(groups, budget) for budget in sorted(entry.budget_curve)]


def rates(folder: Path, name: str, found: Comparison, task: str, *, title: str) -> list[Path]:
    """The best score near each learning rate."""
    known = {method: [pair for pair in one.lr_curve if pair[0] > 0] for method, one in found.drawn(task).items()}
    series = {
        method: ([lr for lr, _ in pairs], [score for _, score in pairs]) for method, pairs in known.items() if pairs
    }
    return curves(
        folder, name, series, title=title, xlabel="learning rate", ylabel="best validation score near it",
        lowest=_lowest(values for _, values in series.values()), highlight=found.candidates[0],
    )  # fmt: skip


def losses(folder: Path, name: str, found: Comparison, task: str, *, title: str) -> list[Path]:
    """Median training losses, tuned."""
    series = {
        method: (one.curve.step, one.curve.loss)
        for method, one in found.drawn(task).items()
        if one.curve.step and len(one.curve.step) == len(one.curve.loss)
    }
    return by_step(
        folder, name, series, title=title, ylabel="training loss, median", highlight=found.candidates[0]
    )  # fmt: skip


def _lowest(lines: Iterable[Iterable[float | None]]) -> float | None:
    """Where the axis ends below: what learned nothing would press all others flat."""
    best = max((score for scores in lines for score in scores if score is not None), default=0.0)
    return _BELOW * best if best > 0 else None

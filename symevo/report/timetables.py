"""The closing report of a search for numbers that change while a rule trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Protocol

from symevo.report.networks import Ranked, ranking_table
from symevo.report.tables import headline, shown

if TYPE_CHECKING:
    from symevo.rules.timetable import Timetable

Losses = Sequence[float | None]


class Replayed(Ranked, Protocol):
    """A run whose best line was trained once more."""

    @property
    def replays(self) -> Mapping[str, Losses]: ...


def timetable_report(run: Replayed, table: Timetable, losses: Losses) -> str:
    """What was done, the best network's numbers over time, its replays, and the networks that are left.

    Args:
        run: The run.
        table: The numbers.
        losses: Loss of that network at the end of each interval, as the search saw it.
    """
    path = shown(run.path)
    parts = [
        "\n".join([*headline(run), f"rule {table.rule.name}, its numbers evolved while it trained"]),
        timetable_table(table, losses),
        *([replays_lines(run.replays)] if run.replays else []),
        _ranking(run) if run.ranking else f"the run has not ended: go on with symevo run --resume {path}",
        f'use it      table = symevo.load("{path}").timetable()\n'
        "            optimizer = symevo.Optimizer(model.parameters(), table.rule)\n"
        "            and before each step: table.set(optimizer, step)",
    ]
    return "\n\n".join(parts)


def _ranking(run: Replayed) -> str:
    seeds = run.settings.seeds
    mean = f"\nMeans over {seeds} training seeds; best.safetensors holds the network of the first." if seeds > 1 else ""
    return ranking_table(run.ranking) + mean


def timetable_table(table: Timetable, losses: Losses) -> str:
    """Intervals, their numbers, and the loss at the end of each."""
    names = list(table.numbers)
    width = max(10, *(len(name) for name in names))
    lines = [f"{'steps':>13}  " + "  ".join(f"{name:>{width}}" for name in names) + "  val. loss"]
    for at, loss in enumerate(losses):
        span = f"{table.boundaries[at]:>6}-{table.boundaries[at + 1]:<6}"
        values = "  ".join(f"{table.numbers[name][at]:>{width}.4g}" for name in names)
        lines.append(f"{span}  {values}  {'-' if loss is None else f'{loss:.4f}':>9}")
    return "\n".join(lines)


def replays_lines(replays: Mapping[str, Losses]) -> str:
    """Means and standard deviations over training seeds."""
    count = max(map(len, replays.values()))
    width = max(map(len, replays))
    lines = [f"trained once more, on {count} new networks: validation loss under"]
    return "\n".join([*lines, *(f"  {name:<{width}}  {_spread(losses)}" for name, losses in replays.items())])


def _spread(losses: Losses) -> str:
    known = [loss for loss in losses if loss is not None]
    failed = f"; {len(losses) - len(known)} diverged" if len(known) < len(losses) else ""
    if not known:
        return "all diverged"
    return f"{fmean(known):.4f}" + (f" ± {stdev(known):.4f} (sd)" if len(known) > 1 else "") + failed

"""The closing report of a search for numbers that change while a rule trains."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from symevo.report.networks import Ranked, ranking_table
from symevo.report.tables import WIDTH, headline, shown

if TYPE_CHECKING:
    from symevo.rules.timetable import Timetable

Losses = Sequence[float | None]


@dataclass(frozen=True)
class Replays:
    """Validation losses of new networks, one a training seed; None where a training diverged.

    Attributes:
        timetable: Under the timetable.
        own: Under the rule's own numbers, which do not change.
    """

    timetable: Losses
    own: Losses

    def save(self, path: Path) -> None:
        """Writes a file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Replays | None:
        """What :meth:`save` wrote; None where there is no such file, or another one."""
        try:
            data = json.loads(path.read_bytes())
            return cls(**{name: [_checked(value) for value in data[name]] for name in ("timetable", "own")})
        except (OSError, ValueError, KeyError, TypeError):
            return None


def timetable_report(run: Ranked, table: Timetable, losses: Losses, replays: Replays | None) -> str:
    """What was done, the best network's numbers over time, its replays, and the networks that are left.

    Args:
        run: The run.
        table: The numbers.
        losses: Loss of that network at the end of each interval, as the search saw it.
        replays: On new networks, if they are there.
    """
    path = shown(run.path)
    parts = [
        "\n".join([*headline(run), f"rule {table.rule.name}, its numbers evolved while it trained"]),
        timetable_table(table, losses),
        *([replays_lines(replays)] if replays else []),
        ranking_table(run.ranking) if run.ranking else f"the run has not ended: go on with symevo run --resume {path}",
        f'use it      table = symevo.load("{path}").timetable()\n'
        "            optimizer = symevo.Optimizer(model.parameters(), table.rule)\n"
        "            and before each step: table.set(optimizer, step)",
    ]
    return "\n\n".join(parts)


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


def replays_lines(replays: Replays) -> str:
    """Means and standard deviations over training seeds."""
    lines = [
        f"replayed on {len(replays.timetable)} new networks: validation loss {_spread(replays.timetable)}",
        f"the rule's own numbers on the same: {_spread(replays.own)}",
    ]
    return "\n".join(part for line in lines for part in textwrap.wrap(line, WIDTH))


def _spread(losses: Losses) -> str:
    known = [loss for loss in losses if loss is not None]
    failed = f"; {len(losses) - len(known)} diverged" if len(known) < len(losses) else ""
    if not known:
        return "all diverged"
    return f"{fmean(known):.4f}" + (f" ± {stdev(known):.4f} (sd)" if len(known) > 1 else "") + failed


def _checked(value: Any) -> float | None:
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        raise ValueError(f"{value!r} is no loss")
    return value

"""The closing report of a search among controllers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from symevo.report.tables import MAX_ROWS, headline, shown, spread
from symevo.report.timetables import Replayed


def controllers_report(run: Replayed) -> str:
    """What was done, how the population fared beside plain Adam, and how its best does on networks drawn anew."""
    path = shown(run.path)
    parts = ["\n".join([*headline(run), "controllers beside plain Adam"]), history_table(run.history)]
    if run.replays:
        parts.append(fresh_lines(run.replays))
        use = [
            f'use it      symevo.load("{path}").best.optimizer(model, lr=1e-3)',
            f'keep it     symevo.load("{path}").best.save("controllers.safetensors")',
            f"test it     symevo transfer {path}",
        ]
        parts.append("\n".join(use))
    else:
        parts.append(f"the run has not ended: go on with symevo run --resume {path}")
    return "\n\n".join(parts)


def history_table(history: Sequence[Mapping[str, Any]], *, rows: int = MAX_ROWS) -> str:
    """Fitness by generation; of more than ``rows`` some are left out, evenly. Each generation has its own network."""
    lines = ["  gen    best    mean    Adam"]
    for record in spread(history, rows):
        lines.append(f"{record['gen']:>5}  {record['best']:.4f}  {record['mean']:.4f}  {record['adam']:.4f}")
    return "\n".join(lines)


def fresh_lines(replays: Mapping[str, Sequence[float | None]]) -> str:
    """Accuracies on networks that took no part in the choice of the best, and the paired difference."""
    width = max(map(len, replays))
    count = max(map(len, replays.values()))
    lines = [
        f"accuracy on held-out images, on {count} networks drawn anew that took no part in",
        "choosing the best; Adam has the learning rate that is drawn, untuned:",
    ]
    for name, values in replays.items():
        known = [value for value in values if value is not None]
        failed = f", {len(values) - len(known)} diverged" if len(known) < len(values) else ""
        lines.append(f"  {name:<{width}}  {f'{fmean(known):.4f}' if known else '-'}{failed}")
    first, second = list(replays.values())[:2]
    pairs = [a - b for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(pairs) > 1:
        lines.append(f"  {'difference':<{width}}  {fmean(pairs):+.4f} ± {stdev(pairs):.4f} (sd)")
        lines.append("so few networks are no test; symevo transfer is one, with Adam tuned too")
    return "\n".join(lines)

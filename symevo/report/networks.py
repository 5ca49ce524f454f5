"""The closing report of a search among networks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from symevo.report.tables import MAX_ROWS, WIDTH, Reported, headline, shown, spread


class Ranked(Reported, Protocol):
    """A run whose candidates are networks."""

    @property
    def ranking(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def history(self) -> Sequence[Mapping[str, Any]]: ...


def networks_report(run: Ranked) -> str:
    """What was done, how parents and children fared, and the networks that are left."""
    path = shown(run.path)
    parts = [
        "\n".join([*headline(run), f"rule {run.best.rule.name}: {run.best.rule.numbers()}"]),
        generations_table(run.history),
        ranking_table(run.ranking) if run.ranking else "the run has not ended: go on with symevo run --resume " + path,
    ]
    if run.ranking:
        parts.append(f'use it      model.load_state_dict(symevo.load("{path}").weights())')
    return "\n\n".join(parts)


def generations_table(history: Sequence[Mapping[str, Any]], *, rows: int = MAX_ROWS) -> str:
    """Losses of parents and children on the batches that they competed on, and how many children were adopted.

    Args:
        history: Records of the generations.
        rows: Of more generations than this some are left out, evenly.
    """
    lines = [
        "       parents' loss     children's loss   children",
        "  gen  lowest    mean    lowest    mean    adopted",
    ]
    for record in spread(history, rows):
        losses = "  ".join(f"{_number(loss):>8}" for kind in ("elders", "children") for loss in record[kind])
        lines.append(f"{record['gen']:>5}{losses}  {100 * record['adopted']:>6.0f} %")
    return "\n".join(lines)


def ranking_table(ranking: Sequence[Mapping[str, Any]], *, rows: int = MAX_ROWS) -> str:
    """The networks that are left, best first by the whole validation split."""
    lines = [
        "          validation            test",
        "   #    loss  accuracy    loss  accuracy",
    ]
    for rank, one in enumerate(ranking[:rows], 1):
        cells = [_number((one[split] or {}).get(name)) for split in ("validation", "test") for name in _SCORES]
        lines.append(f"{rank:>4}{cells[0]:>8}{cells[1]:>9}{cells[2]:>8}{cells[3]:>9}")
    note = "Ranked by validation; the test split was read once, for this table."
    return "\n".join([*lines, *textwrap.wrap(note, WIDTH)])


_SCORES = ("loss", "accuracy")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""The closing report of a search for a rule's numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from symevo.report.tables import MAX_ROWS, WIDTH, Reported, headline, rule_report, usage

if TYPE_CHECKING:
    from symevo.rules.rule import Rule


class Tried(Protocol):
    """Numbers that were tried, and what came of them; losses are None where a training did not end."""

    @property
    def numbers(self) -> Mapping[str, float]: ...
    @property
    def gen(self) -> int: ...
    @property
    def fitness(self) -> float: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def accuracy(self) -> float | None: ...
    @property
    def per_task(self) -> Mapping[str, tuple[float | None, float | None]]: ...


def numbers_report(
    run: Reported, *, rule: Rule, ranges: Mapping[str, object], trials: Sequence[Tried], own: Tried | None
) -> str:
    """What was done, the best numbers, how they compare with the rule's own, and the rule with them.

    Args:
        run: The run.
        rule: The rule before it was tuned.
        ranges: Of the tuned numbers, each with a text of its own.
        trials: All of them, best first.
        own: The trial of the rule's own numbers, if there was one.
    """
    searched = ", ".join(f"{name} in {one}" for name, one in ranges.items())
    head = [*headline(run), *textwrap.wrap(f"rule {rule.name}: {searched}", WIDTH, break_on_hyphens=False)]
    parts = [
        "\n".join(head),
        numbers_table(trials),
        "\n".join(comparison(trials[0], own)),
        f"The best rule\n\n{rule_report(run.best.rule)}",
        usage(run),
    ]
    return "\n\n".join(parts)


def numbers_table(trials: Sequence[Tried], *, width: int = WIDTH, rows: int = MAX_ROWS) -> str:
    """Trials with their scores, which are means over tasks and seeds.

    Numbers stand in columns where these fit into ``width``, else on a line of their own.

    Args:
        trials: Best first.
        width: Columns of the terminal.
        rows: More trials than this are counted, not shown.
    """
    names = list(trials[0].numbers)
    columns = sum(max(len(name), 9) + 2 for name in names) + 42 <= width
    heads = [f"{name:>{max(len(name), 9)}}" for name in names if columns]
    lines = ["  ".join([" #", "fitness", "val. loss", "accuracy", *heads, "first in"])]
    for rank, one in enumerate(trials[:rows], 1):
        values = [f"{_number(one.numbers[name]):>{max(len(name), 9)}}" for name in names if columns]
        scores = [f"{one.fitness:>7.4f}", f"{_loss(one.loss):>9}", f"{_share(one.accuracy):>8}"]
        lines.append("  ".join([f"{rank:>2}", *scores, *values, f"gen {one.gen:>4}"]))
        if not columns:
            text = ", ".join(f"{name} {_number(one.numbers[name])}" for name in names)
            lines += textwrap.wrap(text, width, initial_indent=" " * 5, subsequent_indent=" " * 5)
    if len(trials) > rows:
        lines.append(f"and {len(trials) - rows} more")
    return "\n".join(lines)


def comparison(best: Tried, own: Tried | None) -> list[str]:
    """The rule's own numbers beside the tuned ones, by task where there are several."""
    if own is None:
        return [f"tuned: {_scores(best.loss, best.accuracy)}; the rule's own numbers were not in this search"]
    lines = [f"default numbers: {_both((own.loss, own.accuracy), (best.loss, best.accuracy))}"]
    if len(best.per_task) > 1:
        lines += [f"  {task}: {_both(own.per_task[task], tuned)}" for task, tuned in best.per_task.items()]
    return [*lines, "on the data that the search selected by: new data will show less of a difference"]


Scores = tuple[float | None, float | None]


def _both(own: Scores, tuned: Scores) -> str:
    after = _scores(*tuned) if own[0] is None else _scores(*tuned).replace("loss ", "").replace("accuracy ", "")
    return f"{_scores(*own)}; tuned: {after}"


def _scores(loss: float | None, accuracy: float | None) -> str:
    if loss is None:
        return "did not train to the end"
    return f"loss {_loss(loss)}" + (f", accuracy {accuracy:.4f}" if accuracy is not None else "")


def _loss(value: float | None) -> str:
    return "failed" if value is None else f"{value:.5g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _number(value: float) -> str:
    return f"{value:.4g}"

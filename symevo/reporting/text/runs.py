"""Closing reports: of a search for a rule's numbers, among networks, for a timetable, and among controllers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from symevo.reporting.text.tables import (
    MAX_ROWS,
    WIDTH,
    columns,
    headline,
    number,
    rule_report,
    shown,
    spread,
    usage,
)

if TYPE_CHECKING:
    from symevo.rules.rule import Rule
    from symevo.rules.timetable import Timetable

Losses = Sequence[float | None]
Scores = tuple[float | None, float | None]
"""Loss and accuracy."""

SCORES = ("loss", "accuracy")
"""Of a network on a split."""


def numbers_report(run: Any, *, rule: Rule, ranges: Mapping[str, object], trials: Sequence[Any], own: Any) -> str:
    """What was done, the best numbers, how they compare with the rule's own, and the rule with them.

    Args:
        run: The :class:`symevo.runs.run.Run`.
        rule: The rule before it was tuned.
        ranges: Of the tuned numbers, each with a text of its own.
        trials: All of them, best first, as :class:`symevo.runs.run.Trial`.
        own: The trial of the rule's own numbers, if there was one.
    """
    searched = ", ".join(f"{name} in {one}" for name, one in ranges.items())
    head = [*headline(run), *textwrap.wrap(f"rule {rule.name}: {searched}", WIDTH, break_on_hyphens=False)]
    best = f"The best rule\n\n{rule_report(run.best.rule)}"
    return _joined(head, numbers_table(trials), comparison(trials[0], own), best, usage(run))


def _joined(*parts: str | Sequence[str]) -> str:
    """Parts with an empty line between them; a part is a text, or lines; an empty one is left out."""
    return "\n\n".join(one if isinstance(one, str) else "\n".join(one) for one in parts if one)


def _to_go_on(run: Any) -> str:
    return f"the run has not ended: go on with symevo run --resume {shown(run.path)}"


def numbers_table(trials: Sequence[Any]) -> str:
    """Trials with their scores, which are means over tasks and seeds; more than :data:`MAX_ROWS` are counted.

    Numbers stand in columns where these fit into a line, else on a line of their own.
    """
    names = list(trials[0].numbers)
    wide = sum(max(len(name), 9) + 2 for name in names) + 42 <= WIDTH
    first, *lines = columns(
        [" #", "fitness", "val. loss", "accuracy", *(names if wide else []), "first in"],
        (
            [f"{rank:>2}", number(one.fitness), _loss(one.loss), number(one.accuracy),
             *(number(one.numbers[name], ".4g") for name in names if wide), f"gen {one.gen:>4}"]
            for rank, one in enumerate(trials[:MAX_ROWS], 1)
        ),
    )  # fmt: skip
    found = [first]
    for one, line in zip(trials, lines, strict=False):
        found.append(line)
        if not wide:
            text = ", ".join(f"{name} {number(one.numbers[name], '.4g')}" for name in names)
            found += textwrap.wrap(text, WIDTH, initial_indent=" " * 5, subsequent_indent=" " * 5)
    if len(trials) > MAX_ROWS:
        found.append(f"and {len(trials) - MAX_ROWS} more")
    return "\n".join(found)


def comparison(best: Any, own: Any) -> list[str]:
    """The rule's own numbers beside the tuned ones, by task where there are several."""
    if own is None:
        return [f"tuned: {_scores(best.loss, best.accuracy)}; the rule's own numbers were not in this search"]
    lines = [f"default numbers: {_both((own.loss, own.accuracy), (best.loss, best.accuracy))}"]
    if len(best.per_task) > 1:
        lines += [f"  {task}: {_both(own.per_task[task], tuned)}" for task, tuned in best.per_task.items()]
    return [*lines, "on the data that the search selected by: new data will show less of a difference"]


def _both(own: Scores, tuned: Scores) -> str:
    after = _scores(*tuned) if own[0] is None else _scores(*tuned).replace("loss ", "").replace("accuracy ", "")
    return f"{_scores(*own)}; tuned: {after}"


def _scores(loss: float | None, accuracy: float | None) -> str:
    if loss is None:
        return "did not train to the end"
    return f"loss {_loss(loss)}" + (f", accuracy {accuracy:.4f}" if accuracy is not None else "")


def _loss(value: float | None) -> str:
    return number(value, ".5g", none="failed")


def networks_report(run: Any) -> str:
    """What was done, how parents and children fared, and the networks that are left."""
    head = [*headline(run), f"rule {run.best.rule.name}: {run.best.rule.numbers()}"]
    if not run.ranking:
        return _joined(head, generations_table(run.history), _to_go_on(run))
    use = f'use it      model.load_state_dict(symevo.load("{shown(run.path)}").weights())'
    return _joined(head, generations_table(run.history), ranking_table(run.ranking), use)


def generations_table(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Losses of parents and children on the batches that they competed on, and how many children were adopted.

    Of more than :data:`MAX_ROWS` generations some are left out, evenly.
    """
    rows = (
        [f"{record['gen']:>5}", *(number(loss) for kind in ("elders", "children") for loss in record[kind]),
         f"{100 * record['adopted']:.0f} %"]
        for record in spread(history)
    )  # fmt: skip
    return columns(["  gen", "parents' lowest", "mean", "children's lowest", "mean", "adopted"], rows)


def ranking_table(ranking: Sequence[Mapping[str, Any]]) -> list[str]:
    """The networks that are left, best first by the whole validation split."""
    rows = (
        [f"{rank:>4}", *(number((one[split] or {}).get(name)) for split in ("validation", "test") for name in SCORES)]
        for rank, one in enumerate(ranking[:MAX_ROWS], 1)
    )
    note = "Ranked by validation; the test split was read once, for this table."
    return [*columns(["   #", "validation loss", "accuracy", "test loss", "accuracy"], rows), note]


def timetable_report(run: Any, table: Timetable, losses: Losses) -> str:
    """What was done, the best network's numbers over time, its replays, and the networks that are left.

    Args:
        run: The :class:`symevo.runs.run.Run`.
        table: The numbers.
        losses: Loss of that network at the end of each interval, as the search saw it.
    """
    ended: Sequence[str] = ranking_table(run.ranking) if run.ranking else [_to_go_on(run)]
    if run.ranking and (seeds := run.settings.seeds) > 1:
        ended = [*ended, f"Means over {seeds} training seeds; best.safetensors holds the network of the first."]
    return _joined(
        [*headline(run), f"rule {table.rule.name}, its numbers evolved while it trained"],
        timetable_table(table, losses),
        replays_lines(run.replays) if run.replays else "",
        ended,
        f'use it      table = symevo.load("{shown(run.path)}").timetable()\n'
        "            optimizer = symevo.Optimizer(model.parameters(), table.rule)\n"
        "            and before each step: table.set(optimizer, step)",
    )


def timetable_table(table: Timetable, losses: Losses) -> list[str]:
    """Intervals, their numbers, and the loss at the end of each."""
    rows = (
        [f"{table.boundaries[at]:>6}-{table.boundaries[at + 1]}",
         *(number(values[at], ".4g") for values in table.numbers.values()), number(loss)]
        for at, loss in enumerate(losses)
    )  # fmt: skip
    return columns([" steps", *table.numbers, "val. loss"], rows)


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


def controllers_report(run: Any) -> str:
    """What was done, how the population fared beside plain Adam, and how its best does on networks drawn anew."""
    head, path = [*headline(run), "controllers beside plain Adam"], shown(run.path)
    if not run.replays:
        return _joined(head, history_table(run.history), _to_go_on(run))
    use = [
        f'use it      symevo.load("{path}").best.optimizer(model, lr=1e-3)',
        f'keep it     symevo.load("{path}").best.save("controllers.safetensors")',
        f"test it     symevo transfer {path}",
    ]
    return _joined(head, history_table(run.history), fresh_lines(run.replays), use)


def history_table(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Fitness by generation, some left out evenly. Each generation has its own network."""
    keys = ("best", "mean", "adam")
    cells = ([f"{record['gen']:>5}", *(number(record[key]) for key in keys)] for record in spread(history))
    return columns(["  gen", "best", "mean", "Adam"], cells)


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
        lines.append(f"  {name:<{width}}  {number(fmean(known) if known else None)}{failed}")
    first, second = list(replays.values())[:2]
    pairs = [a - b for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(pairs) > 1:
        lines.append(f"  {'difference':<{width}}  {fmean(pairs):+.4f} ± {stdev(pairs):.4f} (sd)")
        lines.append("so few networks are no test; symevo transfer is one, with Adam tuned too")
    return "\n".join(lines)

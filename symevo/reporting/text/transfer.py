"""The report of a meta-test: evolved controllers beside plain Adam on networks drawn anew."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from symevo.reporting.text.tables import WIDTH, shown

NAMES = {
    "controllers": "controllers, drawn rate",
    "adam": "Adam, drawn rate",
    "adam_best": "Adam, its best rate",
    "controllers_best": "controllers, Adam's best rate",
}
"""Contestants in words."""
PARTS = {"all": "all networks", "below": "drawn below {:.2g}", "above": "drawn from {:.2g} on"}
"""Networks of a comparison, in words."""
_LISTED = 10


def transfer_report(found: Mapping[str, Any]) -> str:
    """All of a meta-test in at most 80 columns."""
    about = found["controllers"]
    of = "ranked first" if about["finished"] else "the run has not ended: the fittest of its last generation"
    count = found["networks"]
    head = [
        f"controllers of {shown(Path(found['run']))}",
        f"{of}, generation {about['gen']}",
        f"{found['task']}: {count} network{'' if count == 1 else 's'} drawn anew, scale {found['scale']:g}, "
        f"{found['steps']:,} steps, seed {found['seed']}",
        "scores are those of the test split; Adam's best rate is chosen on the validation",
        "split of the same network, which favours Adam",
    ]
    parts = ["\n".join(head), _means(found["contestants"])]
    parts += [_comparisons(found["comparisons"], metric) for metric in ("accuracy", "loss")]
    if found["diverged"]:
        parts.append(_diverged(found["diverged"], found["chance"]))
    return "\n\n".join([*parts, textwrap.fill(found["verdict"], WIDTH)])


def network_line(number: int, count: int, row: Mapping[str, Any]) -> str:
    """One network as it is done."""
    width = len(str(count))
    layers = "-".join(map(str, row["hidden"]))
    scores = f"controllers {row['controllers']['accuracy']:.4f}  Adam {row['adam']['accuracy']:.4f}"
    best = f"at its best {row['adam_best']['accuracy']:.4f} (lr {row['adam_best']['lr']:.2g})"
    return f"network {number:>{width}}/{count}  {layers:<12}  lr {row['lr']:.2g}: {scores}  {best}"


def verdict(comparisons: Sequence[Mapping[str, Any]], needed: int) -> str:
    """What the accuracies of all networks say, in one sentence; in another one, whether they could say anything.

    Args:
        comparisons: Of the meta-test.
        needed: Networks from which on a difference can be shown at all.
    """
    drawn, tuned, same = (one for one in comparisons if (one["metric"], one["networks"]) == ("accuracy", "all"))
    count = drawn["wins"] + drawn["losses"] + drawn["ties"]
    few = (
        f"With {count} network{'' if count == 1 else 's'} no difference can be shown: give --networks {needed} or more."
    )
    said = (
        f"Accuracy of the controllers: {_said(drawn, 'than Adam')} at the drawn rates, "
        f"{_said(tuned, 'than Adam at its best rates')}, and {_said(same, 'than Adam')} where both have those."
    )
    return f"{said} {few}" if count < needed else said


def _said(one: Mapping[str, Any], rival: str) -> str:
    numbers = f"{one['mean']:+.4f}, p {_p(one['p_holm'])}"
    if one["verdict"] == "no difference shown":
        return f"no difference {rival.replace('than', 'from', 1)} shown ({numbers})"
    return f"{one['verdict']} {rival} ({numbers})"


def _means(contestants: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"{'means':<32}{'accuracy':>9}{'loss':>9}{'diverged':>10}"]
    for name, one in contestants.items():
        lines.append(f"  {NAMES[name]:<30}{one['accuracy']:>9.4f}{one['loss']:>9.4f}{one['diverged']:>10}")
    return "\n".join(lines)


def _comparisons(comparisons: Sequence[Mapping[str, Any]], metric: str) -> str:
    what = "more accuracy" if metric == "accuracy" else "less loss"
    lines = [f"{what:<25}{'mean':>9}{'95 % interval':>20}{'w/l/t':>10}{'p':>8}{'effect':>8}"]
    chosen = [one for one in comparisons if one["metric"] == metric]
    for main in (one for one in chosen if one["networks"] == "all"):
        pair = main["first"], main["second"]
        lines.append(f"{NAMES[pair[0]]} - {NAMES[pair[1]]}: {main['verdict']}")
        for one in (one for one in chosen if (one["first"], one["second"]) == pair):
            part = PARTS[one["networks"]].format(one.get("median"))
            ends = "-" if one["low"] is None else f"{one['low']:+.4f} … {one['high']:+.4f}"
            counts = f"{one['wins']}/{one['losses']}/{one['ties']}"
            mean = "-" if one["mean"] is None else f"{one['mean']:+.4f}"
            lines.append(f"  {part:<23}{mean:>9}{ends:>20}{counts:>10}{_p(one['p_holm']):>8}{one['effect']:>+8.2f}")
    return "\n".join(lines)


def _diverged(failed: Sequence[Mapping[str, Any]], chance: float) -> str:
    lines = [f"{len(failed)} diverged, which count as chance ({chance:.4g}):"]
    for one in failed[:_LISTED]:
        lines.append(f"  network {one['network'] + 1}, {NAMES[one['contestant']]} {one['lr']:.2g}: {one['reason']}")
    return "\n".join([*lines, *([f"  … and {len(failed) - _LISTED} more"] if len(failed) > _LISTED else [])])


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.0001" if value < 1e-4 else f"{value:.4f}"

"""Reports on evolved controllers: a meta-test beside plain Adam on networks drawn anew, and what they react to."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from symevo.reporting.text.tables import WIDTH, columns, count, number, shown

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
    head = [
        *_whose(found),
        f"{found['task']}: {count(found['networks'], 'network')} drawn anew, scale {found['scale']:g}, "
        f"{found['steps']:,} steps, seed {found['seed']}",
        "scores are those of the test split; Adam's best rate is chosen on the validation",
        "split of the same network, which favours Adam",
    ]
    parts = ["\n".join(head), _means(found["contestants"])]
    parts += [_comparisons(found["comparisons"], metric) for metric in ("accuracy", "loss")]
    if found["diverged"]:
        parts.append(_diverged(found["diverged"], found["chance"]))
    return "\n\n".join([*parts, textwrap.fill(found["verdict"], WIDTH)])


def _whose(found: Mapping[str, Any]) -> list[str]:
    about = found["controllers"]
    of = "ranked first" if about["finished"] else "the run has not ended: the fittest of its last generation"
    return [f"controllers of {shown(Path(found['run']))}", f"{of}, generation {about['gen']}"]


def network_line(place: int, total: int, row: Mapping[str, Any]) -> str:
    """One network as it is done."""
    width = len(str(total))
    scores = f"controllers {row['controllers']['accuracy']:.4f}  Adam {row['adam']['accuracy']:.4f}"
    best = f"at its best {row['adam_best']['accuracy']:.4f} (lr {row['adam_best']['lr']:.2g})"
    return f"network {place:>{width}}/{total}  {_layers(row):<12}  lr {row['lr']:.2g}: {scores}  {best}"


def _layers(network: Mapping[str, Any]) -> str:
    return "-".join(map(str, network["hidden"]))


def verdict(comparisons: Sequence[Mapping[str, Any]], needed: int) -> str:
    """What the accuracies of all networks say, and whether fewer than ``needed`` networks could say anything."""
    drawn, tuned, same = (one for one in comparisons if (one["metric"], one["networks"]) == ("accuracy", "all"))
    pairs = drawn["wins"] + drawn["losses"] + drawn["ties"]
    few = f"With {count(pairs, 'network')} no difference can be shown: give --networks {needed} or more."
    said = (
        f"Accuracy of the controllers: {_said(drawn, 'than Adam')} at the drawn rates, "
        f"{_said(tuned, 'than Adam at its best rates')}, and {_said(same, 'than Adam')} where both have those."
    )
    return f"{said} {few}" if pairs < needed else said


def _said(one: Mapping[str, Any], rival: str) -> str:
    numbers = f"{one['mean']:+.4f}, p {_p(one['p_holm'])}"
    if one["verdict"] == "no difference shown":
        return f"no difference {rival.replace('than', 'from', 1)} shown ({numbers})"
    return f"{one['verdict']} {rival} ({numbers})"


def _means(contestants: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [f"  {NAMES[name]}", number(one["accuracy"]), number(one["loss"]), one["diverged"]]
        for name, one in contestants.items()
    ]
    return "\n".join(columns(["means", "accuracy", "loss", "diverged"], rows))


def _comparisons(comparisons: Sequence[Mapping[str, Any]], metric: str) -> str:
    chosen = [one for one in comparisons if one["metric"] == metric]
    pairs = {(one["first"], one["second"]): one["verdict"] for one in chosen if one["networks"] == "all"}
    rows = sorted(chosen, key=lambda one: list(pairs).index((one["first"], one["second"])))
    what = "more accuracy" if metric == "accuracy" else "less loss"
    first, *lines = columns([what, "mean", "95 % interval", "w/l/t", "p", "effect"], map(_compared, rows))
    found = [first]
    for one, line in zip(rows, lines, strict=True):
        if one["networks"] == "all":
            found.append(f"{NAMES[one['first']]} - {NAMES[one['second']]}: {one['verdict']}")
        found.append(line)
    return "\n".join(found)


def _compared(one: Mapping[str, Any]) -> list[str]:
    ends = "-" if one["low"] is None else f"{one['low']:+.4f} … {one['high']:+.4f}"
    counts = f"{one['wins']}/{one['losses']}/{one['ties']}"
    part = PARTS[one["networks"]].format(one.get("median"))
    return [f"  {part}", number(one["mean"], "+.4f"), ends, counts, _p(one["p_holm"]), f"{one['effect']:+.2f}"]


def _diverged(failed: Sequence[Mapping[str, Any]], chance: float) -> str:
    lines = [f"{len(failed)} diverged, which count as chance ({chance:.4g}):"]
    for one in failed[:_LISTED]:
        lines.append(f"  network {one['network'] + 1}, {NAMES[one['contestant']]} {one['lr']:.2g}: {one['reason']}")
    return "\n".join([*lines, *([f"  … and {len(failed) - _LISTED} more"] if len(failed) > _LISTED else [])])


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.0001" if value < 1e-4 else f"{value:.4f}"


_BESIDE = {
    "loss": "Δ corrects ∇1 of the logits",
    "linear": "Δ0 corrects ∇1 of the output for the weights, Δ1 for the input",
    "bias": "the sum of Δ0 is ∇2 of the bias, Δ1 corrects ∇1 of the input",
    "relu": "Δ corrects ∇1 of the input",
}
_NOTHING = 0.005
"""Importances below this are 0.00 in print, and left out where there are many."""
_TOLD = 2  # statistics of one vector
_LEGEND = (
    "size: root mean square over that of the ∇1 it builds on. Importance of an input: mean squared change when it is "
    "permuted among all recorded signals, over twice the variance; 0: it changes nothing, 1: nothing else does."
)


def inspection_report(found: Mapping[str, Any]) -> str:
    """All of an inspection in at most 80 columns."""
    parts = [_head(found), textwrap.fill(_LEGEND, WIDTH)]
    if _idle(found):
        parts.append("These controllers do nothing: with them, training is plain Adam.")
    parts += [_layer(name, layer["corrections"]) for name, layer in found["layers"].items()]
    return "\n\n".join([*parts, _optimizer(found["optimizer"])])


def _head(found: Mapping[str, Any]) -> str:
    lines = [*_whose(found), f"recorded on {found['task']}, scale {found['scale']:g}, seed {found['seed']}:"]
    lines += [f"  {_layers(one):<14} lr {one['lr']:.2g}, {one['steps']:,} steps" for one in found["networks"]]
    return "\n".join(lines)


def _idle(found: Mapping[str, Any]) -> bool:
    sizes = [one["size"] for layer in found["layers"].values() for one in layer["corrections"]]
    optimizer = found["optimizer"]
    return not any(size != 0 for size in sizes) and (optimizer is None or optimizer["size"] == 0)


def _layer(name: str, corrections: Sequence[Mapping[str, Any]]) -> str:
    if all(one["size"] == 0 for one in corrections):
        return f"{name}: does nothing"
    lines = [f"{name}: {_BESIDE.get(name, '')}", _row("", [one["name"] for one in corrections])]
    lines.append(_row("size", [number(one["size"], ".3g", none="∞") for one in corrections]))
    if not all(one["constant"] for one in corrections):
        lines += _inputs(corrections)
    lines += [f"  {one['name']} = {one['mean']:.3g}, whatever its inputs are" for one in corrections if one["constant"]]
    return "\n".join(lines)


def _inputs(corrections: Sequence[Mapping[str, Any]]) -> list[str]:
    """Importances: of signals, and of vectors with what of each matters most."""
    known = [one["importance"] for one in corrections]
    lines = ["  signal", *_shares(known, "signals")]
    if all(value < _NOTHING for one in known for value in one["vectors"].values()):
        return [*lines, "  statistics do not matter"]
    return [*lines, "  statistics, through four features", *_shares(known, "vectors")]


def _shares(known: Sequence[Mapping[str, Any]], kind: str) -> Iterator[str]:
    """A row for each input of a kind, the most important first."""
    for name in sorted(known[0][kind], key=lambda name: -max(one[kind][name] for one in known)):
        row = _row(f"  {name}", [f"{one[kind][name]:.2f}" for one in known])
        yield row if kind == "signals" else f"{row}  {_most(name, known)}".rstrip()


def _most(vector: str, known: Sequence[Mapping[str, Any]]) -> str:
    """The statistics of a vector that matter most to any correction."""
    values = {
        name.removeprefix(f"{vector}_"): max(one["statistics"][name] for one in known)
        for name in known[0]["statistics"]
        if name.rpartition("_")[0] == vector
    }
    most = sorted(values, key=lambda name: -values[name])[:_TOLD]
    return ", ".join(f"{name} {values[name]:.2f}" for name in most if values[name] >= _NOTHING)


def _optimizer(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "optimizer: no network stayed finite for long enough to tell"
    if found["size"] == 0:
        return "optimizer: does nothing"
    lines = [f"optimizer: what LSTM and head add to Adam's step, over windows of {count(found['steps'], 'step')}"]
    lines.append(_row("size", [number(found["size"], ".3g", none="∞")]) + "  of Adam's step")
    if not any(found["importance"].values()):
        return "\n".join([*lines, "  a constant, whatever its inputs are"])
    notes = {"memory": "its state before them", "adam": "Adam's step"}
    for name in sorted(found["importance"], key=lambda name: -found["importance"][name]):
        row = _row(f"  {name}", [f"{found['importance'][name]:.2f}"])
        lines.append(f"{row}  {notes.get(name, '')}".rstrip())
    return "\n".join(lines)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"  {name:<14}" + "".join(f"{cell:>10}" for cell in cells)

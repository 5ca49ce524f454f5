"""What evolved controllers do, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from symevo.reporting.text.tables import WIDTH, shown

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
    about = found["controllers"]
    of = "ranked first" if about["finished"] else "the run has not ended: the fittest of its last generation"
    lines = [
        f"controllers of {shown(Path(found['run']))}",
        f"{of}, generation {about['gen']}",
        f"recorded on {found['task']}, scale {found['scale']:g}, seed {found['seed']}:",
    ]
    for one in found["networks"]:
        layers = "-".join(map(str, one["hidden"]))
        lines.append(f"  {layers:<14} lr {one['lr']:.2g}, {one['steps']:,} steps")
    return "\n".join(lines)


def _idle(found: Mapping[str, Any]) -> bool:
    sizes = [one["size"] for layer in found["layers"].values() for one in layer["corrections"]]
    optimizer = found["optimizer"]
    return not any(size != 0 for size in sizes) and (optimizer is None or optimizer["size"] == 0)


def _layer(name: str, corrections: Sequence[Mapping[str, Any]]) -> str:
    if all(one["size"] == 0 for one in corrections):
        return f"{name}: does nothing"
    lines = [f"{name}: {_BESIDE.get(name, '')}", _row("", [one["name"] for one in corrections])]
    lines.append(_row("size", [_size(one["size"]) for one in corrections]))
    if not all(one["constant"] for one in corrections):
        lines += _inputs(corrections)
    lines += [f"  {one['name']} = {one['mean']:.3g}, whatever its inputs are" for one in corrections if one["constant"]]
    return "\n".join(lines)


def _inputs(corrections: Sequence[Mapping[str, Any]]) -> list[str]:
    """Importances: of signals, and of vectors with what of each matters most."""
    lines = ["  signal"]
    known = [one["importance"] for one in corrections]
    for name in _ordered([one["signals"] for one in known]):
        lines.append(_row(f"  {name}", [f"{one['signals'][name]:.2f}" for one in known]))
    if all(value < _NOTHING for one in known for value in one["vectors"].values()):
        return [*lines, "  statistics do not matter"]
    lines.append("  statistics, through four features")
    for vector in _ordered([one["vectors"] for one in known]):
        row = _row(f"  {vector}", [f"{one['vectors'][vector]:.2f}" for one in known])
        lines.append(f"{row}  {_most(vector, known)}".rstrip())
    return lines


def _ordered(known: Sequence[Mapping[str, float]]) -> list[str]:
    return sorted(known[0], key=lambda name: -max(one[name] for one in known))


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
    span = f"{found['steps']} step{'' if found['steps'] == 1 else 's'}"
    lines = [f"optimizer: what LSTM and head add to Adam's step, over windows of {span}"]
    lines.append(_row("size", [_size(found["size"])]) + "  of Adam's step")
    if not any(found["importance"].values()):
        return "\n".join([*lines, "  a constant, whatever its inputs are"])
    notes = {"memory": "its state before them", "adam": "Adam's step"}
    for name in sorted(found["importance"], key=lambda name: -found["importance"][name]):
        row = _row(f"  {name}", [f"{found['importance'][name]:.2f}"])
        lines.append(f"{row}  {notes.get(name, '')}".rstrip())
    return "\n".join(lines)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"  {name:<14}" + "".join(f"{cell:>10}" for cell in cells)


def _size(value: float | None) -> str:
    return "∞" if value is None else f"{value:.3g}"

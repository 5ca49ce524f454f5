"""Hyperparameters as a user gives them: their names, their ranges, and what to say when they are wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from symevo.errors import UserError
from symevo.registry import nearest

_TUPLES = {
    "betas": ("beta1", "beta2", "beta3"),
    "etas": ("etaminus", "etaplus"),
    "step_sizes": ("step_size_min", "step_size_max"),
}
"""torch's names for several hyperparameters at once."""

_TORCH_OPTIONS = {
    "amsgrad": "take the rule 'amsgrad'",
    "capturable": "leave it out",
    "centered": "take the rule 'rmsprop-centered'",
    "decoupled_weight_decay": "take a rule such as 'adamw'",
    "differentiable": "leave it out",
    "foreach": "leave it out, all parameters are updated by one compiled function",
    "fused": "leave it out, all parameters are updated by one compiled function",
    "maximize": "leave it out and negate the loss",
    "nesterov": "take the rule 'nesterov'",
}
"""Switches of torch's optimizers, and what there is instead."""

_ARGUMENTS = frozenset({"self", "name", "params", "rule", "total_steps", "compile", "foreach"})
_GROUP_KEYS = frozenset({"params", "param_names", "initial_lr", "name"})
RESERVED = _ARGUMENTS | _GROUP_KEYS
"""Names that no hyperparameter can have: they are arguments of symevo.rule, of symevo.Optimizer or of an exported
class, which take hyperparameters as keywords, or keys that torch itself has in a param group."""

_DECAY_RATE = re.compile(r"beta\d*|rho")


def unknown(name: str, known: Iterable[str]) -> str:
    """The message about a hyperparameter that a rule does not have.

    Args:
        name: What was given.
        known: The rule's hyperparameters.
    """
    known = list(known)
    parts = [f"{part}=" for part in _TUPLES.get(name, ()) if part in known]
    if parts:
        hint = f"give {' and '.join(parts)}"
    elif name in _TORCH_OPTIONS:
        hint = f"it is an option of torch's own optimizers; {_TORCH_OPTIONS[name]}; known: {', '.join(known)}"
    else:
        hint = nearest(name, known) if name not in _TUPLES else f"known: {', '.join(known)}"
    return f"the rule has no hyperparameter {name!r}: {hint}"


def number(name: str, value: Any) -> float:
    """A hyperparameter's value, checked.

    Decay rates (``beta…`` and ``rho``) lie in [0, 1); lr and eps are not negative; all are finite.

    Args:
        name: Name of the hyperparameter.
        value: A number or a tensor of one element.

    Raises:
        UserError: No number, or outside of its range.
    """
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        kind = "a finite number or a tensor of one element" if hasattr(value, "numel") else "a finite number"
        shown = repr(found) if isinstance(found, int | float) else type(found).__name__
        raise UserError(f"{name} must be {kind}, not {shown}")
    if name in ("lr", "eps") and found < 0:
        raise UserError(f"{name} must not be negative, as {found!r} is")
    if _DECAY_RATE.fullmatch(name) and not 0 <= found < 1:
        raise UserError(f"{name} must be at least 0 and less than 1, not {found!r}")
    return float(found)


def plain(value: Any) -> Any:
    """The number in a tensor of one element; anything else as it is. It needs no torch."""
    return value.item() if hasattr(value, "numel") and value.numel() == 1 else value

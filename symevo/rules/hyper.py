"""Hyperparameters as a user gives them: their names, their ranges, and what to say when they are wrong."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

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
GROUP_KEYS = frozenset({"params", "param_names", "initial_lr", "name"})
"""What torch writes into a param group."""

RESERVED = _ARGUMENTS | GROUP_KEYS
"""Names that no hyperparameter can have: they are arguments of symevo.rule, of symevo.Optimizer or of an exported
class, which take hyperparameters as keywords, or keys that torch itself has in a param group."""

_ALIASES = {"learning_rate": "lr", "epsilon": "eps", "wd": "weight_decay"}
"""Other libraries' names of single hyperparameters."""

NOT_NEGATIVE = frozenset(
    {"lr", "eps", "weight_decay", "momentum", "momentum_decay", "lr_decay", "initial_accumulator_value"}
)
"""Hyperparameters that torch's optimizers refuse below 0."""

CLOSE = 0.8
"""Similarity from which a param group's key counts as a misspelt hyperparameter; 1 is equality."""

DECAY_RATE = re.compile(r"beta\d*|rho")
"""Hyperparameters that lie in [0, 1)."""


def unknown(name: str, known: Iterable[str]) -> str:
    """The message about a hyperparameter that a rule does not have; ``known`` are those that it has."""
    known = list(known)
    parts = [f"{part}=" for part in _TUPLES.get(name, ()) if part in known]
    if parts:
        hint = f"give {' and '.join(parts)}"
    elif _ALIASES.get(name) in known:
        hint = f"did you mean {_ALIASES[name]!r}?"
    elif name in _TORCH_OPTIONS:
        hint = f"it is an option of torch's own optimizers; {_TORCH_OPTIONS[name]}; known: {', '.join(known)}"
    else:
        hint = nearest(name, known) if name not in _TUPLES else f"known: {', '.join(known)}"
    return f"the rule has no hyperparameter {name!r}: {hint}"


def mistaken(key: Any, value: Any, known: Iterable[str]) -> str | None:
    """The message about a param group's key that looks like a hyperparameter and is none.

    Schedulers, wrappers and trainers keep keys of their own in param groups, such as ``lr_scale`` or ``base_momentum``.
    These are none of ours: there is no message for a key that is not close to a hyperparameter's name, nor for one
    that has the whole name in it. Switches of torch's optimizers, and a weight decay, count only where they are on.
    """
    known = list(known)
    if not isinstance(key, str) or key in known:
        return None
    if key == "weight_decay" or key in _TORCH_OPTIONS:
        meant = _is_on(plain(value))
    else:
        plural = any(part in known for part in _TUPLES.get(key, ()))
        meant = plural or _ALIASES.get(key) in known or _is_near_miss(key, known)
    return f"{key!r} has no effect: {unknown(key, known)}" if meant else None


def _is_on(value: Any) -> bool:
    try:
        return bool(value)
    except (RuntimeError, TypeError, ValueError):  # several numbers
        return True


def _is_near_miss(key: str, known: list[str]) -> bool:
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(key.lower(), lower, n=1, cutoff=CLOSE)
    return bool(found) and f"_{lower[found[0]]}_" not in f"_{key}_"


def number(name: str, value: Any) -> float:
    """A hyperparameter's value, checked.

    Decay rates (``beta…`` and ``rho``) lie in [0, 1), those of :data:`NOT_NEGATIVE` are not, and all are finite.

    Raises:
        UserError: No number, or outside of its range.
    """
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        kind = "a finite number or a tensor of one element" if hasattr(value, "numel") else "a finite number"
        shown = repr(found) if isinstance(found, int | float) else type(found).__name__
        raise UserError(f"{name} must be {kind}, not {shown}")
    if name in NOT_NEGATIVE and found < 0:
        raise UserError(f"{name} must not be negative, as {found!r} is")
    if DECAY_RATE.fullmatch(name) and not 0 <= found < 1:
        raise UserError(f"{name} must be at least 0 and less than 1, not {found!r}")
    return float(found)


def plain(value: Any) -> Any:
    """The number in a tensor of one element or of numpy's types; anything else as it is. It needs no torch."""
    if isinstance(value, np.generic):
        return value.item()
    return value.item() if hasattr(value, "numel") and value.numel() == 1 else value

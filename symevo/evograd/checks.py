"""What :class:`symevo.EvoGrad` is given, checked: settings, controllers and states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from symevo.errors import UserError
from symevo.evograd.layout import SIZE


def settings(lr: Any, betas: Any, eps: Any) -> tuple[float, float, float, float]:
    """Adam's learning rate, β1, β2 and ε as numbers.

    Raises:
        UserError: One is none, or out of range; it names that one alone.
    """
    return _number("lr", lr), *decay_rates(betas), epsilon(eps)


def decay_rates(betas: Any) -> tuple[float, float]:
    """β1 and β2."""
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise UserError(f"betas must be two numbers, not {_brief(betas)}") from None
    return _number("the first of betas", beta1, below=1), _number("the second of betas", beta2, below=1)


def epsilon(eps: Any) -> float:
    """ε."""
    return _number("eps", eps)


def _number(name: str, value: Any, *, below: float = math.inf) -> float:
    right = f"at least 0 and {'finite' if below == math.inf else f'below {below}'}"
    try:
        # float() would take these too, and mean something that nobody asked for.
        found = math.nan if isinstance(value, bool | str | bytes | complex) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        found = math.nan
    if not 0 <= found < below:
        raise UserError(f"{name} must be a number, {right}, not {_brief(value)}")
    return found


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]}…"


def numbers(controllers: Any, dtype: torch.dtype) -> Tensor:
    """Controllers as a tensor ``[1, 3375]`` of their own, float64.

    Args:
        controllers: Numbers in whatever torch makes a tensor of.
        dtype: In which they are to be used.

    Raises:
        UserError: They are no such numbers, or not finite in that dtype.
    """
    try:
        given = torch.as_tensor(controllers).detach()
        if given.is_complex():
            raise TypeError  # torch would drop the imaginary parts
        found = given.to("cpu", torch.float64, copy=True)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        kind = getattr(controllers, "dtype", None)
        what = type(controllers).__name__ + (f" of {kind}" if kind else "")
        raise UserError(f"controllers are {SIZE} numbers or a safetensors file, not {what}") from None
    if found.shape not in ((SIZE,), (1, SIZE)):
        raise UserError(f"controllers of one individual are {SIZE} numbers, not of shape {list(found.shape)}")
    if wrong := int((~found.to(dtype).isfinite()).sum()):
        raise UserError(f"controllers must be finite in {dtype}: {wrong} of {SIZE} numbers are not")
    return found.reshape(1, SIZE)


def fitting(state: Any, own: Mapping[str, Tensor]) -> None:
    """Sees whether a state is of such a model as another one.

    Raises:
        UserError: It is not.
    """
    if not isinstance(state, Mapping):
        raise UserError(f"a state is a dictionary, as state_dict() of an EvoGrad returns it, not {_brief(state)}")
    for name, expected in own.items():
        found = state.get(name)
        if not isinstance(found, Tensor) or found.layout != torch.strided or found.is_meta:
            raise UserError(f"the state has no tensor {name!r}: give what state_dict() of an EvoGrad returned")
        if name in ("sizes", "kernels") and found.tolist() != expected.tolist():
            raise UserError(f"the state is of a model of {name} {found.tolist()}, this one has {expected.tolist()}")
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            wrong, right = (f"{list(one.shape)} of {one.dtype}" for one in (found, expected))
            raise UserError(f"{name!r} of the state is {wrong}, and for this model it must be {right}")


def sound(state: Mapping[str, Tensor]) -> None:
    """Sees whether training can have come to such a state.

    Raises:
        UserError: Its number of steps is negative, or its memory no finite numbers with second moments from 0 on.
    """
    if (t := int(state["t"])) < 0:
        raise UserError(f"'t' of the state is a number of steps, at least 0, not {t}")
    for name in ("m", "v", "h", "c"):
        if wrong := int((~state[name].isfinite()).sum()):
            raise UserError(f"{name!r} of the state must be finite: {wrong} of {state[name].numel()} numbers are not")
    if (least := float(state["v"].min())) < 0:
        raise UserError(f"'v' of the state are second moments, at least 0, not {least}")

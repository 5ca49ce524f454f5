"""Controllers as they are given, checked, and as a safetensors file that says what they were evolved with.

The metadata have one key, ``symevo``, with JSON text: ``format`` (1), Adam's ``betas`` and ``eps``, and of the search
``task``, ``scale``, ``seed`` and ``fitness``. A file without them is read too.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from symevo.errors import UserError
from symevo.evograd.layout import SIZE

FORMAT = 1
TENSOR = "controllers"
BETAS, EPS = (0.9, 0.999), 1e-8
"""Adam's, with which controllers are evolved."""
_KEY = "symevo"  # of several keys, safetensors would not keep the order: equal files would differ


@dataclass(frozen=True)
class Found:
    """Controllers, as they were given or as a file has them.

    Attributes:
        numbers: Not checked yet, where they were given.
        betas: Adam's decay rates that they were evolved with.
        eps: Its ε.
        about: All that the metadata say; empty where there are none.
    """

    numbers: Any
    betas: tuple[float, float] = BETAS
    eps: float = EPS
    about: dict[str, Any] = field(default_factory=dict)


def packed(
    numbers: np.ndarray[Any, Any], *, betas: Sequence[float] = BETAS, eps: float = EPS, **about: str | float | None
) -> bytes:
    """Controllers as the bytes of a file; the same ones for the same arguments.

    Args:
        numbers: ``[3375]``.
        betas: Adam's decay rates.
        eps: Its ε.
        **about: What else is to be known of them.
    """
    facts = {"format": FORMAT, "betas": list(betas), "eps": eps, **about}
    tensor = torch.tensor(np.asarray(numbers, np.float32))
    return save({TENSOR: tensor}, metadata={_KEY: json.dumps(facts, allow_nan=False)})


def opened(controllers: Any) -> Found:
    """Controllers as they are given; where that is a path, those of the file.

    Raises:
        UserError: The file cannot be used, see :func:`read`.
    """
    if not isinstance(controllers, str | os.PathLike):
        return Found(controllers)
    if not os.fspath(controllers):
        raise _unusable("''", "it names no file")
    return read(Path(os.fsdecode(controllers)))


def read(path: Path) -> Found:
    """Controllers from a file.

    Raises:
        UserError: There is no such file, it is damaged, holds something else, or is of a later version.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is a folder" if path.is_dir() else "it is no regular file")
        with safe_open(path, framework="pt") as file:
            tensor, text = _only(file), (file.metadata() or {}).get(_KEY)
        numbers(tensor, torch.float64)
        return Found(tensor) if text is None else Found(tensor, *_known(text))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
    raise _unusable(path, why)


def _unusable(path: Path | str, why: str) -> UserError:
    return UserError(f"controllers file {path} cannot be used ({why}): it must be a safetensors file of {SIZE} numbers")


def _only(file: Any) -> Tensor:
    """The one tensor of a file; ValueError where there is another."""
    names = set(file.keys())
    if TENSOR not in names:
        raise ValueError(f"it has no tensor {TENSOR!r}")
    if others := sorted(names - {TENSOR}):
        raise ValueError(f"it has a tensor {others[0][:40]!r} besides {TENSOR!r}")
    tensor = file.get_tensor(TENSOR)
    if not tensor.is_floating_point():
        raise ValueError(f"its numbers are of {tensor.dtype}, not floating point")
    return tensor


def _known(text: str) -> tuple[tuple[float, float], float, dict[str, Any]]:
    """β₁ and β₂, ε, and all that the metadata say; ValueError where they are none of ours."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its metadata are not JSON that can be read") from None
    if not isinstance(about, dict) or "format" not in about:
        raise ValueError("its metadata name no format")
    if type(about["format"]) is not int or about["format"] != FORMAT:
        found = " ".join(repr(about["format"]).split())[:40]
        raise ValueError(f"it has format {found}, this version of symevo reads {FORMAT}")
    if not {"betas", "eps"} <= about.keys():
        raise ValueError("its metadata need two betas and eps")
    return decay_rates(about["betas"]), epsilon(about["eps"]), about


def decay_rates(betas: Any) -> tuple[float, float]:
    """β1 and β2."""
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise UserError(f"betas must be two numbers, not {brief(betas)}") from None
    return number("the first of betas", beta1, below=1), number("the second of betas", beta2, below=1)


def epsilon(eps: Any) -> float:
    """ε."""
    return number("eps", eps)


def number(name: str, value: Any, *, below: float = math.inf) -> float:
    """A setting as a number from 0 to ``below``."""
    right = f"at least 0 and {'finite' if below == math.inf else f'below {below}'}"
    try:
        # float() would take these too, and mean something that nobody asked for.
        found = math.nan if isinstance(value, bool | str | bytes | complex) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        found = math.nan
    if not 0 <= found < below:
        raise UserError(f"{name} must be a number, {right}, not {brief(value)}")
    return found


def brief(value: Any) -> str:
    """What was given, in 40 characters."""
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

"""Evolved controllers as a file: one tensor in safetensors, and in its metadata what they were evolved with.

The metadata have one key, ``symevo``, with JSON text: ``format`` (1), Adam's ``betas`` and ``eps``, and of the search
``task``, ``scale``, ``seed`` and ``fitness``. A file without them is read too.
"""

from __future__ import annotations

import json
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
from symevo.evograd import checks
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
        checks.numbers(tensor, torch.float64)
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
    return checks.decay_rates(about["betas"]), checks.epsilon(about["eps"]), about

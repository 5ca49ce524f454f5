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

from symevo.errors import UserError
from symevo.neural.layout import SIZE

FORMAT = 1
TENSOR = "controllers"
BETAS, EPS = (0.9, 0.999), 1e-8
"""Adam's, with which controllers are evolved."""
_KEY = "symevo"  # of several keys, safetensors would not keep the order: equal files would differ


@dataclass(frozen=True)
class Found:
    """Controllers, as they were given or as a file has them.

    Attributes:
        numbers: Not checked yet.
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
    return read(Path(controllers)) if isinstance(controllers, str | os.PathLike) else Found(controllers)


def read(path: Path) -> Found:
    """Controllers from a file.

    Raises:
        UserError: There is no such file, it is damaged, holds something else, or is of a later version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            if TENSOR not in file.keys():  # noqa: SIM118  (it is no mapping)
                raise ValueError(f"it has no tensor {TENSOR!r}")
            numbers, text = file.get_tensor(TENSOR), (file.metadata() or {}).get(_KEY)
        return Found(numbers) if text is None else Found(numbers, *_known(json.loads(text)))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
    raise UserError(f"controllers file {path} cannot be used ({why}): it must be a safetensors file of {SIZE} numbers")


def _known(about: Any) -> tuple[tuple[float, float], float, dict[str, Any]]:
    """β₁ and β₂, ε, and all; ValueError where the metadata are none of ours."""
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise ValueError("its metadata name no format")
    if about["format"] > FORMAT:
        raise ValueError(f"it has format {about['format']}, this version of symevo reads {FORMAT}")
    try:
        beta1, beta2 = map(float, about["betas"])
        return (beta1, beta2), float(about["eps"]), about
    except (KeyError, TypeError, ValueError):
        raise ValueError("its metadata need two betas and eps") from None

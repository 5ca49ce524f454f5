"""What was found, as a file of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.rules.rule import Rule
from symevo.settings.model import Settings

FITNESS_OF = "on the network of its generation: not comparable over generations"
"""What the fitness of controllers says."""


def controllers_file(numbers: Any, settings: Settings, fitness: float) -> bytes:
    """Controllers of a run as the bytes of a safetensors file, see :mod:`symevo.evograd.files`."""
    from symevo.evograd.files import packed

    about = {"task": settings.tasks[0], "scale": settings.scale, "seed": settings.seed}
    return packed(numbers, **about, fitness=fitness, fitness_of=FITNESS_OF)


def rule_file(rule: Rule) -> bytes:
    """A rule as JSON, which :func:`symevo.rule` reads."""
    return (json.dumps(rule.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write(path: Path, data: bytes) -> None:
    """Writes a file, in place of one that is there.

    Raises:
        UserError: It cannot be written.
    """
    from symevo.training.snapshots import write_atomically

    try:
        write_atomically(path, data)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None

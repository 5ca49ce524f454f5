"""A system: a composition of shared parts under a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from symevo.registry import Registry


@dataclass(frozen=True)
class System:
    """What ``symevo run NAME`` runs.

    Attributes:
        name: Name on the command line.
        description: One line for ``symevo systems``.
        genome: Makes the genome kind for a preset.
        loop: Name of the evolutionary loop.
    """

    name: str
    description: str
    genome: Callable[[str], Any]
    loop: str = "generational"


SYSTEMS: Registry[System] = Registry("system")

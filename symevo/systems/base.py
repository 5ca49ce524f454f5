"""A system: a composition of shared parts under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from symevo.registry import Registry
from symevo.settings import Settings


@dataclass(frozen=True)
class System:
    """What ``symevo run NAME`` runs.

    Attributes:
        name: Name on the command line.
        description: One line for ``symevo systems``.
        genome: Makes the genome kind for a run's settings.
        backends: The update backend for each type of device, as measured; taken where the user names none.
        reads: Settings that only some systems have, and this one does.
    """

    name: str
    description: str
    genome: Callable[[Settings], Any]
    backends: Mapping[str, str] = field(default_factory=lambda: {"cpu": "compiled", "cuda": "compiled"})
    reads: frozenset[str] = frozenset()


SPECIAL = frozenset({"primitives", "max_depth", "max_size", "max_states", "polish"})
"""Settings that a system reads only if it says so."""

SYSTEMS: Registry[System] = Registry("system")

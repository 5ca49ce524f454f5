"""A system: a composition of shared parts under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from symevo.registry import Registry
from symevo.report.tables import run_report
from symevo.settings import Settings

Say = Callable[[str], object]


@dataclass(frozen=True)
class System:
    """What ``symevo run NAME`` runs.

    Attributes:
        name: Name on the command line.
        description: One line for ``symevo systems``.
        genome: Makes the genome kind for a run's settings.
        backends: The update backend for each type of device, as measured; taken where the user names none.
        reads: Settings that only some systems have, and this one does.
        report: The closing report of a run, as text.
        finish: Called once when a run has ended: writes what it leaves in its folder beside the store.
    """

    name: str
    description: str
    genome: Callable[[Settings], Any]
    backends: Mapping[str, str] = field(default_factory=lambda: {"cpu": "compiled", "cuda": "compiled"})
    reads: frozenset[str] = frozenset()
    report: Callable[[Any], str] = run_report
    finish: Callable[[Any, Say], None] | None = None


SPECIAL = frozenset(
    {"primitives", "max_depth", "max_size", "max_states", "polish", "rule", "tune", "mode", "mutation", "schedule"}
)
"""Settings that a system reads only if it says so."""

SYSTEMS: Registry[System] = Registry("system")

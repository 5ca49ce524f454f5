"""A system: a composition of shared parts under a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symevo.registry import Registry
from symevo.search.loops import Generation
from symevo.settings.model import Settings

Say = Callable[[str], object]


@dataclass(frozen=True)
class Phases:
    """What a system adds that has a loop of its own, in which what is trained changes from phase to phase.

    Attributes:
        search: ``(toolbox, population, *, generations, seed, start)`` -> generations.
        trainee: ``(settings, genome, individual)`` -> what a worker gets.
        individuals: ``(settings)`` -> how many are trained in a generation.
        facts: ``(toolbox, generation)`` -> what else its record holds.
        closing: ``(settings)`` -> how many trainings at most follow the last generation.
        suits: Raises UserError where a task, as a :class:`symevo.tasks.Workload`, is none for the system.
        networks: Whether individuals are networks in training that go on, with weights to be kept.
        enough: ``(settings, records)`` -> whether nothing more is to be expected.
        rivals: ``(settings, genome, line)`` -> lines of individuals, from first to last phase, that are trained once
            more on new networks when the run has ended, by what they are called; ``line`` is the best network's.
    """

    search: Callable[..., Iterator[Generation]]
    trainee: Callable[[Settings, Any, Any], Any]
    individuals: Callable[[Settings], int]
    facts: Callable[[Any, Generation], dict[str, Any]]
    closing: Callable[[Settings], int] = lambda settings: 0
    suits: Callable[[Any], None] = lambda workload: None
    networks: bool = True
    enough: Callable[[Settings, Sequence[Mapping[str, Any]]], bool] = lambda settings, records: False
    rivals: Callable[[Settings, Any, list[Any]], dict[str, list[Any]]] = lambda settings, genome, line: {}


@dataclass(frozen=True)
class System:
    """What ``symevo run NAME`` runs.

    Attributes:
        name: Name on the command line.
        description: One line for ``symevo systems``.
        genome: Makes the genome kind for a run's settings.
        backends: The update backend for each type of device, as measured; taken where the user names none.
        report: The closing report of a run, as text; None where it is that of rules.
        phases: What the system adds where it has a loop of its own; None where it has not.
        equations: Whether the equations of a candidate's rule tell what it is; else progress leaves them out.
        finish: Called once when a run has ended: writes what it leaves in its folder beside the store.
    """

    name: str
    description: str
    genome: Callable[[Settings], Any]
    backends: Mapping[str, str] = field(default_factory=lambda: {"cpu": "compiled", "cuda": "compiled"})
    report: Callable[[Any], str] | None = None
    phases: Callable[[Settings], Phases | None] = lambda settings: None
    equations: bool = True
    finish: Callable[[Any, Say], None] | None = None


SYSTEMS: Registry[System] = Registry("system")


def no_rule(settings: Settings, what: str) -> str | None:
    """Why what a run of these settings found is no rule; None where it is one.

    Args:
        settings: Of the run.
        what: What the message speaks of: the run's folder, or one of its candidates.
    """
    phases = SYSTEMS.get(settings.system).phases(settings)
    if phases is None:
        return None
    if not phases.networks:
        return (
            f"{what} holds controllers and no rule: use symevo transfer RUN, or best.optimizer(model) of the run in "
            "Python"
        )
    numbers = "; its numbers over time are the run's timetable()" if settings.mode == "dynamic" else ""
    return (
        f"{what} is of {settings.system}, whose networks evolve, and no rule: give a run of term-sum, expression or "
        f"hyperparameters{numbers}"
    )

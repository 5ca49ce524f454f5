"""From settings to what a search starts with: the plan of its trainings, and the user's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from symevo.engines.resolve import PLUGIN_PREFIX
from symevo.errors import UserError
from symevo.explain import SettingError
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule
from symevo.rules.schedule import schedule
from symevo.settings import Settings
from symevo.systems.evaluation import Plan, TaskPlan


def make_plan(
    settings: Settings, tasks: tuple[TaskPlan, ...], prints: Mapping[str, Any], *, split: str, weights: str | None
) -> Plan:
    """What decides an outcome, from the settings.

    Args:
        settings: Of the run.
        tasks: How each task is trained.
        prints: What each task is.
        split: What is scored on.
        weights: The folder of networks that go on, or None.
    """
    common: dict[str, Any] = {
        "device": settings.device,
        "backend": settings.backend,
        "threads": settings.threads,
        "split": split,
        "weights": weights,
        "run_seed": settings.seed,
        "prints": dict(prints),
        "plugins": [PLUGIN_PREFIX + Path(path).stem for path in settings.tasks_from],
        "data_dir": None if settings.data_dir is None else str(settings.data_dir),
    }
    return Plan(tasks, tuple(range(settings.seeds)), settings.steps, common)


def polishing(settings: Settings) -> int:
    """How many of the last generations polish: as many as were asked for, but at most half of all."""
    return min(settings.polish, settings.generations // 2)


def trained_by(settings: Settings, default: str) -> Rule:
    """The rule that a system trains with: setting ``rule``, under setting ``schedule``.

    Args:
        settings: Of the run.
        default: A classic, where no rule was named.

    Raises:
        UserError: It is none.
    """
    try:
        rule = CLASSICS.get(default) if settings.rule is None else Rule.from_json(settings.rule, finite=True)
    except UserError as error:
        raise SettingError("rule", f": {error}") from None
    return rule if settings.schedule is None else replace(rule, schedule=schedule(settings.schedule))


def seeded_individuals(genome: Any, settings: Settings) -> list[Any]:
    """The user's own rules as individuals.

    Raises:
        UserError: The genome cannot hold one of them.
    """
    found = []
    for data in settings.seed_rules:
        rule = Rule.from_json(dict(data), finite=True)
        individual = genome.from_rule(rule)
        if individual is None:
            fit = [name for name in CLASSICS if genome.from_rule(CLASSICS.get(name)) is not None]
            raise SettingError(
                "seed_rules",
                f": genome {settings.system} cannot hold rule {rule.name!r}; "
                f"it holds {', '.join(fit) or 'none of the classics'}, and what is built like them",
            )
        found.append(individual)
    return found

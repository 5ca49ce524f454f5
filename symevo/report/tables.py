"""Tables and rules as plain text for 80 columns."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from symevo.rules.rule import Rule
    from symevo.settings import Settings

WIDTH = 80
MAX_ROWS = 10
_INDENT = "     "


class Ranked(Protocol):
    """A scored rule."""

    @property
    def rule(self) -> Rule: ...
    @property
    def fitness(self) -> float: ...
    @property
    def per_task(self) -> Mapping[str, float]: ...
    @property
    def complexity(self) -> int: ...


class Reported(Protocol):
    """What a finished or interrupted run shows of itself."""

    @property
    def best(self) -> Ranked: ...
    @property
    def front(
        self,
    ) -> Any: ...  # a sequence of Ranked; the type checker sees a cached_property as no property
    @property
    def path(self) -> Path: ...
    @property
    def settings(self) -> Settings: ...
    def summary(self) -> dict[str, Any]: ...


def run_report(run: Reported) -> str:
    """The closing report: what was done, the best rules, and the winner in full."""
    summary, settings = run.summary(), run.settings
    path = os.path.relpath(run.path) if Path.cwd() in run.path.absolute().parents else str(run.path)
    head = (
        f"{settings.system}: {len(summary['generations'])} of {settings.generations} generations, "
        f"{summary['evaluations']:,} evaluations, {summary['seconds']:.0f} s, seed {settings.seed}"
    )
    parts = [
        "\n".join(textwrap.wrap(head, WIDTH)),
        front_table(run.front),
        f"The best rule\n\n{rule_report(run.best.rule, numbers=True)}",
        f'run folder  {path}\nuse it      rule = symevo.load("{path}").best.rule\n'
        f"            optimizer = symevo.Optimizer(model.parameters(), rule{_steps(run.best.rule)})",
    ]
    return "\n\n".join(parts)


def _steps(rule: Rule) -> str:
    """The argument without which a rule's schedule does not run."""
    return "" if rule.schedule.is_constant else ", total_steps=STEPS"


def front_table(front: Sequence[Ranked], *, width: int = WIDTH, rows: int = MAX_ROWS) -> str:
    """Rules with their scores, each above its equation.

    Scores by task stand in columns where these fit into ``width``, else on a line of their own.

    Args:
        front: Best first.
        width: Columns of the terminal.
        rows: More rules than this are counted, not shown.
    """
    if not front:
        return "no rule has a score yet"
    names = list(front[0].per_task)
    columns = sum(max(len(name), 7) + 2 for name in names) + 28 <= width
    head = [" #", "fitness", *(f"{name:>7}" for name in names if columns), " size", "states"]
    lines = ["  ".join(head)]
    for rank, one in enumerate(front[:rows], 1):
        scores = [f"{one.per_task[name]:>{max(len(name), 7)}.4f}" for name in names if columns]
        counts = [f"{one.complexity:>5}", f"{len(one.rule.states):>6}"]
        lines.append("  ".join([f"{rank:>2}", f"{one.fitness:>7.4f}", *scores, *counts]))
        if not columns:
            lines += _wrapped(", ".join(f"{name} {one.per_task[name]:.4f}" for name in names), width)
        lines += _wrapped(one_line(one.rule, numbers=True), width)
    if len(front) > rows:
        lines.append(f"and {len(front) - rows} more: symevo show RUN --json")
    return "\n".join(lines)


def rule_report(rule: Rule, *, numbers: bool = False, width: int = WIDTH) -> str:
    """One rule in full: equations, numbers, the schedule if there is one, program text.

    Args:
        rule: What to show.
        numbers: Write values into the equations, to four digits, instead of the names of hyperparameters.
        width: Columns of the terminal.
    """
    sections = {
        "equations": rule.unicode(numbers=numbers).splitlines(),
        "numbers": [rule.numbers()],
        "schedule": [] if rule.schedule.is_constant else [str(rule.schedule)],
        "program": list(rule.program.lines),
    }
    blocks = []
    for title, lines in sections.items():
        if not lines:
            continue
        wrapped = [part for line in lines for part in _wrapped(line, width)]
        blocks.append("\n".join([title, *wrapped]))
    return "\n".join(blocks)


def one_line(rule: Rule, *, numbers: bool = False) -> str:
    """What the rule does to a weight, as one equation in unicode; see :func:`rule_report` for ``numbers``."""
    found = _last_weight_line(rule.unicode(numbers=numbers))
    # θ′ is a value from an earlier line, which one line cannot show: write it out. That is slower.
    return _last_weight_line(rule.unicode(numbers=numbers, simplified=True)) if "′" in found else found


def _last_weight_line(equations: str) -> str:
    lines = equations.splitlines()
    return next((line for line in reversed(lines) if line.startswith("θ")), lines[-1])


def listing(entries: Mapping[str, str], *, width: int = WIDTH) -> str:
    """Names with one description each, in two columns."""
    names = max((len(name) for name in entries), default=0)
    blank = " " * (names + 2)
    lines = []
    for name, text in entries.items():
        first = f"{name:<{names}}  "
        lines.append(textwrap.fill(text or "-", width, initial_indent=first, subsequent_indent=blank))
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=_INDENT, subsequent_indent=_INDENT + "    ", break_on_hyphens=False
    ) or [_INDENT]

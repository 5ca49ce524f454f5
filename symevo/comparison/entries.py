"""Who takes part: the rules that were given, the baselines, and the controls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from symevo.comparison.ablation import ablations
from symevo.comparison.space import space_of
from symevo.errors import UserError
from symevo.evolution.evolve import Run, load
from symevo.registry import nearest
from symevo.reporting import compared
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule, names_run, rule

EVOLVED = "evolved"
RANDOM = "random search"


@dataclass(frozen=True)
class Entry:
    """Who takes part.

    Attributes:
        name: Unlike all others'.
        rule: With its own numbers and schedule.
        role: ``candidate``, ``baseline``, ``ablation`` or ``control``.
        of: The candidate that it is an ablation of.
        note: What an ablation leaves out.
    """

    name: str
    rule: Rule
    role: str
    of: str | None = None
    note: str = ""

    def described(self) -> compared.Contestant:
        """As the result has it."""
        tuned = space_of(self.rule).tuned
        return compared.Contestant(
            role=self.role, of=self.of, note=self.note, rule=self.rule.to_json(), tuned=tuned
        )  # fmt: skip


def run_of(source: str) -> Run | None:
    """The run that a source names; None where it names a rule.

    Raises:
        UserError: A run that evolves no rules, or has none yet.
    """
    if not source.strip():
        raise UserError("'' is no rule and no run: name a rule (a name, rule JSON file, or text) or a run's folder")
    if not names_run(source):
        return None
    run = load(source)
    run.as_rule()  # says so where there is none
    return run


def candidates(sources: Sequence[str], runs: Sequence[Run | None], *, taken: Iterable[str]) -> list[Entry]:
    """The rules that were given; of a run the best one.

    Args:
        sources: As given.
        runs: For each, the run that it names.
        taken: Names that they must not have.

    Raises:
        UserError: One is no rule, or its run has no finished candidate.
    """
    found: dict[str, Entry] = {}
    used = set(taken)
    for source, run in zip(sources, runs, strict=True):
        own = rule(source if run is None else run)
        plain = EVOLVED if run is not None else own.name
        name, count = plain, 1
        while name in used:
            count += 1
            name = f"{plain} (given)" if count == 2 else f"{plain} (given {count - 1})"
        used.add(name)
        found[name] = Entry(name, own, "candidate")
    return list(found.values())


def baselines(names: Sequence[str], reference: str | None, usual: str) -> tuple[list[Entry], str]:
    """The baselines, and the one that verdicts are about.

    Args:
        names: Of classic rules.
        reference: Its name; None: ``usual`` where that is a baseline, else the first one.
        usual: See there.

    Raises:
        UserError: An unknown name, one that is there twice, or a reference that is no baseline.
    """
    for name in names:
        if name not in CLASSICS:
            raise UserError(f"unknown baseline {name!r}: {nearest(name, list(CLASSICS))}")
        if names.count(name) > 1:
            raise UserError(f"--baselines names {name} twice: name each baseline once")
    if not names:
        raise UserError(f"--baselines names nothing: name some of {', '.join(CLASSICS)}")
    if reference is not None and reference not in names:
        raise UserError(f"--reference {reference!r} is no baseline here: {nearest(reference, list(names))}")
    chosen = reference or (usual if usual in names else names[0])
    return [Entry(name, CLASSICS.get(name), "baseline") for name in names], chosen


def ablated(candidate: Entry) -> list[Entry]:
    """A candidate's ablations."""
    parts = ablations(candidate.rule)
    return [
        Entry(f"{candidate.name} without {part.what}", part.rule, "ablation", candidate.name, part.what)
        for part in parts
    ]

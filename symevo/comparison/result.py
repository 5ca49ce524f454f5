"""The result of a comparison: every single score, what they say, and the file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from symevo.comparison.benchmark import ARMS, Benchmark, Trial
from symevo.comparison.entries import Entry
from symevo.comparison.metrics import (
    BUDGETS,
    lr_curve,
    lr_decades,
    median_curve,
    profile,
    steps_ratio,
    steps_to,
    target_of,
    typical,
)
from symevo.comparison.verdict import Finding, Question, findings, overall, too_few, verdict
from symevo.errors import UserError
from symevo.reporting import compared
from symevo.reporting.compared import Compared, Comparison, Interval, Profile, Ratio
from symevo.seeds import seed_for
from symevo.statistics import expected_best, interval, paired

SCORE = "accuracy + 0.05·exp(−loss) on the test split, or progress where there are no classes; tuned on validation"


def task_entry(
    one: Benchmark,
    entries: Mapping[str, Entry],
    answers: Sequence[Finding],
    *,
    held_out: bool,
    seed: int,
    reference: str,
) -> Compared:
    """What the result holds of a task.

    Args:
        one: What was trained.
        entries: All of them, by name.
        answers: Findings on this task.
        held_out: Whether no search saw it.
        seed: Of the comparison.
        reference: The baseline that verdicts are about.
    """
    best = best_baseline(one, entries)
    target = target_of([trial.result.outcome for trial in one.finals["tuned"][best]])
    measured = {name: _measured(one, name, target, seed) for name in one.trials}
    said = {
        name: verdict(
            [a for a in answers if a.question.first == name and a.question.family.startswith("reference")],
            reference,
            scheduled=not entries[name].rule.schedule.is_constant,
        )
        for name in one.trials
        if entries[name].role == "candidate"
    }
    return Compared(
        held_out=held_out, steps=one.steps, trials=one.budget.trials, replicates=one.budget.replicates,
        best_baseline=best, target_loss=target, contestants=measured,
        steps_ratio={name: _steps_ratio(one.task.name, measured, (name, reference), seed) for name in said},
        comparisons=[answer.pair() for answer in answers], verdicts=said,
    )  # fmt: skip


def best_baseline(one: Benchmark, entries: Mapping[str, Entry]) -> str:
    """The baseline whose tunings were best on the validation split: the test split has no say."""
    names = [name for name in one.trials if entries[name].role == "baseline"]
    return max(names, key=one.validated)


def questions(one: Benchmark, entries: Mapping[str, Entry], *, reference: str, seed: int) -> list[Question]:
    """All comparisons on a task: each candidate against the reference in every arm, and against all others tuned."""
    task, found = one.task.name, []

    def ask(first: str, second: str, arm: str, family: str, other: str | None = None) -> None:
        pair = one.scores(first, arm), one.scores(second, other or arm)
        name = arm if other is None else f"{arm}/{other}"
        compared = paired(*pair, seed=seed_for(seed, task, first, second, name, "resamples"))
        found.append(Question(first, second, name, family, compared))

    for name in one.trials:
        if entries[name].role != "candidate":
            continue
        for arm, other in (("tuned", None), ("constant", None), ("own", None), ("own", "constant"), ("own", "tuned")):
            ask(name, reference, arm, "reference, as it came" if arm == "own" else "reference, tuned alike", other)
        for second in one.trials:
            role = entries[second].role
            if second in (name, reference) or role == "candidate" or entries[second].of not in (None, name):
                continue
            ask(name, second, "tuned", role)
    return found


def answered(asked: Mapping[str, Sequence[Question]]) -> dict[str, list[Finding]]:
    """The findings on each task; Holm's correction runs over all of them."""
    answers = iter(findings([question for group in asked.values() for question in group]))
    return {task: [next(answers) for _ in group] for task, group in asked.items()}


def profiles(
    benchmarks: Sequence[Benchmark], tasks: Mapping[str, Compared], entries: Mapping[str, Entry]
) -> dict[str, Profile]:
    """Performance profiles of candidates and baselines over pairs (task, replicate)."""
    steps: dict[str, list[int | None]] = {}
    for one in benchmarks:
        for name in one.trials:
            if entries[name].role in ("candidate", "baseline"):
                finals = tasks[one.task.name].contestants[name].finals["tuned"]
                steps.setdefault(name, []).extend(final.steps_to_target for final in finals)
    return profile(steps)


def closing(tasks: Mapping[str, Compared], names: Sequence[str], reference: str) -> dict[str, str]:
    """A sentence on each candidate; another where the comparison could not have shown anything."""
    held_out = {task for task, one in tasks.items() if one.held_out}
    said = {
        name: overall({task: one.verdicts[name].gain for task, one in tasks.items()}, held_out, reference)
        for name in names
    }
    replicates = max(one.replicates for one in tasks.values())
    warning = too_few(replicates, candidates=len(names), tasks=len(tasks))
    return {name: f"{text}; {warning}" if warning else text for name, text in said.items()}


def write(found: Comparison, path: Path) -> None:
    """Writes the result atomically.

    Raises:
        UserError: The file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False))
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another file (-o)") from None


def _measured(one: Benchmark, name: str, target: float | None, seed: int) -> compared.Entry:
    pool = [trial for tuning in one.trials[name] for trial in tuning]
    scores = [trial.result.score for trial in pool]
    curve = lr_curve([trial.rule.lr for trial in pool], scores)
    finals = {arm: [_final(trial, target, one.steps) for trial in one.finals[arm][name]] for arm in ARMS}
    reached = [final.steps_to_target for final in finals["tuned"]]
    steps, seconds = typical(reached), one.step_seconds[name]
    piloted, tuned = one.piloted[name], one.finals["tuned"][name]
    budgets = {budget: expected_best(scores, budget) for budget in BUDGETS}
    return compared.Entry(
        ranges={each: (span.low, span.high, span.scale) for each, span in piloted.space.ranges.items()},
        pilot=compared.Pilot(rounds=piloted.rounds, trials=piloted.trials, at_edge=piloted.at_edge),
        trials=[[_trial(trial, piloted.space.ranges) for trial in tuning] for tuning in one.trials[name]],
        finals=finals,
        summary={arm: _summary(one.scores(name, arm), seed_for(seed, one.task.name, name, arm)) for arm in ARMS},
        budget_curve={budget: value for budget, value in budgets.items() if value is not None},
        diverged=compared.Diverged(trials=_share(pool), finals=_share(tuned)),
        lr_decades=lr_decades(curve) if "lr" in pool[0].rule.program.reads else None,
        lr_curve=list(curve),
        steps_to_target=steps,
        reached=sum(at is not None for at in reached) / len(reached),
        seconds_per_step=seconds,
        seconds_to_target=None if steps is None else steps * seconds,
        curve=median_curve([trial.result.outcome for trial in tuned], one.steps),
    )


def _trial(trial: Trial, tuned: Iterable[str]) -> compared.Trial:
    return compared.Trial(
        hyper={name: trial.rule.hyper[name] for name in tuned},
        schedule=trial.rule.schedule.to_json(),
        score=trial.result.score,
        status=trial.result.outcome["status"],
    )


def _final(trial: Trial, target: float | None, steps: int) -> compared.Final:
    outcome = trial.result.outcome
    return compared.Final(
        score=trial.result.score,
        accuracy=outcome.get("accuracy"),
        loss=outcome.get("loss"),
        status=outcome["status"],
        hyper=dict(trial.rule.hyper),
        schedule=trial.rule.schedule.to_json(),
        steps_to_target=steps_to(target, outcome, steps),
    )


def _summary(scores: Sequence[float], seed: int) -> Interval:
    ends = interval(scores, seed=seed)
    low, high = (end if math.isfinite(end) else None for end in ends)
    return Interval(mean=math.fsum(scores) / len(scores), low=low, high=high)


def _steps_ratio(task: str, entries: Mapping[str, compared.Entry], names: tuple[str, str], seed: int) -> Ratio:
    """What a candidate needs of the reference's steps to the target, tuned alike."""
    first, second = ([one.steps_to_target for one in entries[name].finals["tuned"]] for name in names)
    return steps_ratio(first, second, seed=seed_for(seed, task, *names, "steps"))


def _share(trials: Sequence[Trial]) -> float:
    return sum(trial.result.outcome["status"] != "ok" for trial in trials) / len(trials)

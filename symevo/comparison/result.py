"""The result of a comparison: every single score, what they say, what else is measured, and the file."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from symevo.comparison.benchmark import ARMS, Benchmark, Trial
from symevo.comparison.entries import Entry
from symevo.comparison.verdict import Finding, Question, findings, overall, too_few, verdict
from symevo.files import write_file
from symevo.reporting import compared
from symevo.reporting.compared import Compared, Comparison, Curve, Interval, Profile, Ratio
from symevo.seeds import seed_for
from symevo.statistics import expected_best, interval, paired

SCORE = "accuracy + 0.05·exp(−loss) on the test split, or progress where there are no classes; tuned on validation"
BUDGETS = (1, 5, 20, 50)
WITHIN = 0.01
"""A learning rate is good where its score is within this share of the best."""
STRETCHES = 10
"""Losses are averaged over such a share of the training."""
_RESAMPLES = 9999
BINS = 4
"""Bins in a decade of learning rates."""


def task_entry(
    one: Benchmark, entries: Mapping[str, Entry], answers: Sequence[Finding], *, held_out: bool, seed: int,
    reference: str,
) -> Compared:  # fmt: skip
    """What the result holds of a task; ``held_out`` where no search saw it."""
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
    """Write the result atomically."""
    text = json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False)
    write_file(path, text.encode(), hint="name another file (-o)")


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
    rule, result = trial.rule, trial.result
    return compared.Trial(
        hyper={name: rule.hyper[name] for name in tuned}, schedule=rule.schedule.to_json(), score=result.score,
        status=result.outcome["status"],
    )  # fmt: skip


def _final(trial: Trial, target: float | None, steps: int) -> compared.Final:
    rule, outcome = trial.rule, trial.result.outcome
    return compared.Final(
        score=trial.result.score, accuracy=outcome.get("accuracy"), loss=outcome.get("loss"),
        status=outcome["status"], hyper=dict(rule.hyper), schedule=rule.schedule.to_json(),
        steps_to_target=steps_to(target, outcome, steps),
    )  # fmt: skip


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


def lr_curve(lrs: Sequence[float], scores: Sequence[float]) -> list[tuple[float, float]]:
    """The best score in each quarter of a decade of learning rates: its middle, and the score."""
    best: dict[int, float] = {}
    for lr, score in zip(lrs, scores, strict=True):
        place = math.floor(math.log10(lr) * BINS)
        best[place] = max(score, best.get(place, -math.inf))
    return [(10 ** ((place + 0.5) / BINS), best[place]) for place in sorted(best)]


def lr_decades(curve: Sequence[tuple[float, float]]) -> float:
    """Decades of learning rates with a score within 1 % of the best."""
    best = max((score for _, score in curve), default=0.0)
    return sum(score >= best - WITHIN * abs(best) for _, score in curve) / BINS if best > 0 else 0.0


def smoothed(outcome: Mapping[str, Any]) -> list[float]:
    """The training loss at the ends of equal stretches, each averaged over the tenth of the training before it.

    Infinite before that tenth, and where a loss was not finite; empty for a training that diverged.
    """
    if outcome["status"] != "ok":
        return []
    curve = [math.inf if loss is None else loss for loss in outcome.get("curve") or []]
    wide = max(1, len(curve) // STRETCHES)
    return [math.fsum(curve[at - wide : at]) / wide if at >= wide else math.inf for at in range(1, len(curve) + 1)]


def target_of(outcomes: Sequence[Mapping[str, Any]]) -> float | None:
    """The training loss that three quarters of these trainings end at or below, so that one bad one does not decide.

    None where more than a quarter diverged, or where it is no less than what half of the trainings start with.
    """
    ends = sorted((smoothed(one) or [math.inf])[-1] for one in outcomes)
    target = ends[math.ceil(0.75 * (len(ends) - 1))]
    starts = [one["initial_loss"] for one in outcomes if one.get("initial_loss") is not None]
    trivial = bool(starts) and target >= statistics.median(starts)
    return None if math.isinf(target) or trivial else target


def steps_to(target: float | None, outcome: Mapping[str, Any], steps: int) -> int | None:
    """The first step at which the smoothed training loss is at most ``target``; None where it never is."""
    losses = smoothed(outcome)
    at = next((at for at, loss in enumerate(losses, 1) if target is not None and loss <= target), None)
    return None if at is None else round(at * steps / len(losses))


def typical(values: Sequence[int | None]) -> float | None:
    """The median, where None is more than anything; None if it is."""
    middle = statistics.median(math.inf if value is None else value for value in values)
    return None if math.isinf(middle) else middle


def steps_ratio(first: Sequence[int | None], second: Sequence[int | None], *, seed: int) -> Ratio:
    """How many steps the first takes to the target for each of the second.

    The ratio of the two medians over pairs, where None is more than anything, with the 95 % percentile interval of
    pairs drawn again and again. So 0 means that only the first gets there in most pairs, and infinity (None) only the
    second; a resample in which neither does counts as no difference.
    """
    import numpy as np

    pairs = np.array([[math.inf if one is None else one for one in pair] for pair in zip(first, second, strict=True)])
    drawn = np.random.default_rng(seed).integers(len(pairs), size=(_RESAMPLES, len(pairs)))

    def ratios(medians: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return medians[..., 0] / medians[..., 1]

    found = float(ratios(np.median(pairs, axis=0)))
    again = ratios(np.median(pairs[drawn], axis=1))
    low, high = np.quantile(np.nan_to_num(again, nan=1.0, posinf=math.inf), (0.025, 0.975), method="nearest")
    ratio, low, high = (value if math.isfinite(value) else None for value in (found, float(low), float(high)))
    return Ratio(ratio=ratio, low=low, high=high)


def profile(steps: Mapping[str, Sequence[int | None]]) -> dict[str, Profile]:
    """Performance profiles (Dolan and Moré 2002), as AlgoPerf draws them; a step of None is a target never reached.

    The share of problems on which a method needs at most τ times the steps of the fastest::

        ρ(τ) = |{p : sₚ ≤ τ · min over methods of sₚ}| / |{p}|
    """
    problems = list(zip(*steps.values(), strict=True))
    fastest = [min((one for one in problem if one is not None), default=None) for problem in problems]
    found = {}
    for name, needed in steps.items():
        ratios = [n / f for n, f in zip(needed, fastest, strict=True) if n is not None and f is not None]
        places = sorted({1.0, *ratios})
        shares = [sum(ratio <= place for ratio in ratios) / max(len(problems), 1) for place in places]
        found[name] = Profile(ratio=places, share=shares)
    return found


def median_curve(outcomes: Sequence[Mapping[str, Any]], steps: int) -> Curve:
    """The median training loss over trainings that ended, at the ends of equal stretches."""
    curves = [one["curve"] for one in outcomes if one["status"] == "ok"]
    length = min(map(len, curves), default=0)
    losses = [statistics.median(curve[at] for curve in curves) for at in range(length)]
    return Curve(step=[round((at + 1) * steps / length) for at in range(length)], loss=losses)

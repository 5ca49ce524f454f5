"""Verdicts: what a comparison shows of a rule on a task, in words, by rules that stand here.

All comparisons are of test scores, paired over replicates. A finding is a p below 0.01 after Holm's correction over all
that was asked together, a 95 % interval without 0, and a mean of at least 0.001. The level is strict because people
compare many rules, often: of equal ones, one in a hundred may be called different. In this order:

1. Tuned alike, each with the schedule that tuning gave it, the rule is better than the reference:
   the gain is **the rule's**.
2. It is worse: it is **worse**, whatever its own numbers do.
3. It is better where both are tuned at a constant learning rate, and no difference is shown with schedules:
   the gain is **the schedule's**, which the reference lacks only at a constant rate.
4. No difference is shown either way, but the rule as it came (its own numbers, its own schedule) is better than the
   reference with its default numbers. If it came with a schedule, and is better than the reference tuned at a constant
   rate but not than that tuned with a schedule, the gain is **the schedule's**; else it is **the learning rate's** (and
   of the other numbers that are tuned).
5. Otherwise it is **not there**: no difference shown. That is no proof of equality; the interval says how large a
   difference there may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symevo.reporting.compared import Pair, Verdict
from symevo.statistics import Paired, holm

LEVEL = 0.01
"""A finding has a corrected p below this."""
LEAST = 1e-3
"""A smaller mean difference of scores is none: one rule in two wordings differs by rounding, always the same way."""
BETTER, WORSE, NONE = "better", "worse", "no difference shown"
RULE, SCHEDULE, RATE = "rule", "schedule", "learning rate"


@dataclass(frozen=True)
class Question:
    """One comparison of two entries on a task, corrected together with those of its family.

    The arm says which final trainings: ``tuned``, ``constant``, or ``own`` of the first against that of the second, or
    against its ``constant`` or ``tuned`` ones, as ``own/constant``.
    """

    first: str
    second: str
    arm: str
    family: str
    paired: Paired


@dataclass(frozen=True)
class Finding:
    """A question with its answer in words, and the corrected p."""

    question: Question
    p: float
    words: str

    def pair(self) -> Pair:
        """As the result has it."""
        one = self.question
        numbers = one.paired.to_json()
        return Pair(first=one.first, second=one.second, arm=one.arm, **numbers, p_holm=self.p, words=self.words)


def corrected(questions: Sequence[Question]) -> list[float]:
    """The p of each question, corrected by Holm's method within its family."""
    found = [1.0] * len(questions)
    for family in dict.fromkeys(one.family for one in questions):
        places = [at for at, one in enumerate(questions) if one.family == family]
        for at, p in zip(places, holm([questions[at].paired.p for at in places]), strict=True):
            found[at] = p
    return found


def findings(questions: Sequence[Question]) -> list[Finding]:
    """The answers, corrected within each family."""
    answers = zip(questions, corrected(questions), strict=True)
    return [Finding(one, p, called(one.paired, p)) for one, p in answers]


def called(one: Paired, p: float) -> str:
    """``better``, ``worse`` or ``no difference shown``, for a corrected p."""
    if not p < LEVEL or abs(one.mean) < LEAST or not (one.low > 0 or one.high < 0):
        return NONE
    return BETTER if one.mean > 0 else WORSE


def verdict(answers: Sequence[Finding], reference: str, *, scheduled: bool = False) -> Verdict:
    """The verdict of the rules above.

    The answers are those on the candidate against the reference, on one task, in all five arms; ``scheduled`` where the
    candidate came with a schedule of its own.
    """
    said = {one.question.arm: one for one in answers}
    words = {arm: one.words for arm, one in said.items()}
    tuned, constant = said["tuned"], said["constant"]
    if words["tuned"] == BETTER:
        also = {BETTER: "better too", WORSE: "worse", NONE: NONE}[words["constant"]]
        text = f"the gain is the rule's: tuned alike, {numbers(tuned)} against {reference}; at a constant rate, {also}"
        return Verdict(gain=RULE, text=text)
    if words["tuned"] == WORSE:
        return Verdict(gain="worse", text=f"worse than {reference}: tuned alike, {numbers(tuned)}")
    alike = f"tuned alike, no difference to {reference} shown ({numbers(tuned)})"
    if words["constant"] == BETTER:
        text = f"the gain is the schedule's: at a constant rate {numbers(constant)}, but with schedules {alike}"
        return Verdict(gain=SCHEDULE, text=text)
    if words["own"] != BETTER:
        return Verdict(gain="none", text=alike)
    untuned = f"its gain over {reference}'s default numbers ({numbers(said['own'])})"
    if scheduled and words["own/constant"] == BETTER and words["own/tuned"] != BETTER:
        return Verdict(gain=SCHEDULE, text=f"{untuned} is the schedule's: {alike}")
    return Verdict(gain=RATE, text=f"{untuned} is the learning rate's and other numbers': {alike}")


def numbers(one: Finding) -> str:
    """A difference with its interval and p."""
    found = one.question.paired
    return f"{found.mean:+.4f} (95 % {found.low:+.4f} to {found.high:+.4f}, p {shown_p(one.p)})"


def shown_p(p: float) -> str:
    """A p as people write it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def too_few(replicates: int, *, candidates: int, tasks: int) -> str:
    """Why so few tunings can show nothing, in words; nothing where they can.

    Of n pairs the signed-rank test's p is at least 2^(1 − n), and Holm's correction of q questions multiplies the least
    p by q. Each candidate is asked about tuned and at a constant rate, on every task: q = 2 · candidates · tasks.
    """
    asked = 2 * candidates * tasks
    fewest = next(count for count in range(1, 1024) if asked * 2.0 ** (1 - count) < LEVEL)
    if replicates >= fewest:
        return ""
    return (
        f"{replicates} tunings are too few to show any difference: {asked} questions at p < {LEVEL:g} need {fewest} at"
        " least (--replicates)"
    )


def overall(verdicts: dict[str, str], held_out: set[str], reference: str) -> str:
    """Whose the gain is on each task, in one sentence on all of them."""
    parts = []
    for title, tasks in (
        ("tasks of the search" if held_out else "tasks", [task for task in verdicts if task not in held_out]),
        ("held-out tasks", [task for task in verdicts if task in held_out]),
    ):
        if tasks:
            gains = [verdicts[task] for task in tasks]
            counts = [
                f"{word} on {count}"
                for word, count in (
                    ("better", gains.count(RULE)), ("worse", gains.count("worse")),
                    ("no difference shown", sum(gain not in (RULE, "worse") for gain in gains)),
                )
                if count
            ]  # fmt: skip
            parts.append(f"{', '.join(counts)} of {len(tasks)} {title}")
    return f"tuned alike, against {reference}: {'; '.join(parts)}"

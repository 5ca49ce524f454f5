"""Verdicts on made-up scores, and what is measured besides."""

from __future__ import annotations

import json
import math
import random
import re

import numpy as np
import pytest
from compare_tasks import made
from scipy.stats import wilcoxon

from symevo.comparison.benchmark import ARMS
from symevo.comparison.entries import Entry
from symevo.comparison.result import (
    answered,
    best_baseline,
    lr_curve,
    lr_decades,
    profile,
    questions,
    smoothed,
    steps_ratio,
    steps_to,
    target_of,
    task_entry,
    typical,
)
from symevo.comparison.verdict import NONE, overall, too_few
from symevo.reporting.compared import Comparison, Profile, Ratio
from symevo.reporting.text.comparison import comparison_report
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule
from symevo.statistics import expected_best, expected_best_interval, holm

COUNT = 20
RULES = {"evolved": rule("theta = theta - lr*sign(g)"), "adamw": CLASSICS.get("adamw"), "lion": CLASSICS.get("lion")}
PEOPLE = {name: Entry(name, one, "candidate" if name == "evolved" else "baseline") for name, one in RULES.items()}
NOISE = {name: 0.01 * np.random.default_rng(at).standard_normal(COUNT) for at, name in enumerate(RULES)}


def entry(**gains: float) -> dict:
    """A task's entry where the evolved rule is better by these gains in these arms; ``default`` is AdamW's own."""
    scores = {
        arm: {name: list(0.9 + NOISE[name] + (gains.get(arm, 0) if name == "evolved" else 0)) for name in RULES}
        for arm in ("tuned", "constant", "own")
    }
    scores["own"]["adamw"] = list(0.9 + NOISE["adamw"] + gains.get("default", 0))
    scores["constant"]["adamw"] = list(np.array(scores["constant"]["adamw"]) + gains.get("untuned", 0))
    benchmark = made(RULES, scores)
    answers = answered({"t": questions(benchmark, PEOPLE, reference="adamw", seed=0)})["t"]
    return task_entry(benchmark, PEOPLE, answers, held_out=False, seed=0, reference="adamw").model_dump(mode="json")


@pytest.mark.parametrize(
    ("gains", "gain"),
    [
        ({}, "none"),
        ({"tuned": 0.03, "constant": 0.03, "own": 0.03}, "rule"),
        ({"tuned": 0.03}, "rule"),
        ({"tuned": -0.03, "own": 0.5}, "worse"),
        ({"constant": 0.03, "own": 0.03}, "schedule"),
        ({"default": -0.3}, "learning rate"),
        ({"default": -0.3, "untuned": -0.1, "constant": -0.1}, "learning rate"),
    ],
)
def test_the_verdict_says_whose_the_gain_is(gains, gain):
    found = entry(**gains)["verdicts"]["evolved"]
    assert found["gain"] == gain
    assert "adamw" in found["text"]


def test_a_schedule_of_its_own_that_the_reference_can_have_too():
    from dataclasses import replace

    from symevo.rules.schedule import Schedule

    before = RULES["evolved"], PEOPLE["evolved"]
    scheduled = replace(before[0], schedule=Schedule(0, "cosine"))
    try:
        RULES["evolved"], PEOPLE["evolved"] = scheduled, Entry("evolved", scheduled, "candidate")
        found = entry(default=-0.3, untuned=-0.1, constant=-0.1)["verdicts"]["evolved"]
    finally:
        RULES["evolved"], PEOPLE["evolved"] = before
    assert found["gain"] == "schedule"


def test_equal_rules_are_seldom_called_different():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(40):
        scores = {name: list(0.9 + 0.01 * rng.standard_normal(COUNT)) for name in ("evolved", "adamw")}
        rules = {name: RULES[name] for name in scores}
        benchmark = made(rules, dict.fromkeys(("tuned", "constant", "own"), scores))
        wrong += answered({"t": questions(benchmark, PEOPLE, reference="adamw", seed=0)[:1]})["t"][0].words != NONE
    assert wrong <= 3, "the level is 1 %: 4 of 40 would come less than once in a thousand times"


def test_a_difference_of_rounding_is_none_however_sure():
    tiny = made(
        {name: RULES[name] for name in ("evolved", "adamw")},
        {arm: {"evolved": [0.9 + 1e-6 + 1e-8 * at for at in range(20)], "adamw": [0.9] * 20} for arm in ARMS},
    )
    (found,) = answered({"t": questions(tiny, PEOPLE, reference="adamw", seed=0)[:1]})["t"]
    assert found.p < 0.001
    assert found.words == NONE


def test_the_correction_grows_with_the_questions():
    scores = {name: list(0.9 + NOISE[name] + (0.02 if name == "evolved" else 0)) for name in RULES}
    benchmark = made(RULES, dict.fromkeys(("tuned", "constant", "own"), scores))
    asked = questions(benchmark, PEOPLE, reference="adamw", seed=0)
    alone = answered({"t": asked})["t"]
    many = answered(dict.fromkeys("tuvwxyz", asked))["t"]
    assert many[0].p >= 6 * alone[0].p > 0


def test_an_entry_is_json_and_holds_every_score():
    found = json.loads(json.dumps(entry(tuned=0.03), allow_nan=False))
    one = found["contestants"]["evolved"]
    assert len(one["trials"]) == COUNT
    assert len(one["finals"]["tuned"]) == len(one["finals"]["own"]) == COUNT
    assert one["summary"]["tuned"]["low"] < one["summary"]["tuned"]["mean"] < one["summary"]["tuned"]["high"]
    assert found["best_baseline"] in ("adamw", "lion")


def test_the_best_baseline_is_chosen_on_validation():
    scores = {arm: {name: [0.9] * 2 for name in RULES} for arm in ("tuned", "constant", "own")}
    scores["tuned"]["lion"] = [1.0, 1.0]  # on the test split
    benchmark = made(RULES, scores)
    assert best_baseline(benchmark, PEOPLE) == "adamw"


def test_the_report_has_a_line_for_each_contestant():
    data = {
        "candidates": ["evolved"], "reference": "adamw", "score": "accuracy", "seed": 0,
        "contestants": {name: one.described() for name, one in PEOPLE.items()}, "tasks": {"t": entry(tuned=0.03)},
        "overall": {"evolved": overall({"t": "rule"}, set(), "adamw")}, "controls": {"random": None},
    }  # fmt: skip
    text = comparison_report(Comparison.model_validate(data))
    assert max(map(len, text.splitlines())) <= 80
    for word in ("evolved", "adamw", "lion", "the gain is the rule's", "better on 1 of 1 tasks"):
        assert word in text


def test_expected_best_of_few_trials():
    scores = [3.0, 1.0, 2.0]
    assert expected_best(scores, 1) == pytest.approx(2)
    assert expected_best(scores, 2) == pytest.approx((3 + 3 + 2) / 3)
    assert expected_best(scores, 3) == pytest.approx(3)
    assert expected_best(scores, 4) is None
    assert expected_best(list(range(400)), 50) == pytest.approx(401 * 50 / 51 - 1)


def test_the_interval_of_the_expected_best_is_over_replicates():
    """For one trial it is that of the mean of replicate means, as Student has it."""
    groups = np.random.default_rng(0).random((6, 5)).tolist()
    means = np.mean(groups, axis=1)
    reach = 2.570582 * np.std(means, ddof=1) / math.sqrt(6)  # t with 5 degrees of freedom
    assert expected_best_interval(groups, 1) == pytest.approx((means.mean() - reach, means.mean() + reach))
    low, high = expected_best_interval(groups, 20)
    assert low < expected_best(np.ravel(groups).tolist(), 20) < high
    for few, budget in ((groups[:1], 1), (groups, 26), (groups, 31)):
        assert all(map(math.isnan, expected_best_interval(few, budget))), "nothing to compare, or too few trials"


def test_the_interval_of_the_expected_best_covers_it():
    """Of uniform trials the best of 5 is expected at 5/6."""
    draws = np.random.default_rng(1).random((400, 20, 4))
    ends = [expected_best_interval(groups.tolist(), 5) for groups in draws]
    assert 0.9 < np.mean([low <= 5 / 6 <= high for low, high in ends]) < 0.98


def test_decades_of_learning_rates_within_1_percent():
    lrs = [10 ** (-4 + at / 100) for at in range(400)]  # four decades
    scores = [1.0 if 1e-3 <= lr < 1e-2 else 0.9 for lr in lrs]
    curve = lr_curve(lrs, scores)
    assert len(curve) == 16
    assert lr_decades(curve) == pytest.approx(1.0)
    assert lr_decades([]) == 0


def test_steps_to_a_target():
    outcome = {"status": "ok", "curve": [3.0, 2.0, None, 1.0]}
    assert steps_to(2.0, outcome, 200) == 100
    assert steps_to(1.5, outcome, 200) == 200
    assert steps_to(0.5, outcome, 200) is None
    assert steps_to(None, outcome, 200) is None
    assert steps_to(2.0, outcome | {"status": "diverged"}, 200) is None
    assert typical([1, None, 3]) == 3
    assert typical([1, None, None]) is None


def test_a_lucky_stretch_is_not_the_target():
    curve = [1.0] * 20 + [0.0] + [1.0] * 19 + [0.5] * 10
    outcome = {"status": "ok", "curve": curve}
    assert steps_to(0.5, outcome, 500) == 450  # the last five of fifty
    assert steps_to(0.8, outcome, 500) == 210
    assert smoothed(outcome)[-1] == 0.5


def test_steps_are_the_candidates_over_the_references():
    benchmark = made(RULES, {arm: {name: [0.9] * 4 for name in RULES} for arm in ARMS})
    for name, steep in (("evolved", 4), ("adamw", 2), ("lion", 1)):
        for trial in benchmark.finals["tuned"][name]:
            trial.result.outcome["curve"] = [1 - 0.1 * min(steep * at, 8) for at in range(1, 9)]
    entries = {name: Entry(name, RULES[name], "baseline" if name != "evolved" else "candidate") for name in RULES}
    answers = answered({"t": questions(benchmark, entries, reference="adamw", seed=0)})["t"]
    found = task_entry(benchmark, entries, answers, held_out=False, seed=0, reference="adamw")
    assert found.target_loss == pytest.approx(0.2)
    steps = {name: one.steps_to_target for name, one in found.contestants.items()}
    assert steps["evolved"] < steps["adamw"] < steps["lion"]
    assert found.steps_ratio["evolved"].ratio == pytest.approx(steps["evolved"] / steps["adamw"])


def test_one_bad_training_does_not_set_the_target():
    good = [{"status": "ok", "curve": [2.0, 0.1 + 0.01 * at], "initial_loss": 5.0} for at in range(16)]
    assert target_of(good) == pytest.approx(0.1 + 0.12)
    assert sum(steps_to(target_of(good), one, 20) is not None for one in good) == 13  # three quarters at least
    worse = [*good[:15], {"status": "ok", "curve": [2.0, 1e5], "initial_loss": 5.0}]
    assert target_of(worse) == target_of(good)
    failed = {"status": "diverged", "curve": []}
    assert target_of([*good[:12], *[failed] * 4]) is None
    assert target_of([one | {"initial_loss": 0.2} for one in good]) is None  # no less than at the start


def test_the_ratio_of_steps_has_an_interval():
    rng = random.Random(0)
    second = [rng.randint(90, 110) for _ in range(20)]
    faster = steps_ratio([round(0.8 * steps) for steps in second], second, seed=0)
    assert faster.ratio == pytest.approx(0.8, abs=0.01)
    assert 0.7 < faster.low <= faster.ratio <= faster.high < 0.9
    assert steps_ratio(second, second, seed=0) == Ratio(ratio=1.0, low=1.0, high=1.0)  # pairs are drawn as pairs
    shuffled = steps_ratio(rng.sample(second, 20), second, seed=0)
    assert shuffled.low < 1 < shuffled.high


def test_the_ratio_of_steps_where_the_target_is_not_reached():
    never, always = [None] * 9, [50] * 9
    assert steps_ratio(always, never, seed=0) == Ratio(ratio=0.0, low=0.0, high=0.0)
    assert steps_ratio(never, always, seed=0) == Ratio(ratio=None, low=None, high=None)
    assert steps_ratio(never, never, seed=0) == Ratio(ratio=None, low=1.0, high=1.0)
    half = steps_ratio([50] * 5 + [None] * 4, always, seed=0)
    assert (half.ratio, half.low, half.high) == (1.0, 1.0, None)


def test_performance_profiles():
    found = profile({"a": [10, 20, None], "b": [20, 10, None]})
    assert found["a"] == Profile(ratio=[1.0, 2.0], share=[1 / 3, 2 / 3])
    assert math.isclose(found["b"].share[-1], 2 / 3)


def test_tunings_that_are_too_few_are_said():
    assert too_few(20, candidates=1, tasks=5) == ""
    assert too_few(12, candidates=1, tasks=3) == ""  # the budget quick
    text = too_few(5, candidates=1, tasks=3)
    assert "5 tunings are too few" in text
    fewest = int(re.search(r"need (\d+)", text)[1])
    assert too_few(fewest, candidates=1, tasks=3) == ""
    assert too_few(fewest - 1, candidates=1, tasks=3)
    least = wilcoxon(np.arange(1.0, fewest)).pvalue  # one pair less, and all of one sign: the least p that there is
    assert holm([least] + [1.0] * 5)[0] >= 0.01


def test_a_rule_without_a_learning_rate_has_no_decades_of_it():
    rules = {"evolved": rule("theta = theta - 0.01*g"), "adamw": CLASSICS.get("adamw")}
    benchmark = made(rules, {arm: {name: [0.9, 0.8] for name in rules} for arm in ARMS})
    entries = {name: Entry(name, one, "baseline") for name, one in rules.items()}
    found = task_entry(benchmark, entries, [], held_out=False, seed=0, reference="adamw").contestants
    assert found["evolved"].lr_decades is None
    assert found["adamw"].lr_decades is not None

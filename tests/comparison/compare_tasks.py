"""Contests without training: scores that a test makes up."""

from __future__ import annotations

from symevo.comparison.benchmark import ARMS, Benchmark, Piloted, Trial
from symevo.comparison.protocol import Budget
from symevo.comparison.space import space_of
from symevo.comparison.trainings import Result
from symevo.evolution.evaluator import TaskPlan
from symevo.rules.rule import Rule


def made(rules: dict[str, Rule], scores: dict[str, dict[str, list[float]]]) -> Benchmark:
    """A benchmark with these test scores, by arm and entry."""

    def trial(rule: Rule, score: float) -> Trial:
        outcome = {"status": "ok", "curve": [1.0, score], "train_loss": score, "accuracy": score, "loss": 0.1}
        return Trial(rule, Result(score, outcome))

    count = len(next(iter(scores["tuned"].values())))
    budget = Budget(trials=2, replicates=count)
    piloted = {name: Piloted(space_of(rule), 1, 32, at_edge=False) for name, rule in rules.items()}
    trials = {name: [[trial(rule, 0.5), trial(rule, 0.6)]] * count for name, rule in rules.items()}
    finals = {arm: {name: [trial(rules[name], one) for one in scores[arm][name]] for name in rules} for arm in ARMS}
    return Benchmark(TaskPlan("t", "products", 50), 10, budget, piloted, trials, finals, dict.fromkeys(rules, 1e-4))

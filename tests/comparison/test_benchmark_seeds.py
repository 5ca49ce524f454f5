"""Which seeds and splits a benchmark trains with, seen by what stands in for the trainings."""

from symevo.comparison.benchmark import benchmark
from symevo.comparison.protocol import Budget
from symevo.comparison.trainings import Result
from symevo.evolution.evaluator import TaskPlan
from symevo.rules.classic import CLASSICS

RULES = {name: CLASSICS.get(name) for name in ("adamw", "lion", "nesterov")}
BUDGET = Budget(trials=3, replicates=4, pilot=4, rounds=1)


class Recorded:
    """Trains nothing, and scores a rule by its learning rate."""

    def __init__(self):
        self.calls = []

    def run(self, task, jobs, *, split, expected=True):
        self.calls.append((split, list(jobs)))
        outcome = {"status": "ok", "seconds": 1.0, "curve": [1.0]}
        return [Result(1 / (1 + rule.lr), outcome) for rule, _ in jobs]


def trained():
    trainings = Recorded()
    benchmark(RULES, TaskPlan("noisy-lsq", "products", 8), trainings, BUDGET, seed=5, steps=10)
    return trainings.calls


def test_what_is_tested_has_seen_no_seed_of_its_tuning():
    calls = trained()
    assert [split for split, _ in calls] == ["validation", "validation", "test", "validation"]
    pilot, tuning, tested, _ = ({seed for _, seed in jobs} for _, jobs in calls)
    assert len(tuning) == len(tested) == BUDGET.replicates
    assert not tuning & tested
    assert not pilot & (tuning | tested)


def test_a_replicate_has_one_seed_for_all_entries_and_another_than_the_next():
    tuning, tested = trained()[1:3]
    count = BUDGET.trials * BUDGET.replicates
    each = [[seed for _, seed in tuning[1][at : at + count]] for at in range(0, len(tuning[1]), count)]
    assert len(each) == len(RULES)
    assert each[0] == each[1] == each[2]
    final = [seed for _, seed in tested[1]]
    assert [final[at : at + BUDGET.replicates] for at in range(0, len(final), BUDGET.replicates)] == [
        final[: BUDGET.replicates]
    ] * (3 * len(RULES))  # three arms

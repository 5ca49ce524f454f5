"""Evaluation of a generation with an engine that fails on purpose."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from symevo.engines.base import SETUP_FAILED, Reply
from symevo.errors import RunFailed
from symevo.evolution.evaluator import Evaluator, Plan, TaskPlan, cut
from symevo.rules.rule import rule
from symevo.runs import Store
from symevo.training.fitness import FAILED, FITNESS
from symevo.training.job import Outcome, TrainingJob

BASE = rule("theta = theta - lr*g", lr=0.1)
PLAN = Plan((TaskPlan("a", "products", 4), TaskPlan("b", "single", 1)), (0, 1), 10, {})


class FakeEngine:
    """Scores a rule by its learning rate; a chunk that holds lr = 13 fails."""

    def __init__(self, status="crashed"):
        self.items: list[TrainingJob] = []
        self.status, self.closed = status, False

    def map(self, fn, items, *, timeout, retries, on_result):
        self.items += items
        for index in reversed(range(len(items))):  # outcomes arrive in any order
            lrs = [one.hyper["lr"] for one in items[index].candidates]
            if 13.0 in lrs:
                on_result(index, Reply(self.status, "killed by SIGSEGV", 1.0, 0, 2))
            else:
                on_result(index, Reply("ok", [self.row(lr) for lr in lrs], 2.0, 0, 1))

    def row(self, lr):
        return Outcome("ok", metric="accuracy", accuracy=lr, loss=100.0)

    def close(self):
        self.closed = True


@pytest.fixture
def setting(tmp_path):
    tasks = [{"name": "a", "stacking": "products", "rows": 2}]
    store = Store.create(tmp_path / "run", {"search": {"tasks": ["a"]}, "execution": {}, "tasks": tasks})
    engine = FakeEngine()
    evaluator = Evaluator(
        lambda individual: BASE.with_hyper(lr=individual.lr),
        PLAN, fitness=FITNESS.get("default"), store=store, make_engine=lambda setup: engine,
    )  # fmt: skip
    return SimpleNamespace(store=store, engine=engine, evaluator=evaluator, path=tmp_path / "run")


def people(*lrs):
    return [SimpleNamespace(lr=lr) for lr in lrs]


def test_only_the_guilty_member_of_a_chunk_pays(setting):
    values = setting.evaluator.many(people(0.1, 13.0, 0.2, 0.3, 0.4))
    assert values == [
        (pytest.approx(0.1),),
        (FAILED,),
        (pytest.approx(0.2),),
        (pytest.approx(0.3),),
        (pytest.approx(0.4),),
    ]
    verdict = setting.evaluator.verdicts[BASE.with_hyper(lr=13.0).identity]
    assert (verdict.status, verdict.reason) == ("crashed", "killed by SIGSEGV")


def test_equal_candidates_train_once_and_never_again(setting):
    first = setting.evaluator.many(people(0.1, 0.1, 0.2, 0.1))
    assert [value for (value,) in first] == pytest.approx([0.1, 0.1, 0.2, 0.1])
    assert sum(len(item.candidates) for item in setting.engine.items) == 2 * 2 * 2  # 2 candidates, 2 tasks, 2 seeds
    setting.engine.items.clear()
    assert setting.evaluator.many(people(0.2, 0.1)) == [first[2], first[0]]
    assert setting.engine.items == []


def test_what_is_stored_is_not_trained_again(setting):
    setting.evaluator.many(people(0.1, 13.0))
    engine = FakeEngine()
    again = Evaluator(
        setting.evaluator.express, PLAN, fitness=FITNESS.get("default"), store=Store.open(setting.path),
        make_engine=lambda setup: engine,
    )  # fmt: skip
    assert again.many(people(0.1, 13.0)) == setting.evaluator.many(people(0.1, 13.0))
    assert engine.items == []


def test_a_candidate_that_fails_on_one_task_is_not_ranked_by_the_other(setting):
    plan = Plan((TaskPlan("a", "products", 4),), (0,), 10, {})
    evaluator = Evaluator(
        setting.evaluator.express, plan, fitness=FITNESS.get("paper"), store=setting.store,
        make_engine=lambda setup: FakeEngine("timeout"),
    )  # fmt: skip
    assert evaluator.many(people(13.0)) == [(FAILED,)]


def test_progress_counts_trainings(setting):
    seen = []
    setting.evaluator._advance = lambda trained, total: seen.append((trained, total))
    setting.evaluator.many(people(0.1, 0.2, 13.0))
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)
    assert all(before[0] <= after[0] for before, after in itertools.pairwise(seen))


def test_workers_that_cannot_start_end_the_run(setting, monkeypatch):
    def broken(fn, items, *, timeout, retries, on_result):
        on_result(0, Reply("exception", SETUP_FAILED + "ImportError: torch", 0.0, 0, 1))

    monkeypatch.setattr(setting.engine, "map", broken)
    with pytest.raises(RunFailed, match="ImportError: torch"):
        setting.evaluator.many(people(0.1))


def test_workers_killed_while_they_start_are_started_again(setting, monkeypatch):
    killed, whole = Reply("crashed", SETUP_FAILED + "killed by SIGKILL", 0.0, 0, 2), setting.engine.map
    rounds = []

    def short_of_memory(fn, items, *, timeout, retries, on_result):
        rounds.append(len(items))
        if len(rounds) > 2:
            whole(fn, items, timeout=timeout, retries=retries, on_result=on_result)
        for index in range(len(items) if len(rounds) <= 2 else 0):
            on_result(index, killed)

    monkeypatch.setattr(setting.engine, "map", short_of_memory)
    assert setting.evaluator.many(people(0.1)) == [(pytest.approx(0.1),)]
    assert rounds == [4, 4, 4]

    def hopeless(fn, items, *, timeout, retries, on_result):
        for index in range(len(items)):
            on_result(index, killed)

    monkeypatch.setattr(setting.engine, "map", hopeless)
    with pytest.raises(RunFailed, match=f"SIGKILL; go on with: symevo run --resume {setting.path}"):
        setting.evaluator.many(people(0.2))


def test_chunks_are_even_and_of_one_program():
    other = rule("theta = theta - lr*sign(g)", lr=0.1)
    rules = [BASE.with_hyper(lr=i + 1.0) for i in range(10)] + [other]
    chunks = cut(rules, 4)
    assert [len(chunk) for chunk in chunks] == [4, 4, 2, 1]
    assert [one for chunk in chunks for one in chunk] == rules
    assert cut([], 4) == []

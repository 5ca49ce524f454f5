"""Fitness, number by number."""

from __future__ import annotations

import math

import pytest

from symevo.training.fitness import FAILED, FITNESS, judge, progress


def ended(accuracy=0.8, loss=0.5, train_loss=0.3, **more):
    base = {"status": "ok", "reason": None, "metric": "accuracy", "decades": 6.0, "initial_loss": 2.3}
    return base | {"accuracy": accuracy, "loss": loss, "train_loss": train_loss} | more


DIVERGED = ended() | {"status": "diverged", "reason": "training loss not finite at step 2"}
CRASHED = {"status": "crashed", "reason": "killed by SIGKILL", "seconds": 0.0}


def test_paper_fitness_is_the_published_formula():
    paper = FITNESS.get("paper")
    verdict = judge(
        paper, {"a": [ended(0.8, train_loss=0.3), ended(0.6, train_loss=1.7)], "b": [ended(1.0, train_loss=0)]}
    )
    assert verdict.per_task["a"] == pytest.approx((0.8 + 0.05 * 0.7 + 0.6) / 2)
    assert verdict.fitness == pytest.approx((verdict.per_task["a"] + 1.05) / 2)
    assert paper.split == "test"
    assert judge(paper, {"a": [ended(0.8, train_loss=1.0), DIVERGED]}).fitness == pytest.approx((0.8 - 1) / 2)


def test_default_fitness_reads_validation_and_survives_one_divergence():
    default = FITNESS.get("default")
    assert default.split == "validation"
    assert judge(default, {"a": [ended(0.8, 0.5)]}).fitness == pytest.approx(0.8 + 0.05 * math.exp(-0.5))
    verdict = judge(default, {"a": [ended(0.8, 0.5), DIVERGED]})
    assert verdict.fitness == pytest.approx((0.8 + 0.05 * math.exp(-0.5)) / 2)
    assert verdict.status == "diverged"
    assert verdict.reason == "training loss not finite at step 2"


def test_loss_fitness_orders_by_the_validation_loss_alone():
    loss = FITNESS.get("loss")
    assert loss.split == "validation"
    scores = [judge(loss, {"a": [ended(accuracy, found)]}).fitness for accuracy, found in ((0.2, 0.4), (0.9, 0.5))]
    assert scores == pytest.approx([math.exp(-0.4), math.exp(-0.5)])
    assert judge(loss, {"a": [ended(loss=50.0)]}).fitness > judge(loss, {"a": [DIVERGED]}).fitness == 0.0
    no_accuracy = ended(None, 1.0) | {"metric": "loss", "initial_loss": 100.0, "decades": 4.0}
    assert judge(loss, {"a": [no_accuracy]}).fitness == pytest.approx(0.5)


@pytest.mark.parametrize("name", list(FITNESS))
def test_a_candidate_that_could_not_be_evaluated_is_below_every_other(name):
    verdict = judge(FITNESS.get(name), {"a": [ended(), CRASHED], "b": [DIVERGED]})
    assert verdict.fitness == FAILED
    assert (verdict.status, verdict.reason) == ("crashed", "killed by SIGKILL")
    assert judge(FITNESS.get(name), {"a": [ended(0.0, 30.0, 40.0)]}).fitness > FAILED


def test_lower_is_better_losses_become_progress():
    loss = {"metric": "loss", "accuracy": None, "initial_loss": 100.0, "decades": 4.0}
    assert progress(ended(loss=1.0, **{k: v for k, v in loss.items() if k != "accuracy"})) == pytest.approx(0.5)
    assert progress({**ended(), **loss, "loss": 1e-9}) == 1.0
    assert progress({**ended(), **loss, "loss": 1e9}) == 0.0
    assert progress({**ended(), **loss, "loss": 0.0}) == 1.0

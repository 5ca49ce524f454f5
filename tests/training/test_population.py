"""Lockstep training against plain torch loops, and its independence of how candidates are stacked."""

from __future__ import annotations

import math
import random

import pytest
import torch

from symevo.genomes.term_sum.genome import TermSum
from symevo.rules.backends.base import BACKENDS
from symevo.rules.backends.compiled import kernel_for
from symevo.rules.rule import rule
from symevo.rules.schedule import Schedule
from symevo.tasks import TASKS, Workload
from symevo.training.lockstep import slot_table, train, update_of

STEPS = 60
FAULTY = "theta = theta - lr*where(t < when, g, g*scale)"


@pytest.fixture(scope="module")
def digits() -> Workload:
    return Workload(TASKS.get("digits-mlp")())


@pytest.fixture(scope="module")
def digits64() -> Workload:
    return Workload(TASKS.get("digits-mlp")(), dtype=torch.float64)


def candidates(count: int, seed: int = 0) -> list:
    random.seed(seed)
    genome = TermSum("default")
    return [genome.candidate(genome.create()) for _ in range(count)]


def by_hand(workload: Workload, optimizer: type, seed: int, **hyper: float) -> tuple[list[float], float]:
    """The same training as a plain torch program: losses by step, final validation loss."""
    model = workload.task.model().double()
    torch.nn.utils.vector_to_parameters(workload.initial(seed), model.parameters())
    optim = optimizer(model.parameters(), **hyper)
    losses = []
    for step in range(STEPS):
        x, y = workload.batch(seed, step)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optim.zero_grad()
        loss.backward()
        optim.step()
        losses.append(loss.item())
    x, y = workload.split("validation")
    return losses, torch.nn.functional.cross_entropy(model(x), y).item()


@pytest.mark.parametrize(
    ("name", "optimizer", "hyper"),
    [
        ("adamw", torch.optim.AdamW, {"lr": 3e-3, "weight_decay": 0.1}),
        ("sgd", torch.optim.SGD, {"lr": 0.1}),
    ],
)
def test_lockstep_training_is_the_plain_training(digits64, name, optimizer, hyper):
    one = rule(name, **hyper)
    outcomes = train(digits64, [one, one.with_hyper(lr=1e-4)], seed=3, steps=STEPS, backend="eager")
    losses, final = by_hand(digits64, optimizer, 3, **hyper)
    assert outcomes[0]["loss"] == pytest.approx(final, rel=1e-9)
    assert outcomes[0]["train_loss"] == pytest.approx(sum(losses[-50:]) / 50, rel=1e-9)
    assert outcomes[0]["initial_loss"] == pytest.approx(losses[0], rel=1e-12)
    assert outcomes[1]["loss"] > outcomes[0]["loss"]


@pytest.mark.parametrize("backend", ["eager", pytest.param("compiled", marks=pytest.mark.slow)])
def test_shuffled_and_cut_generation_has_the_same_bits(digits, backend):
    rules = candidates(20)
    whole = train(digits, rules, seed=1, steps=STEPS, rows=20, backend=backend)
    order = list(range(20))
    random.Random(5).shuffle(order)
    for start, stop in ((0, 3), (3, 4), (4, 20)):
        part = order[start:stop]
        again = train(digits, [rules[i] for i in part], seed=1, steps=STEPS, rows=20, backend=backend)
        assert again == [whole[i] for i in part]


def test_padding_to_other_numbers_of_rows_has_the_same_bits(digits):
    rules = candidates(5)
    alone = [train(digits, [one], seed=0, steps=STEPS, backend="eager")[0] for one in rules]
    assert train(digits, rules, seed=0, steps=STEPS, rows=33, backend="eager") == alone


def test_a_row_that_diverges_is_frozen_and_leaves_the_others_alone(digits):
    good = rule(FAULTY, lr=0.1, when=1e9, scale=1.0)
    at_once = good.with_hyper(when=0, scale=math.nan)
    later = good.with_hyper(when=50, scale=1e30)
    alone = train(digits, [good], seed=0, steps=STEPS, rows=3, backend="eager")[0]
    first, second, third = train(digits, [at_once, good, later], seed=0, steps=STEPS, rows=3, backend="eager")
    assert second == alone
    assert second["status"] == "ok"
    assert first["status"] == third["status"] == "diverged"
    assert first["reason"] == "training loss not finite at step 2"
    assert third["reason"].endswith("at step 51")
    assert first["initial_loss"] == second["initial_loss"]


def test_a_loss_above_the_limit_counts_as_diverged(digits):
    outcome = train(digits, [rule("theta = theta + lr*g", lr=1.0)], seed=0, steps=300, backend="eager")[0]
    assert outcome["status"] == "diverged"
    assert "above 50" in outcome["reason"] or "not finite" in outcome["reason"]


def test_the_schedule_enters_the_slots_in_float64():
    one = rule("theta = theta - lr*g", lr=0.5)
    scheduled = type(one)(one.program, {"lr": 0.5}, Schedule(10, "cosine"))
    kernel = kernel_for(one.program, (1, 1), dtype=torch.float32, device=torch.device("cpu"), backend="eager")
    slots = slot_table(kernel, [scheduled], 100)
    assert slots.dtype == torch.float64
    for s in (0, 4, 50, 99):
        expected = 0.5 * min(1.0, (s + 1) / 10) * 0.5 * (1 + math.cos(math.pi * s / 100))
        assert slots[s, 0, 0, 0].item() == pytest.approx(expected, rel=1e-14)


def test_rules_of_two_programs_do_not_train_together(digits):
    with pytest.raises(ValueError, match="same program"):
        train(digits, [rule("adam"), rule("sgd")], seed=0, steps=1, backend="eager")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_update_knows_where_each_parameter_lies(digits, backend):
    update = update_of(digits.rows(2), [rule("adam")] * 2, backend)
    own = {name: tuple(parameter.shape) for name, parameter in digits.built(0).named_parameters()}
    assert {one.name: tuple(one.shape) for one in update.layout} == own
    assert all(one.stop - one.start == math.prod(one.shape) for one in update.layout)

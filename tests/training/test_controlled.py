"""Random networks under evolved controllers."""

from __future__ import annotations

import base64
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from symevo.errors import UserError
from symevo.evograd.layout import SIZE, initial
from symevo.evograd.learner import Learner
from symevo.rules.rule import rule
from symevo.tasks import Workload, find_task
from symevo.training.controllers import Controlled, drawn_network, initial_weights, score

torch.set_num_threads(1)


def individual(numbers: np.ndarray, draw: int = 3) -> dict:
    text = base64.b64encode(numbers.astype("<f4").tobytes()).decode()
    return Controlled("x", rule("adam"), text, draw, 0.1).to_json()


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(find_task("digits-flat"))


def test_drawn_networks_are_as_published() -> None:
    drawn = [drawn_network(seed) for seed in range(4000)]
    counts = Counter(len(sizes) for sizes, _ in drawn)
    for layers, share in ((1, 4 / 7), (2, 2 / 7), (3, 1 / 7)):
        assert abs(counts[layers] / 4000 - share) <= 3 * (share * (1 - share) / 4000) ** 0.5
    assert all(sizes == sorted(sizes, reverse=True) for sizes, _ in drawn)
    assert all(16 <= sizes[-1] < 1.1 * 256 and sizes[0] <= 1024 for sizes, _ in drawn)
    rates = [lr for _, lr in drawn]
    assert min(rates) >= 1e-3
    assert max(rates) <= 0.1
    assert drawn_network(5) == drawn_network(5) != drawn_network(6)


def test_controllers_that_do_nothing_are_adam(workload: Workload) -> None:
    (found,) = score(workload, [individual(np.zeros(SIZE))], steps=40)
    hidden, lr = drawn_network(3, 0.1)
    sizes = [64, *hidden, 10]
    layers = [module for pair in zip(sizes, sizes[1:], strict=False) for module in (nn.Linear(*pair), nn.ReLU())]  # noqa: RUF007
    model = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), initial_weights(sizes, 3), strict=True):
            parameter.copy_(value)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(40):
        x, y = workload.batch(3, step)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    x, y = workload.split("validation")
    assert found["loss"] == pytest.approx(functional.cross_entropy(model(x), y).item(), rel=1e-3)
    assert found["accuracy"] == pytest.approx((model(x).argmax(1) == y).double().mean().item(), abs=0.011)


def test_an_individual_does_not_depend_on_its_company(workload: Workload) -> None:
    people = [individual(initial(seed)) for seed in range(5)]
    together = score(workload, people, steps=12)
    for one, outcome in zip(people, together, strict=True):
        assert score(workload, [one], steps=12) == [outcome]
    assert score(workload, people[::-1], steps=12) == together[::-1]


def test_the_peak_is_the_highest_accuracy_of_a_training_batch(workload: Workload) -> None:
    steps = 33  # looked at after 0, 16 and 32
    (found,) = score(workload, [individual(np.zeros(SIZE))], steps=steps)
    hidden, lr = drawn_network(3, 0.1)
    learner = Learner([64, *hidden, 10], np.zeros((1, SIZE), np.float32), lr=lr)
    learner.start(initial_weights([64, *hidden, 10], 3))
    peaks = []
    for step in range(steps):
        x, y = workload.batch(3, step)
        learner.step(x, y)
        if step % 16 == 0:
            peaks.append(float(learner.evaluate(x, y)[0]))
    assert found["peak"] == max(peaks) > min(peaks)


def test_an_individual_that_diverges_says_so(workload: Workload) -> None:
    wild = initial(0)
    wild[-489:] = np.nan
    outcomes = score(workload, [individual(wild), individual(np.zeros(SIZE))], steps=10)
    assert [one["status"] for one in outcomes] == ["diverged", "ok"]
    assert "at step" in outcomes[0]["reason"] or "not finite" in outcomes[0]["reason"]


def test_images_of_two_dimensions_are_refused() -> None:
    with pytest.raises(UserError, match=r"digits-cnn.*controllers train on inputs"):
        score(Workload(find_task("digits-cnn")), [individual(np.zeros(SIZE))], steps=1)

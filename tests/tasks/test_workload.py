"""Batches, seeds, evaluation, augmentation."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from symevo.tasks import TASKS, Pair, Splits, Task, Workload, find_task
from symevo.tasks.augment import FlipCrop
from symevo.tasks.zoo import mlp
from symevo.tasks.zoo.images import small_cnn

torch.set_num_threads(1)
EMBEDDED = (
    "digits-mlp", "digits-deep", "digits-cnn", "digits-flat", "quadratic", "rosenbrock", "noisy-lsq",
    "cancer-mlp", "friedman-mlp", "digits-mixer", "text-transformer",
)  # fmt: skip


@pytest.fixture
def digits() -> Workload:
    return Workload(find_task("digits-mlp"), dtype=torch.float64)


def images(count: int, batch: int) -> Task:
    generator = torch.Generator().manual_seed(0)
    pair = Pair(torch.randn(count, 1, 28, 28, generator=generator), torch.arange(count) % 10)
    return Task(
        "images",
        model=small_cnn,
        data=lambda request: Splits(pair, Pair(*(t[:40] for t in pair))),
        batch=batch,
    )


def test_epochs_are_permutations_with_a_smaller_last_batch(digits: Workload) -> None:
    assert digits.steps_per_epoch == 19
    sizes = [len(digits.batch(3, step).y) for step in range(19)]
    assert sizes == [64] * 18 + [45]
    seen = torch.cat([digits.batch(3, step).x for step in range(19)])
    assert torch.equal(seen, digits.split("train").x[digits.order(3, 0)])
    assert torch.equal(digits.order(3, 0).sort().values, torch.arange(1197))
    assert not torch.equal(digits.order(3, 0), digits.order(3, 1))
    assert not torch.equal(digits.order(3, 0), digits.order(4, 0))
    assert torch.equal(digits.batch(3, 19).x, digits.split("train").x[digits.order(3, 1)[:64]])


def test_paper_tasks_end_their_epochs_with_24() -> None:
    pair = Pair(torch.zeros(15_000, 1), torch.zeros(15_000, dtype=torch.long))
    batch = find_task("fashion-cnn").batch
    workload = Workload(Task("epoch", model=lambda: nn.Linear(1, 2), train=pair, validation=pair, batch=batch))
    assert [len(workload.batch(0, step).y) for step in (0, 116, 117, 118)] == [128, 128, 24, 128]


def test_labels_stay_with_their_images() -> None:
    x = torch.arange(100.0).unsqueeze(1)
    workload = Workload(
        Task(
            "kept",
            model=lambda: nn.Linear(1, 5),
            train=(x, torch.arange(100) % 5),
            validation=(x, torch.arange(100) % 5),
            batch=7,
        )
    )
    for step in (0, 5, 14, 40):
        batch = workload.batch(1, step)
        assert torch.equal(batch.x.squeeze(1).long() % 5, batch.y)


def test_global_generators_neither_matter_nor_change() -> None:
    workload = Workload(images(40, 16), stacking="single")

    def run() -> torch.Tensor:
        rows = workload.rows(1)
        rows.start(5)
        found = [rows.losses_and_grad(5, step) for step in range(2)]
        return torch.cat([*found, rows.grad[0], rows.evaluate().loss])

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(run(), first)


def test_seeds_name_their_streams(digits: Workload) -> None:
    assert torch.equal(digits.initial(1), digits.initial(1))
    assert not torch.equal(digits.initial(1), digits.initial(2))
    other = Workload(find_task("digits-mlp"), dtype=torch.float64, run_seed=1)
    assert not torch.equal(digits.initial(1), other.initial(1))
    assert not torch.equal(digits.order(1, 0), other.order(1, 0))


def test_initial_weights_are_torchs_default(digits: Workload) -> None:
    weights = digits.initial(0)
    for name, start, stop, _ in digits.segments:
        bound = 64**-0.5 if name.startswith("0") else 32**-0.5
        part = weights[start:stop]
        assert 0.5 * bound < float(part.abs().max()) <= bound
    assert digits.weights == 64 * 32 + 32 + 32 * 10 + 10 == sum(s.stop - s.start for s in digits.segments)
    # Each parameter starts at a multiple of 16; what lies between is 0.
    assert [s.start for s in digits.segments] == [0, 2048, 2080, 2400]
    assert digits.width == len(weights) == 2416
    assert not weights[2410:].any()


@pytest.mark.parametrize("name", EMBEDDED)
def test_gradients_are_the_derivatives_of_the_losses(name: str) -> None:
    workload = Workload(find_task(name), dtype=torch.float64)
    rows = workload.rows(min(2, workload.max_rows))
    rows.start(0)
    rows.theta[-1] += 0.05
    rows.losses_and_grad(0, 3)
    gradient, base = rows.grad.clone(), rows.theta.clone()
    direction = torch.randn(base.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step, ends = 1e-6, []
    for sign in (1, -1):
        rows.theta.copy_(base + sign * step * direction)
        ends.append(rows.losses_and_grad(0, 3))
    slope = (ends[0] - ends[1]) / (2 * step)
    assert torch.allclose((gradient * direction).sum(1), slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("stacking", ["products", "vmap", "single"])
def test_training_equals_a_plain_loop(stacking: str) -> None:
    workload = Workload(find_task("digits-mlp"), dtype=torch.float64, stacking=stacking)
    rows = workload.rows(1)
    rows.start(2)
    model = mlp(64, 32, 10).double()
    for parameter, segment in zip(model.parameters(), workload.segments, strict=True):
        parameter.data = workload.initial(2)[segment.start : segment.stop].view(segment.shape).clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(25):
        rows.losses_and_grad(2, step)
        rows.theta.sub_(rows.grad, alpha=0.1)
        x, y = workload.batch(2, step)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    plain = nn.utils.parameters_to_vector(model.parameters()).detach()
    found = torch.cat([rows.theta[0, s.start : s.stop] for s in workload.segments])
    assert (found - plain).norm() <= 1e-10 * plain.norm()
    scores = rows.evaluate("test")
    x, y = workload.split("test")
    assert scores.accuracy is not None
    assert float(scores.accuracy[0]) == float((model(x).argmax(1) == y).double().mean())
    assert abs(float(scores.loss[0]) - functional.cross_entropy(model(x), y).item()) < 1e-10


def test_evaluation_in_blocks_equals_the_whole() -> None:
    workload = Workload(find_task("digits-cnn"), dtype=torch.float64)
    rows = workload.rows(3)
    rows.start(0)
    rows.theta[2] *= 1.5
    whole = rows.evaluate()
    workload.block = 17
    parts = rows.evaluate()
    assert torch.allclose(parts.loss, whole.loss, rtol=1e-12)
    assert parts.accuracy is not None
    assert whole.accuracy is not None
    assert torch.equal(parts.accuracy, whole.accuracy)
    assert not torch.equal(parts.loss[0], parts.loss[2])


def test_a_dead_model_scores_by_chance_and_not_by_ties() -> None:
    workload = Workload(find_task("digits-mlp"))
    rows = workload.rows(1)
    rows.theta.zero_()
    accuracy = rows.evaluate().accuracy
    assert accuracy is not None
    assert float(accuracy[0]) == float((workload.split("validation").y == 0).double().mean())


def test_flip_crop_moves_pixels_as_said() -> None:
    x = torch.arange(1.0, 1 + 200 * 2 * 6 * 6).view(200, 2, 6, 6)
    found = FlipCrop(2, (-1.0, -2.0))(x, torch.Generator().manual_seed(0))
    again = FlipCrop(2, (-1.0, -2.0))(x, torch.Generator().manual_seed(0))
    assert torch.equal(found, again)
    padded = torch.stack([functional.pad(x[:, c], (2, 2, 2, 2), value=v) for c, v in ((0, -1.0), (1, -2.0))], 1)
    counts: dict[tuple[int, int, bool], int] = {}
    for image, result in zip(padded, found, strict=True):
        places = []
        for top, left, flip in itertools.product(range(5), range(5), (False, True)):
            crop = image[:, top : top + 6, left : left + 6]
            if torch.equal(crop.flip(2) if flip else crop, result):
                places.append((top, left, flip))
        assert len(places) == 1
        counts[places[0]] = counts.get(places[0], 0) + 1
    assert len(counts) > 40  # of the 50 possible outcomes
    assert 70 < sum(n for (_, _, flip), n in counts.items() if flip) < 130


def test_augmentation_depends_on_the_step_and_leaves_labels() -> None:
    x = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 6, 6).contiguous() + torch.arange(6.0) / 10
    model = lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 8))  # noqa: E731
    pair = (x, torch.arange(8))
    workload = Workload(Task("moved", model=model, train=pair, validation=pair, batch=8, augment="flip-crop"))
    first, second = workload.batch(0, 0), workload.batch(0, 1)
    assert torch.equal(workload.batch(0, 0).x, first.x)
    assert not torch.equal(first.x, second.x)
    assert torch.equal(first.y, torch.arange(8))
    assert torch.equal(first.x.amax((1, 2, 3)).floor().long(), first.y)
    assert torch.equal(workload.split("train").x, x)


def test_synthetic_tasks_have_the_stated_minimum() -> None:
    from symevo.tasks.task import DataRequest
    from symevo.tasks.zoo.synthetic import noisy_lsq_splits, quadratic_splits

    a = quadratic_splits(DataRequest()).train.x.double()
    values = torch.linalg.eigvalsh(2 * a.t() @ a / 32)
    assert abs(float(values[-1]) - 2) < 1e-5
    assert abs(float(values[-1] / values[0]) / 1e4 - 1) < 1e-2
    rows = Workload(find_task("rosenbrock"), dtype=torch.float64).rows(1)
    rows.theta.fill_(1.0)
    assert float(rows.losses_and_grad(0, 0)[0]) == 0.0
    assert float(rows.grad.abs().max()) == 0.0
    train, test = noisy_lsq_splits(DataRequest()).train, noisy_lsq_splits(DataRequest()).test
    assert test is not None
    best = torch.linalg.lstsq(train.x.double(), train.y.double()).solution
    assert 0.008 < float((test.x.double() @ best - test.y).square().mean()) < 0.013
    assert 0.9 < float(train.y.var()) < 1.15


def test_every_task_is_tested_here_or_needs_data() -> None:
    on_disk = {"fashion", "mnist", "cifar10", "lenet5", "orl", "letter", "adult", "yeast", "shakespeare"}
    assert {name for name in TASKS if name.split("-")[0] not in on_disk} == set(EMBEDDED)

"""A task trains the model that it is given: as in plain torch by hand, or it is refused; in every way of stacking."""

from __future__ import annotations

import math
import re

import pytest
import torch
from model_zoo import INPUTS, MODELS, Build
from torch import nn
from torch.nn import functional

from symevo.errors import UserError
from symevo.evolution.planning import register_task, try_task
from symevo.rules.rule import rule
from symevo.settings.resolution import resolve
from symevo.tasks import TASKS, Task, Workload
from symevo.training.lockstep import train

torch.set_num_threads(1)
STEPS, TRAINED, BATCH, RATE = 12, 40, 16, 0.2
STACKINGS = [None, "products", "vmap", "single"]


def task_of(name: str, stacking: str | None) -> Task:
    build, kind = MODELS[name]
    x = INPUTS[kind].clone()
    first = x.flatten(1).float().mean(1)
    y = (first > first.median()).long()
    return Task(name, build, (x[:TRAINED], y[:TRAINED]), (x[TRAINED:], y[TRAINED:]), batch=BATCH, stacking=stacking)


def planned(task: Task) -> tuple[Workload, list[str]]:
    """What a run would train on, and what it says."""
    said: list[str] = []
    register_task(task)
    try:
        settings = resolve({"device": "cpu", "tasks": [task.name]})
        return try_task(task.name, settings, said.append, split="validation", population=settings.population)[0], said
    finally:
        del TASKS._items[task.name]


def by_hand(workload: Workload, build: Build) -> float:
    """The fitness of SGD by a loop of one's own, from the seeds that a training has."""
    torch.default_generator.manual_seed(workload.seed_of_model(0))  # as manual_seed, which asks every other device
    model = build()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=RATE)
    for step in range(STEPS):
        x, y = workload.batch(0, step)
        optimizer.zero_grad()
        torch.default_generator.manual_seed(workload.draw(0, step))
        loss = functional.cross_entropy(model(x.clone()), y)
        loss.backward()
        optimizer.step()
    x, y = workload.split("validation")
    with torch.no_grad():
        output = model.eval()(x.clone())
    loss = functional.cross_entropy(output, y).item()
    return (output.argmax(1) == y).float().mean().item() + 0.05 * math.exp(-loss)


def outcome(name: str, stacking: str | None) -> tuple[str, float, float]:
    """The stacking that was chosen, the fitness of SGD in a search, and that by hand."""
    workload, _ = planned(task_of(name, stacking))
    sgd = rule("theta = theta - lr*g", lr=RATE)
    (found,) = train(workload, [sgd], seed=0, steps=STEPS, rows=workload.max_rows, backend="interpreter")
    return workload.stacking, found["accuracy"] + 0.05 * math.exp(-found["loss"]), by_hand(workload, MODELS[name][0])


def check(name: str, stacking: str | None) -> None:
    used, found, right = outcome(name, stacking)
    assert stacking in (None, used)
    assert found == pytest.approx(right, abs=2e-4)


QUICK = [name for name in list(MODELS)[::2] if not name.startswith(("hf", "timm", "torchvision"))]


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_a_task_trains_its_model(name: str) -> None:
    check(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("stacking", ["products", "vmap", "single"])
@pytest.mark.parametrize("name", MODELS)
def test_a_task_trains_its_model_however_it_is_stacked(name: str, stacking: str) -> None:
    if stacking == "single":
        check(name, stacking)
        return
    try:
        check(name, stacking)
    except UserError as error:  # refused, before anything is trained
        reason = str(error)
    else:
        return
    assert re.match(f"task '{name}' cannot be (trained with stacking|stacked as) '{stacking}'", reason)
    assert "\n" not in reason


def test_there_are_two_hundred_models() -> None:
    assert len(MODELS) >= 200


def task(model: Build, *, x: torch.Tensor | None = None, **more) -> Task:
    x = INPUTS["features"].clone() if x is None else x
    y = (x.sum(1) > 0).long()
    return Task("here", model, (x[:40], y[:40]), (x[40:], y[40:]), **{"batch": 16, **more})


class Lying(nn.Module):
    """Computes something else under vmap, without an error."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) * (2 if torch._C._functorch.is_batchedtensor(self.a.weight) else 1)


def test_a_stacked_form_that_computes_something_else_is_found_out() -> None:
    workload, said = planned(task(Lying))
    assert workload.stacking == "single"
    assert said == [
        "task 'here' cannot be stacked by vmap (its output in evaluation mode would differ from plain torch): "
        'it trains one at a time, stacking="single"'
    ]
    with pytest.raises(UserError, match=r"'vmap' \(its output in evaluation mode would differ from plain torch\)"):
        planned(task(Lying, stacking="vmap"))


class Forgetful(nn.Module):
    """Draws from a generator that no training seeds."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.own = nn.Linear(6, 2), torch.Generator()
        self.own.seed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x + torch.randn(x.shape, generator=self.own))


def test_what_is_drawn_without_torchs_seed_is_refused() -> None:
    with pytest.raises(UserError, match="gives something else each time; let it draw its random numbers from torch"):
        planned(task(Forgetful, stacking="single"))


def test_what_lasts_from_one_training_to_the_next_is_refused() -> None:
    trained = [0]

    class Ageing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(6, 2)
            trained[0] += 1
            self.scale = trained[0]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale * self.a(x)

    with pytest.raises(UserError, match="task 'here': its output in evaluation mode would differ"):
        planned(task(Ageing))


def test_trainings_do_not_hear_of_each_other() -> None:
    workload, said = planned(task(MODELS["countscalls"][0]))
    assert "cannot be stacked by vmap (calls changes as it trains)" in said[0]
    rules = [rule("theta = theta - lr*g", lr=lr) for lr in (0.1, 0.3)]
    first, _, again = (train(workload, [one], seed=0, steps=8, backend="eager") for one in (*rules, rules[0]))
    assert first == again


@pytest.mark.parametrize("name", ["writesitsinput", "writesitsinputintraining", "normalisesitsinput"])
@pytest.mark.parametrize("batch", [16, 64])
def test_a_model_that_writes_into_its_inputs_leaves_the_data_alone(name: str, batch: int) -> None:
    build, kind = MODELS[name]
    x = INPUTS[kind].clone()
    y = torch.arange(len(x)) % 2
    workload, _ = planned(Task("here", build, (x, y), (x, y), batch=batch))
    rows = workload.rows(workload.max_rows)
    rows.start(0)
    rows.losses_and_grad(0, 0)
    rows.evaluate()
    assert torch.equal(x, INPUTS[kind])
    assert torch.equal(workload.split("train").x, INPUTS[kind])


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def test_a_last_batch_that_the_model_cannot_train_on_is_told_beforehand() -> None:
    words = "the model fails on the last batch of an epoch, which has 1 of 40 samples: .* such as batch=12"
    with pytest.raises(UserError, match=words):
        planned(task(normalised, batch=13))
    assert planned(task(normalised, batch=12))[0].train_size == 40
    assert planned(task(normalised, batch=64))[0].train_size == 40


def test_layers_that_are_handed_out_again_are_copied_or_refused() -> None:
    kept = nn.Linear(6, 2)
    before = kept.weight.detach().clone()
    workload, _ = planned(task(lambda: kept, stacking="single"))
    train(workload, [rule("theta = theta - lr*g", lr=0.5)], seed=0, steps=5, backend="eager")
    assert torch.equal(kept.weight, before)
    kept.weight.register_hook(lambda grad: 0 * grad)
    with pytest.raises(
        UserError, match=r"hands out the same layers .* \(UserError: hooks on its weights would be lost\)"
    ):
        planned(task(lambda: kept))


def test_a_model_of_another_shape_each_time_is_refused() -> None:
    sizes = iter(range(3, 1000))

    def changing() -> nn.Module:
        size = next(sizes)
        return nn.Sequential(nn.Linear(6, size), nn.Linear(size, 2))

    with pytest.raises(UserError, match=r"model\(\) makes another model each time: 0.weight differs"):
        planned(task(changing))


@pytest.mark.parametrize(("channels", "size", "stacking"), [(4, 8, "products"), (16, 32, "single")])
def test_a_sequential_of_convolutions_is_stacked_while_it_is_small(channels: int, size: int, stacking: str) -> None:
    x = torch.randn(64, 3, size, size, generator=torch.Generator().manual_seed(0))

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
            nn.AvgPool2d(size), nn.Flatten(), nn.Linear(channels, 2),
        )  # fmt: skip

    y = torch.arange(64) % 2
    assert Workload(Task("here", model, (x, y), (x, y), batch=32)).stacking == stacking


@pytest.mark.parametrize("name", ["unet", "residual", "attention", "multihead", "grucell", "functionalconvolution"])
def test_what_is_slow_under_vmap_trains_one_at_a_time(name: str) -> None:
    assert planned(task_of(name, None))[0].stacking == "single"


def test_weights_that_are_unfrozen_later_are_no_silent_difference() -> None:
    class Unfrozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.calls = nn.Linear(6, 8).requires_grad_(False), nn.Linear(8, 2), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            self.a.requires_grad_(self.calls > 4)
            return self.b(torch.tanh(self.a(x)))

    workload, _ = planned(task(Unfrozen, stacking="single"))
    with pytest.raises(UserError, match=r"weight 'a.weight' is frozen at first and not later"):
        train(workload, [rule("theta = theta - lr*g", lr=0.1)], seed=0, steps=8, backend="eager")


@pytest.mark.parametrize(("stacking", "late"), [(None, 1), (None, 6), ("single", 1), ("single", 6)])
def test_a_weight_without_a_gradient_in_some_steps_is_refused(stacking: str | None, late: int) -> None:
    """Torch's optimizers leave its memory alone in these steps: Adam ends at 1.012 and not at 0.981."""

    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.calls = nn.Linear(6, 6), nn.Linear(6, 2), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            return self.b(x if self.training and self.calls >= late and self.calls % 2 else torch.tanh(self.a(x)))

    def trained() -> None:
        workload, _ = planned(task(Skipping, stacking=stacking))
        train(workload, [rule("adam", lr=0.1)], seed=0, steps=8, backend="eager")

    with pytest.raises(UserError, match=r"weight 'a.bias' gets a gradient in some steps and none in others"):
        trained()


def test_a_weight_that_is_replaced_late_is_refused() -> None:
    class Replacing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.calls = nn.Linear(6, 6), nn.Linear(6, 2), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            if self.training and self.calls == 6:
                self.b.weight = nn.Parameter(0.5 * self.b.weight.detach())
            return self.b(torch.tanh(self.a(x)))

    workload, _ = planned(task(Replacing))
    with pytest.raises(UserError, match=r"weight 'b.weight' gets a gradient in some steps and none in others"):
        train(workload, [rule("adam", lr=0.1)], seed=0, steps=8, backend="eager")


def test_a_weight_that_never_has_a_gradient_is_trained_as_by_hand() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(x)

    for stacking in (None, "vmap", "single"):
        planned(task(Spare, stacking=stacking))


def test_weights_of_types_that_are_not_trained_are_refused() -> None:
    class Fourier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.b = nn.Parameter(torch.ones(4, dtype=torch.cfloat)), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.fft.irfft(torch.fft.rfft(x) * self.w, n=6))

    with pytest.raises(UserError, match=r"weight 'w' is of torch.complex64: use its real view"):
        planned(task(Fourier))


def test_weights_that_torch_does_not_draw_are_refused() -> None:
    generator = torch.Generator()
    generator.seed()

    def model() -> nn.Module:
        net = nn.Linear(6, 2)
        net.weight.data = torch.randn(2, 6, generator=generator)
        return net

    with pytest.raises(UserError, match=r"model\(\) gives other weights each time: let it draw them by torch"):
        planned(task(model))


def test_layers_that_refer_to_each_other_are_not_copied() -> None:
    class Closing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.scale = nn.Linear(6, 2), nn.Parameter(torch.tensor(1.0))
            self.act = lambda x: torch.tanh(x * self.scale)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.a(x))

    kept = Closing()
    with pytest.raises(UserError, match="hands out the same layers each time, and they refer to each other"):
        planned(task(lambda: kept))


def test_a_loss_may_write_into_outputs() -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        output -= output.detach().amax(1, keepdim=True)
        return functional.cross_entropy(output, target, reduction="none")

    assert planned(task(lambda: nn.Linear(6, 2), loss=loss))[0].stacking == "products"

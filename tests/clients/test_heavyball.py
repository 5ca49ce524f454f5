"""The problems and round trips of heavyball's tests, and its optimizer of several optimizers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from client_checks import Loop, needs, network
from client_forms import FORMS, RULES, Maker, maker
from torch import Tensor, nn

pytestmark = pytest.mark.clients
forms = pytest.mark.parametrize("form", FORMS)
rules = pytest.mark.parametrize("rule", RULES)


@needs("heavyball")
class TestSplitOpt(Loop):
    """heavyball's ``SplitOpt`` with our optimizer for the matrices and heavyball's SGD for the rest."""

    name, package = "heavyball's `SplitOpt`", "heavyball"

    @pytest.fixture(autouse=True)
    def eager(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import heavyball

        monkeypatch.setattr(heavyball.utils, "compile_mode", None)

    def parts(self, make: Maker) -> dict[str, Any]:
        import heavyball

        model = network()
        params = list(model.parameters())
        specs = [
            {"params": [one for one in params if one.dim() > 1], "optimizer": make.cls, **make.options},
            {"params": [one for one in params if one.dim() < 2], "optimizer": heavyball.SGD, "lr": 1e-2},
        ]
        return {"model": model, "optimizer": heavyball.SplitOpt(specs)}


# --- Problems whose answer is known ---------------------------------------------------------------------------

PROBLEMS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[float, float], float]] = {
    "Rosenbrock": (lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, (-1.2, 1.0), 0.2),
    "Beale": (
        lambda w: (
            (1.5 - w[0] + w[0] * w[1]) ** 2
            + (2.25 - w[0] + w[0] * w[1] ** 2) ** 2
            + (2.625 - w[0] + w[0] * w[1] ** 3) ** 2
        ),
        (1.0, 1.0),
        1e-3,
    ),
    "a long valley": (lambda w: w[0] ** 2 + 100 * w[1] ** 2, (3.0, 1.0), 1e-6),
}
"""Each with where it starts, and what share of the value there is left after 600 steps, 0 being the least value."""


@forms
@rules
@pytest.mark.parametrize("problem", PROBLEMS)
def test_descends_into_the_valley(problem: str, rule: str, form: str) -> None:
    function, start, share = PROBLEMS[problem]
    weight = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    before = function(weight).item()
    numbers = {"weight_decay": 0.0} if "weight_decay" in RULES[rule][1] else {}
    optimizer = maker(form, rule)([weight], lr=0.05, **numbers)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, 600, power=2.0)
    for _ in range(600):
        optimizer.zero_grad()
        function(weight).backward()
        optimizer.step()
        scheduler.step()
    assert function(weight).item() < share * before


# --- Round trips ----------------------------------------------------------------------------------------------


@forms
@rules
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_saved_in_the_middle_of_a_valley(rule: str, dtype: torch.dtype, form: str) -> None:
    """Weights of any type: what is saved and loaded goes the same way to the bit, states in their own types."""
    function = PROBLEMS["a long valley"][0]

    def go(optimizer: Any, weight: nn.Parameter, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            function(weight).backward()
            optimizer.step()

    weight = nn.Parameter(torch.tensor([3.0, 1.0], dtype=dtype))
    optimizer = maker(form, rule)([weight])
    go(optimizer, weight, 10)
    other = nn.Parameter(weight.detach().clone())
    loaded = maker(form, rule)([other])
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for name, value in optimizer.state[weight].items():
        assert type(loaded.state[other][name]) is type(value)
        if isinstance(value, Tensor):
            assert loaded.state[other][name].dtype == value.dtype
    go(optimizer, weight, 10)
    go(loaded, other, 10)
    assert torch.equal(weight, other)


@forms
def test_a_state_of_other_shapes_is_refused_and_changes_nothing(form: str) -> None:
    narrow, wide = nn.Linear(5, 1), nn.Linear(5, 3)
    saved = []
    for net in (narrow, wide):
        optimizer = maker(form, "adamw")(net.parameters())
        net(torch.ones(2, 5)).sum().backward()
        optimizer.step()
        saved.append(optimizer)
    before = copy.deepcopy(saved[1].state_dict())
    with pytest.raises(ValueError, match=r"shape|size"):
        saved[1].load_state_dict(saved[0].state_dict())
    after = saved[1].state_dict()
    assert after["param_groups"] == before["param_groups"]
    for key, state in before["state"].items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(after["state"][key][name]), torch.as_tensor(value))

"""Every classic against torch.optim, or against the update written out where torch has none."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import renamed

from symevo.rules.backends.compiled import TensorUpdate
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.program import Program
from symevo.rules.rule import Rule, rule

STEPS = 200
SHAPES = [(5,), (3, 4), (2, 3, 2), (), (1,)]

TORCH = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {}),
    "nesterov": (torch.optim.SGD, {"nesterov": True}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True}),
    "adamax": (torch.optim.Adamax, {}),
    "nadam": (torch.optim.NAdam, {}),
    "nadamw": (torch.optim.NAdam, {"decoupled_weight_decay": True}),
    "radam": (torch.optim.RAdam, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "rmsprop-momentum": (torch.optim.RMSprop, {}),
    "rmsprop-centered": (torch.optim.RMSprop, {"centered": True}),
    "rmsprop-centered-momentum": (torch.optim.RMSprop, {"centered": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "rprop": (torch.optim.Rprop, {}),
}
NOT_IN_TORCH = {"lion", "signum"}
"""Classics that torch.optim does not have; WRITTEN_OUT has their updates."""

OTHER_DEFAULTS = {("momentum", "momentum"), ("nesterov", "momentum"), ("rmsprop-momentum", "momentum"),
                  ("rmsprop-centered-momentum", "momentum"), ("nadamw", "weight_decay")}  # fmt: skip
"""Where torch's default switches off what the rule is named after."""

RANGES = {
    "lr": (1e-4, 0.05), "weight_decay": (0.01, 0.2), "momentum": (0.5, 0.99), "dampening": (0.0, 0.9),
    "beta1": (0.5, 0.99), "beta2": (0.8, 0.9995), "eps": (1e-9, 1e-3), "momentum_decay": (1e-3, 0.1),
    "alpha": (0.5, 0.99), "rho": (0.5, 0.99), "lr_decay": (0.0, 0.1), "initial_accumulator_value": (0.0, 1.0),
    "etaminus": (0.2, 0.9), "etaplus": (1.05, 2.0), "step_size_min": (1e-7, 1e-4),
    "step_size_max": (0.1, 50.0),
}  # fmt: skip


def drawn(name: str, seed: int) -> dict[str, float]:
    """Random values of all hyperparameters, log-uniform where they span decades."""
    stream = np.random.default_rng([seed, *name.encode()])
    values = {}
    for hyper in CLASSICS.get(name).hyper:
        low, high = RANGES[hyper]
        decades = low > 0 and high / low > 50
        values[hyper] = float(
            np.exp(stream.uniform(np.log(low), np.log(high))) if decades else stream.uniform(low, high)
        )
    return values


def torch_optimizer(name: str, params: list[torch.Tensor], hyper: dict[str, float]) -> torch.optim.Optimizer:
    kind, fixed = TORCH[name]
    left = dict(hyper)
    kwargs: dict = {**fixed, "foreach": False}
    for tuple_name, parts in (("betas", ("beta1", "beta2")), ("etas", ("etaminus", "etaplus")),
                              ("step_sizes", ("step_size_min", "step_size_max"))):  # fmt: skip
        if parts[0] in left:
            kwargs[tuple_name] = tuple(left.pop(part) for part in parts)
    return kind(params, **left, **kwargs)


def starts(seed: int, dtype: torch.dtype) -> list[torch.nn.Parameter]:
    stream = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=stream, dtype=torch.float64).to(dtype)) for shape in SHAPES]


def train(optimizer: torch.optim.Optimizer, params: list[torch.nn.Parameter], seed: int, steps: int = STEPS) -> None:
    stream = torch.Generator().manual_seed(seed + 1)
    for _ in range(steps):
        for param in params:
            param.grad = torch.randn(param.shape, generator=stream, dtype=torch.float64).to(param.dtype)
        optimizer.step()


def error(ours: list[torch.nn.Parameter], theirs: list) -> float:
    """The largest error of a tensor, relative to its largest number."""
    pairs = [(a.detach(), b.detach()) for a, b in zip(ours, theirs, strict=True)]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


@pytest.fixture
def double():
    """torch keeps NAdam's product of momenta in its default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_every_classic_has_a_reference_or_is_declared_to_have_none():
    assert set(CLASSICS) == set(TORCH) | NOT_IN_TORCH
    assert set(TORCH).isdisjoint(NOT_IN_TORCH)
    assert set(WRITTEN_OUT) == NOT_IN_TORCH


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", TORCH)
@settings(max_examples=2, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_against_torch(name, seed):
    hyper = drawn(name, seed)
    ours, theirs = starts(seed, torch.float64), starts(seed, torch.float64)
    train(Optimizer(ours, name, compile=False, **hyper), ours, seed)
    train(torch_optimizer(name, theirs, hyper), theirs, seed)
    assert error(ours, theirs) <= 1e-10
    assert error(ours, starts(seed, torch.float64)) > 1e-5  # both have moved


@pytest.mark.parametrize("name", TORCH)
def test_defaults_are_torchs(name):
    kind, _ = TORCH[name]
    defaults = {key: value.default for key, value in inspect.signature(kind).parameters.items()}
    given_ = torch_optimizer(name, [torch.nn.Parameter(torch.ones(1))], dict(CLASSICS.get(name).hyper)).defaults
    for hyper in given_:
        if hyper in defaults and (name, hyper) not in OTHER_DEFAULTS | {
            (name, key) for key in (*TORCH[name][1], "foreach")
        }:
            assert given_[hyper] == defaults[hyper], hyper


def lion(theta, g, memory, h):
    u = np.sign(h["beta1"] * memory["m"] + (1 - h["beta1"]) * g)
    memory["m"] = h["beta2"] * memory["m"] + (1 - h["beta2"]) * g
    return theta * (1 - h["lr"] * h["weight_decay"]) - h["lr"] * u


def signum(theta, g, memory, h):
    memory["m"] = h["momentum"] * memory["m"] + (1 - h["momentum"]) * g
    return theta * (1 - h["lr"] * h["weight_decay"]) - h["lr"] * np.sign(memory["m"])


WRITTEN_OUT = {"lion": lion, "signum": signum}


@pytest.mark.parametrize("name", sorted(NOT_IN_TORCH))
@pytest.mark.parametrize("seed", range(3))
def test_against_the_update_written_out(name, seed):
    hyper = drawn(name, seed)
    ours = starts(seed, torch.float64)
    values = [p.detach().numpy().copy() for p in ours]
    memories: list[dict] = [{"m": np.zeros(shape)} for shape in SHAPES]
    stream = torch.Generator().manual_seed(seed + 1)
    for _ in range(STEPS):
        for index, shape in enumerate(SHAPES):
            grad = torch.randn(shape, generator=stream, dtype=torch.float64).numpy()
            values[index] = WRITTEN_OUT[name](values[index], grad, memories[index], hyper)
    train(Optimizer(ours, name, compile=False, **hyper), ours, seed)
    assert error(ours, [torch.from_numpy(np.asarray(value)) for value in values]) <= 1e-10


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("beta2", [0.5, 0.9, 0.99, 0.9999])
def test_radam_on_both_sides_of_its_switch(beta2):
    """ρ_∞ = 2/(1 − β₂) − 1 is 3 at 0.5: never rectified; at 0.9 and more, from some step on."""
    t = np.arange(1, 21)
    rho_inf = 2 / (1 - beta2) - 1
    rectified = rho_inf - 2 * t * beta2**t / (1 - beta2**t) > 5
    assert rectified.any() == (beta2 > 0.5)
    assert not rectified.all()
    for steps in (1, 4, 5, 6, 7, 20):
        ours, theirs = starts(1, torch.float64), starts(1, torch.float64)
        train(Optimizer(ours, "radam", compile=False, beta2=beta2), ours, 1, steps)
        train(torch.optim.RAdam(theirs, betas=(0.9, beta2)), theirs, 1, steps)
        assert error(ours, theirs) <= 1e-10


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("momentum_decay", [0.0, 4e-3, 1.0])
def test_nadams_product_of_momenta(momentum_decay):
    ours, theirs = starts(2, torch.float64), starts(2, torch.float64)
    mine = Optimizer(ours, "nadam", compile=False, momentum_decay=momentum_decay)
    other = torch.optim.NAdam(theirs, momentum_decay=momentum_decay)
    train(mine, ours, 2)
    train(other, theirs, 2)
    product = mine.state[ours[0]]["mu_product"]
    assert isinstance(product, float)
    assert product == pytest.approx(other.state[theirs[0]]["mu_product"].item(), rel=1e-12)
    assert error(ours, theirs) <= 1e-10


def anonymous(classic: Rule) -> Rule:
    """The same as text of nobody's: other names for every state and temporary."""
    names = {name: f"x{index}" for index, name in enumerate((*classic.program.memory, *classic.program.temporaries))}
    text = renamed(classic.program, names).text
    assert not any(name in Program.parse(text).reads for name in names)
    return rule(text, name="nameless", **classic.hyper)


@pytest.mark.parametrize("name", list(CLASSICS))
def test_the_same_as_text_under_other_names(name):
    classic = CLASSICS.get(name).with_hyper(**drawn(name, 7))
    nameless = anonymous(classic)
    assert nameless.key == classic.key
    ours, theirs = starts(7, torch.float64), starts(7, torch.float64)
    train(Optimizer(ours, classic, compile=False), ours, 7, 30)
    train(Optimizer(theirs, nameless, compile=False), theirs, 7, 30)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def compiled_against_eager(name: str) -> float:
    hyper = drawn(name, 3)
    ours, theirs = starts(3, torch.float32), starts(3, torch.float32)
    train(Optimizer(ours, name, **hyper), ours, 3, 20)
    train(Optimizer(theirs, name, compile=False, **hyper), theirs, 3, 20)
    return error(ours, theirs)


QUICK = ["adamw", "nadam", "radam", "rprop"]


@pytest.mark.parametrize("name", QUICK)
def test_compiled_agrees_with_eager(name):
    assert compiled_against_eager(name) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CLASSICS) - set(QUICK)))
def test_compiled_agrees_with_eager_for_the_others(name):
    assert compiled_against_eager(name) <= 1e-6


def test_a_classic_compiles_once_whatever_its_numbers():
    update = TensorUpdate(CLASSICS.get("sgd").program)
    param, grad = torch.ones(3), torch.ones(3)
    for lr in (0.1, 0.2, 0.3):
        update([([param, grad], torch.tensor([lr, 0.0]))])
    assert update.compilations == 1
    assert param.tolist() == pytest.approx([0.4] * 3)

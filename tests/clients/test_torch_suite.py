"""What torch asks of its own optimizers, asked of ours: to the same effect, with the configurations of its tests."""

from __future__ import annotations

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from client_forms import FORMS, RULES, maker, maker_of
from client_steps import quadratic, same, steps, weights
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

pytestmark = pytest.mark.clients
forms = pytest.mark.parametrize("form", FORMS)
rules = pytest.mark.parametrize("rule", RULES)


# --- The configurations of torch's tests ----------------------------------------------------------------------


def named_as_in_rules(name: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The classic rule and its numbers for a torch class and its options; None where no rule computes it."""
    options = {key: value for key, value in options.items() if value is not False}
    if {"maximize", "capturable", "differentiable", "foreach", "fused"} & set(options):
        return None
    flags = tuple(sorted({key for key, value in options.items() if value is True}))
    numbers: dict[str, Any] = {key: value for key, value in options.items() if value is not True}
    for key, names in (
        ("betas", "beta1 beta2"),
        ("etas", "etaminus etaplus"),
        ("step_sizes", "step_size_min step_size_max"),
    ):
        if key in numbers:
            numbers |= dict(zip(names.split(), numbers.pop(key), strict=True))
    momentum = bool(numbers.get("momentum"))
    kinds = {
        ("AdamW", ()): "adamw",
        ("Adam", ()): "adam",
        ("Adam", ("amsgrad",)): "amsgrad",
        ("Adamax", ()): "adamax",
        ("NAdam", ()): "nadam",
        ("NAdam", ("decoupled_weight_decay",)): "nadamw",
        ("RAdam", ()): "radam",
        ("RMSprop", ()): "rmsprop-momentum" if momentum else "rmsprop",
        ("RMSprop", ("centered",)): "rmsprop-centered-momentum" if momentum else "rmsprop-centered",
        ("Adagrad", ()): "adagrad",
        ("Adadelta", ()): "adadelta",
        ("Rprop", ()): "rprop",
        ("SGD", ()): "momentum" if momentum else "sgd",
        ("SGD", ("nesterov",)): "nesterov",
    }
    rule = kinds.get((name, flags))
    return None if rule is None else (rule, numbers)


def info_of(name: str) -> Any:
    """What torch's tests know of an optimizer."""
    db = pytest.importorskip("torch.testing._internal.common_optimizers", exc_type=ImportError).optim_db
    return next(info for info in db if info.optim_cls.__name__ == name)


COMPUTED = {
    "AdamW": 3, "Adam": 4, "Adamax": 3, "NAdam": 6, "RAdam": 3, "RMSprop": 5, "Adagrad": 5, "Adadelta": 4, "Rprop": 3,
    "SGD": 6,
}  # fmt: skip
"""Torch's classes, and at least how many of the configurations of its tests a classic rule computes."""


@forms
@pytest.mark.parametrize("name", COMPUTED)
def test_computes_the_configurations_of_torchs_tests(name: str, form: str) -> None:
    info = info_of(name)
    count = 0
    for case in info.optim_inputs_func("cpu"):
        found = named_as_in_rules(name, case.kwargs)
        if found is None:
            continue
        count += 1
        rule, numbers = found
        params = weights(), weights()
        for optimizer in (
            info.optim_cls(params[0], **case.kwargs),
            maker_of(form, rule, {**numbers, "compile": False})(params[1]),
        ):
            steps(optimizer, 6)
        for one, other in zip(*params, strict=True):
            torch.testing.assert_close(other, one, rtol=2e-6, atol=2e-7, msg=f"differs: {case}")
    assert count >= COMPUTED[name]


@forms
def test_refuses_what_torch_refuses(form: str) -> None:
    """Each wrong use of torch's own list that has a meaning here raises the same type of error, or warning."""
    info = info_of("AdamW")
    count = 0
    for case in info.optim_error_inputs_func("cpu", torch.float32):
        options = dict(case.optimizer_error_input.kwargs)
        if "foreach" in options or any(isinstance(value, Tensor) for value in options.get("betas", ())):
            continue  # of torch's implementations alone
        count += 1
        if "betas" in options:
            options |= dict(zip(("beta1", "beta2"), options.pop("betas"), strict=True))
        params = case.optimizer_error_input.params
        params = weights() if params is None else params
        desc = case.optimizer_error_input.desc
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                maker_of(form, "adamw", options)(params)
            except case.error_type:
                continue
        raise AssertionError(f"accepted: {desc}")
    assert count >= 8


# --- Descent --------------------------------------------------------------------------------------------------


@forms
@rules
@pytest.mark.parametrize("contiguous", [True, False])
def test_goes_in_the_right_direction(rule: str, contiguous: bool, form: str) -> None:
    """A linear model under its loss, its weight in one piece of memory or not."""
    stream = torch.Generator().manual_seed(0)
    wide = torch.randn(10, 5, 2, generator=stream)
    weight = nn.Parameter(wide[..., 0].contiguous() if contiguous else wide[..., 0])
    bias = nn.Parameter(torch.randn(10, generator=stream))
    x = torch.randn(5, generator=stream)
    optimizer = maker(form, rule)([weight, bias])
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (weight.mv(x) + bias).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert weight.is_contiguous() == contiguous
    assert losses[-1] < 0.8 * losses[0]


@forms
@rules
def test_layout_changes_nothing(rule: str, form: str) -> None:
    """Transposed, strided, expanded and channels-last weights and gradients get the steps of plain ones."""
    stream = torch.Generator().manual_seed(0)
    value = torch.randn(4, 3, 2, 2, generator=stream)
    grads = [torch.randn(4, 3, 2, 2, generator=stream) for _ in range(3)]
    layouts: dict[str, Callable[[Tensor], Tensor]] = {
        "plain": lambda one: one.clone(),
        "channels last": lambda one: one.clone(memory_format=torch.channels_last),
        "transposed": lambda one: one.transpose(0, 1).contiguous().transpose(0, 1),
        "strided": lambda one: torch.stack([one, one], dim=-1)[..., 0],
    }
    found = {}
    for weight_layout, lay_weight in layouts.items():
        for grad_layout, lay_grad in layouts.items():
            param = nn.Parameter(lay_weight(value))
            optimizer = maker(form, rule)([param], compile=False)
            for grad in grads:
                param.grad = lay_grad(grad)
                optimizer.step()
            found[weight_layout, grad_layout] = param.detach()
    assert all(torch.equal(one, found["plain", "plain"]) for one in found.values())


@forms
@pytest.mark.parametrize("compiled", [True, False])
def test_types_of_weights_mix(compiled: bool, form: str) -> None:
    """Half, single and double precision in one group: each gets the steps that it gets alone."""
    dtypes = [torch.float32, torch.bfloat16, torch.float64, torch.float16]
    params = [param for dtype in dtypes for param in weights(dtype=dtype)]
    alone = [weights(dtype=dtype) for dtype in dtypes]
    steps(maker(form, "adamw")(params, compile=compiled), 4)
    for group in alone:
        steps(maker(form, "adamw")(group, compile=compiled), 4)
    for one, other in zip(params, [param for group in alone for param in group], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@forms
@rules
def test_one_group_or_one_for_each(rule: str, form: str) -> None:
    together, apart = weights(), weights()
    steps(maker(form, rule)(together), 4)
    steps(maker(form, rule)([{"params": [param]} for param in apart]), 4)
    assert same(together, apart)


@forms
def test_a_group_has_its_own_lr_and_decay(form: str) -> None:
    params = weights()
    optimizer = maker(form, "adamw")(
        [{"params": params[:1]}, {"params": params[1:2], "lr": 0.0}, {"params": params[2:], "weight_decay": 0.0}]
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.1, 0.0]
    theirs = weights()
    reference = torch.optim.AdamW(
        [{"params": theirs[:1]}, {"params": theirs[1:2], "lr": 0.0}, {"params": theirs[2:], "weight_decay": 0.0}],
        **RULES["adamw"][1],  # type: ignore[arg-type]
    )
    before = params[1].detach().clone()
    for one in (optimizer, reference):
        steps(one, 5)
    assert torch.equal(params[1], before)
    for one, other in zip(params, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@forms
@rules
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_lr_as_a_tensor(rule: str, shape: tuple[int, ...], form: str) -> None:
    """It is read at each step, and a scheduler changes it in place."""
    lr = RULES[rule][1]["lr"]
    tensor = torch.full(shape, lr, dtype=torch.float64)
    params = weights(), weights()
    optimizers = maker(form, rule)(params[0], lr=tensor), maker(form, rule)(params[1], lr=lr)
    for optimizer in optimizers:
        steps(optimizer, 6, [torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)])
    for one, other in zip(*params, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
    assert isinstance(optimizers[0].param_groups[0]["lr"], Tensor)


# --- Gradients that are missing, and closures -----------------------------------------------------------------


@forms
@rules
def test_nothing_happens_where_there_is_no_gradient(rule: str, form: str) -> None:
    params = weights()
    before = copy.deepcopy(params)
    optimizer = maker(form, rule)(params)
    optimizer.step()
    assert same(params, before)
    assert not optimizer.state
    params[1].grad = torch.ones_like(params[1])
    optimizer.step()
    assert same([params[0], params[2]], [before[0], before[2]])
    assert set(optimizer.state) == {params[1]}


@forms
@rules
def test_zero_gradients_move_nothing_but_by_decay(rule: str, form: str) -> None:
    params = weights()
    before = copy.deepcopy(params)
    decay = {"weight_decay": 0.0} if "weight_decay" in RULES[rule][1] else {}
    optimizer = maker(form, rule)(params, **decay)
    for _ in range(3):
        for param in params:
            param.grad = torch.zeros_like(param)
        optimizer.step()
    assert same(params, before)


@forms
@rules
def test_weights_without_elements_and_frozen_ones(rule: str, form: str) -> None:
    empty, frozen = nn.Parameter(torch.empty(0, 3)), nn.Parameter(torch.ones(2), requires_grad=False)
    params = weights()
    losses = steps(maker(form, rule)([*params, empty]), 3)
    assert losses[-1] < losses[0]
    optimizer = maker(form, rule)([*params, frozen])
    optimizer.zero_grad()
    quadratic(*params).backward()
    optimizer.step()
    assert frozen.tolist() == [1, 1]


@forms
@rules
def test_closure(rule: str, form: str) -> None:
    """It is called once, with gradients enabled, and its loss is returned."""
    params, plain = weights(), weights()
    optimizer = maker(form, rule)(params)
    calls = []

    def closure() -> Tensor:
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = quadratic(*params)
        loss.backward()
        calls.append(loss.item())
        return loss

    with torch.no_grad():
        returned = [optimizer.step(closure).item() for _ in range(4)]
    assert returned == calls
    assert returned == steps(maker(form, rule)(plain), 4)
    assert same(params, plain)
    assert optimizer.step() is None


@forms
def test_gradients_that_are_sparse_or_complex_are_refused(form: str) -> None:
    table = nn.Embedding(4, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = maker(form, "sign")(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises((ValueError, RuntimeError), match="sparse"):
        optimizer.step()
    assert torch.equal(table.weight, before)


# --- Hooks ----------------------------------------------------------------------------------------------------


@forms
def test_hooks_of_steps(form: str) -> None:
    """Those of the optimizer and of all optimizers, in torch's order; one before may change the arguments."""
    params = weights()
    optimizer = maker(form, "sign")(params)
    quadratic(*params).backward()
    order: list[str] = []
    replaced: list[Any] = []

    def before(one: Any, args: Any, options: Any) -> Any:
        order.append("before")
        replaced.append(args)
        return (one, lambda: order.append("closure") or 7), options

    handles = [
        optimizer.register_step_pre_hook(before),
        optimizer.register_step_post_hook(lambda one, args, options: order.append("after")),
        register_optimizer_step_pre_hook(lambda one, args, options: order.append("before any")),
        register_optimizer_step_post_hook(lambda one, args, options: order.append("after any")),
    ]
    try:
        assert optimizer.step() == 7
    finally:
        for handle in handles:
            handle.remove()
    assert order == ["before any", "before", "closure", "after", "after any"]
    optimizer.step()
    assert len(order) == 5


@forms
def test_hooks_of_state_dicts(form: str) -> None:
    """A hook before sees the optimizer; one after changes the dict in place, or gives another."""
    params = weights()
    optimizer = maker(form, "adamw")(params)
    steps(optimizer, 2)

    def pre(one: torch.optim.Optimizer) -> None:
        one.param_groups[0]["note"] = 5

    def post_in_place(one: Any, state: dict[str, Any]) -> None:
        state["param_groups"][0]["lr"] = 0.25

    def post(one: Any, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "more": "kept"}

    handles = [
        optimizer.register_state_dict_pre_hook(pre),
        optimizer.register_state_dict_post_hook(post_in_place),
        optimizer.register_state_dict_post_hook(post),
    ]
    found = optimizer.state_dict()
    assert found["param_groups"][0]["note"] == 5
    assert found["param_groups"][0]["lr"] == 0.25
    assert found["more"] == "kept"
    assert optimizer.param_groups[0]["lr"] == RULES["adamw"][1]["lr"]
    for handle in handles:
        handle.remove()
    assert "more" not in optimizer.state_dict()


@forms
def test_a_hook_before_loading_converts_a_foreign_state_dict(form: str) -> None:
    """The state dict of torch's AdamW, converted by a hook: then both go on alike."""
    theirs, ours = weights(), weights()
    reference = torch.optim.AdamW(theirs, **RULES["adamw"][1])  # type: ignore[arg-type]
    steps(reference, 3)
    with torch.no_grad():
        for one, other in zip(ours, theirs, strict=True):
            one.copy_(other)
    optimizer = maker(form, "adamw")(ours)

    def convert(one: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        states = {
            key: {"t": int(value["step"]), "m": value["exp_avg"], "v": value["exp_avg_sq"]}
            for key, value in state_dict["state"].items()
        }
        groups = [
            {**group, "beta1": group["betas"][0], "beta2": group["betas"][1]} for group in state_dict["param_groups"]
        ]
        return {"state": states, "param_groups": groups}

    optimizer.register_load_state_dict_pre_hook(convert)
    optimizer.load_state_dict(reference.state_dict())
    for one in (reference, optimizer):
        steps(one, 3)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@forms
def test_hooks_of_loading_have_effect(form: str) -> None:
    """One before changes values, in place or by another dict; what one after sets stays."""
    first = weights()
    optimizer = maker(form, "adamw")(first)
    steps(optimizer, 2)
    saved = optimizer.state_dict()
    other = maker(form, "adamw")(weights())

    def scale(one: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        states = {key: {**value, "m": 2 * value["m"]} for key, value in state_dict["state"].items()}
        return {**state_dict, "state": states}

    def pin(one: torch.optim.Optimizer) -> None:
        for param in one.param_groups[0]["params"]:
            one.state[param]["v"].fill_(0.5)

    other.register_load_state_dict_pre_hook(scale)
    other.register_load_state_dict_post_hook(pin)
    other.load_state_dict(saved)
    for mine, theirs in zip(other.param_groups[0]["params"], first, strict=True):
        torch.testing.assert_close(other.state[mine]["m"], 2 * optimizer.state[theirs]["m"], rtol=0, atol=0)
        assert (other.state[mine]["v"] == 0.5).all()


# --- State dicts, copies and pickles --------------------------------------------------------------------------


@forms
@rules
@pytest.mark.parametrize("named", [(False, False), (True, True), (False, True), (True, False)])
def test_state_dicts_go_on_bit_for_bit(rule: str, named: tuple[bool, bool], form: str) -> None:
    """Of named parameters into unnamed ones, too; by way of a file that holds plain data."""
    params, others = weights(), weights()

    def groups(some: list[nn.Parameter], by_name: bool) -> Any:
        pairs = [(f"weight{index}", param) for index, param in enumerate(some)]
        return [
            {"params": pairs[:2] if by_name else some[:2]},
            {"params": pairs[2:] if by_name else some[2:], "lr": 0.5},
        ]

    optimizer = maker(form, rule)(groups(params, named[0]))
    steps(optimizer, 3)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = maker(form, rule)(groups(others, named[1]))
    with torch.no_grad():
        for one, value in zip(others, params, strict=True):
            one.copy_(value)
    other.load_state_dict(torch.load(file, weights_only=True))
    left, right = optimizer.state_dict(), other.state_dict()
    for group in left["param_groups"] + right["param_groups"]:
        group.pop("param_names", None)
    assert same(left, right)
    for one in (optimizer, other):
        steps(one, 3)
    assert same(params, others)


@forms
@rules
def test_loading_leaves_the_given_dict_alone(rule: str, form: str) -> None:
    optimizer = maker(form, rule)(weights())
    steps(optimizer, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    before = copy.deepcopy(saved)
    other = maker(form, rule)(weights())
    other.load_state_dict(saved)
    steps(other, 2)
    assert same(saved, before)


@forms
def test_a_state_dict_of_other_groups_is_refused(form: str) -> None:
    optimizer = maker(form, "adamw")(weights())
    steps(optimizer, 1)
    saved = optimizer.state_dict()
    two = maker(form, "adamw")([{"params": [param]} for param in weights()])
    fewer = maker(form, "adamw")(weights()[:2])
    for other in (two, fewer):
        before = copy.deepcopy(other.state_dict())
        with pytest.raises(ValueError, match=r"param|group"):
            other.load_state_dict(saved)
        assert same(other.state_dict(), before)


@forms
def test_more_entries_a_parameter_are_kept(form: str) -> None:
    optimizer = maker(form, "adamw")(weights())
    steps(optimizer, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        state["ema"] = torch.ones_like(state["m"])
        state["counts"] = [1, 2.5]
    other = maker(form, "adamw")(weights())
    other.load_state_dict(saved)
    steps(other, 1)
    for state in other.state_dict()["state"].values():
        assert (state["ema"] == 1).all()
        assert state["counts"] == [1, 2.5]


@forms
@rules
@pytest.mark.parametrize("stage", ["before the first step", "later"])
def test_copies_and_pickles_go_on(rule: str, stage: str, form: str) -> None:
    net = nn.Linear(3, 2)
    optimizer = maker(form, rule)(net.parameters())
    if stage == "later":
        steps(optimizer, 3)
    pairs = [(net, optimizer), copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))]
    for _, one in pairs:
        assert type(one) is type(optimizer)
        assert repr(one) == repr(optimizer)
    for _, one in pairs:
        steps(one, 6, [torch.optim.lr_scheduler.StepLR(one, 2)])
    for other, copied in pairs[1:]:
        assert same(list(other.parameters()), list(net.parameters()))
        assert same(copied.state_dict(), optimizer.state_dict())


@forms
def test_a_copy_has_all_public_attributes(form: str) -> None:
    optimizer = maker(form, "adamw")(weights())
    public = [{name for name in vars(one) if not name.startswith("_")} for one in (optimizer, copy.deepcopy(optimizer))]
    assert public[0] == public[1]


# --- Groups ---------------------------------------------------------------------------------------------------

FOREIGN = {
    "maximize": False,
    "lr_scale": 0.5,
    "rho": 0.05,
    "counter": 3,
    "fused": None,
    "tags": ["a"],
    "d": torch.ones(2),
}


@forms
@rules
def test_foreign_group_keys_are_left_alone(rule: str, form: str) -> None:
    """Given at the start, added with a group, set later: the steps are the same, and state dicts carry them."""
    params, plain = weights(), weights()
    optimizer = maker(form, rule)([{"params": params[:1], **FOREIGN}])
    optimizer.add_param_group({"params": params[1:], **FOREIGN})
    steps(optimizer, 2)
    optimizer.param_groups[0]["later"] = "set after the first step"
    steps(optimizer, 2)
    steps(maker(form, rule)([{"params": plain[:1]}, {"params": plain[1:]}]), 4)
    assert same(params, plain)
    saved = copy.deepcopy(optimizer.state_dict())
    other = maker(form, rule)([{"params": plain[:1]}, {"params": plain[1:]}])
    other.load_state_dict(saved)
    for group, loaded in zip(optimizer.param_groups, other.param_groups, strict=True):
        for name in FOREIGN:
            assert same(group[name], loaded[name])
    assert other.param_groups[0]["later"] == "set after the first step"


@forms
def test_weight_decay_of_a_rule_that_has_none(form: str) -> None:
    """As libraries set it for biases: 0 is silent, another value warns that it does nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(maker(form, "sign")([{"params": weights(), "weight_decay": 0.0}]), 1)
    with pytest.warns(UserWarning, match="weight_decay"):
        steps(maker(form, "sign")([{"params": weights(), "weight_decay": 0.1}]), 1)


@forms
def test_add_param_group(form: str) -> None:
    params = weights()
    optimizer = maker(form, "adamw")(params[:1])
    steps(optimizer, 2)
    optimizer.add_param_group({"params": params[1], "lr": 0.5})
    optimizer.add_param_group({"params": params[2:]})
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.5, 0.01]
    steps(optimizer, 1)
    assert [optimizer.state[param]["t"] for param in params] == [3, 1, 1]
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": params[0]})
    with pytest.raises(TypeError):
        optimizer.add_param_group({"params": {params[0]}})
    assert len(optimizer.param_groups) == 3


@forms
def test_empty_lists_and_leaves(form: str) -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        maker(form, "adamw")([])
    with pytest.raises(ValueError, match="non-leaf"):
        maker(form, "adamw")([weights()[0] * 2])
    with pytest.raises(TypeError):
        maker(form, "adamw")(["weight"])


@forms
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["lr", "weight_decay", "eps"])
def test_numbers_that_torch_refuses(name: str, value: float, form: str) -> None:
    with pytest.raises(ValueError, match=name):
        maker(form, "adamw")(weights(), **{name: value})


@forms
def test_printed_and_profiled(form: str) -> None:
    optimizer = maker(form, "adamw")([{"params": weights(), "tag": "first"}])
    for text in ("Parameter Group 0", "lr: 0.01", "weight_decay: 0.1", "tag: first"):
        assert text in repr(optimizer)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        steps(optimizer, 1)
    assert any("Optimizer.step#" in event.name for event in profile.events())


@forms
def test_zero_grad(form: str) -> None:
    params = weights()
    optimizer = maker(form, "adamw")(params)
    quadratic(*params).backward()
    optimizer.zero_grad(set_to_none=False)
    assert all(param.grad is not None and not param.grad.any() for param in params)
    optimizer.zero_grad()
    assert all(param.grad is None for param in params)


@forms
@rules
def test_trains_under_another_default_type(rule: str, form: str) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        params, plain = weights(), weights()
        steps(maker(form, rule)(params), 3)
    finally:
        torch.set_default_dtype(before)
    steps(maker(form, rule)(plain), 3)
    assert same(params, plain)

"""What torch's optimizers promise their clients, held by ``symevo.Optimizer`` and by exported files alike."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from export_files import module_of
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_models import model, same, train, weight

from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.export.writer import source
from symevo.rules.program import Program
from symevo.rules.rule import Rule, rule
from symevo.rules.schedule import Schedule

PLAIN = rule("theta = theta - lr*sign(g)", lr=0.1)
NUMBER = rule("rows = rows + 1\ntheta = theta - lr*g/rows", lr=0.1)
SCHEDULED = Rule(
    Program.parse("m = beta1*m + (1 - beta1)*g\ntheta = theta - lr*m"), {"beta1": 0.9, "lr": 0.1}, Schedule(2, "linear")
)
RULES = {"plain": PLAIN, "number": NUMBER, "scheduled": SCHEDULED}
RULES |= {name: CLASSICS.get(name) for name in ("adamw", "nadam", "momentum", "sgd")}
Make = Callable[..., torch.optim.Optimizer]
_files: dict[str, Any] = {}


def ours(name: str) -> Make:
    return lambda params, **hyper: Optimizer(params, RULES[name], **{"compile": False, **hyper})


def exported(name: str) -> Make:
    if name not in _files:
        _files[name] = module_of(source(RULES[name], name="Found"))
    return lambda params, **hyper: _files[name].Found(params, **{"compile": False, **hyper})


both = pytest.mark.parametrize("kind", [ours, exported], ids=["Optimizer", "exported"])


@pytest.fixture(autouse=True)
def _loud():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".torch.jit.script_method.", DeprecationWarning)  # torch 2.10's own imports
        yield


def said(act: Callable[[], Any]) -> list[str]:
    """The warnings of an act."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        act()
    return [str(one.message) for one in found]


def snapshot(optimizer: torch.optim.Optimizer) -> str:
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return repr((groups, list(optimizer.state.values())))


# --- Keys of param groups -----------------------------------------------------------------------------------

FOREIGN = ("lr_scale", "rho", "adaptive", "counter", "max_lr", "swa_lr", "base_momentum", "base_lr", "warmup_steps",
           "initial_lr", "name", "weight_decay_mult", "width_mult", "step_num", "k", "use_muon", 7)  # fmt: skip
keys = st.sampled_from(FOREIGN) | st.text("abcxyz_", min_size=13)
values = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3) | st.lists(st.integers())


@both
@settings(max_examples=25, deadline=None)
@given(given_keys=st.dictionaries(keys, values, max_size=5), later=st.dictionaries(keys, values, max_size=3))
def test_keys_of_others_are_left_alone(kind, given_keys, later):
    param, reference = weight(2), weight(2)
    optimizer, alone = kind("adamw")([{"params": [param], **given_keys}]), kind("adamw")([reference])
    optimizer.step()
    optimizer.param_groups[0].update(later)
    optimizer.step()
    again = kind("adamw")([weight(2)])
    again.load_state_dict(optimizer.state_dict())
    again.step()
    kept = {**given_keys, **later}
    for one in (optimizer, again, copy.deepcopy(again)):
        assert repr({key: one.param_groups[0][key] for key in kept}) == repr(kept)
    alone.step()
    alone.step()
    assert torch.equal(param, reference)


@both
@pytest.mark.parametrize("when", ["at construction", "in a new group", "later"])
@pytest.mark.parametrize(
    ("name", "key", "value", "hint"),
    [
        ("adamw", "weight_deacy", 0.5, "weight_decay"),
        ("adamw", "weightdecay", 0.5, "weight_decay"),
        ("adamw", "weight-decay", 0.0, "weight_decay"),
        ("adamw", "Beta1", 0.5, "beta1"),
        ("adamw", "beta", 0.5, "beta"),
        ("momentum", "momentun", 0.5, "momentum"),
        ("plain", "weight_decay", 0.5, "weight"),
        ("plain", "weight_decay", torch.tensor(0.5), "weight"),
    ],
)
def test_a_key_that_looks_like_a_hyperparameter_warns_once(kind, name, key, value, hint, when):
    first, second = weight(2), weight(2)

    def act() -> None:
        if when == "at construction":
            optimizer = kind(name)([{"params": [first], key: value}, {"params": [second], key: value}])
        elif when == "later":
            optimizer = kind(name)([first])
            optimizer.param_groups[0][key] = value
        else:
            optimizer = kind(name)([first])
            optimizer.add_param_group({"params": [second], key: value})
        for _ in range(3):
            optimizer.step()
        again = pickle.loads(pickle.dumps(optimizer))
        again.load_state_dict(optimizer.state_dict())
        again.step()

    (message,) = said(act)
    assert f"{key!r}" in message
    assert "has no effect" in message
    assert hint in message
    reference = weight(2)
    alone = kind(name)([reference])
    for _ in range(3):
        alone.step()
    assert torch.equal(first, reference)


@both
@pytest.mark.parametrize("value", [0, 0.0, None, torch.tensor(0.0)])
def test_no_weight_decay_for_a_rule_without_one_is_silent(kind, value):
    param = weight(1)
    optimizer = kind("plain")([{"params": [param], "weight_decay": value}])
    optimizer.step()
    assert param.item() == pytest.approx(0.9)


@both
@pytest.mark.parametrize("name", ["plain", "adamw"])
def test_keywords_of_the_constructor_stay_strict(kind, name):
    with pytest.raises((TypeError, ValueError), match="lr_scale"):
        kind(name)([weight(1)], lr_scale=0.5)


@both
@pytest.mark.parametrize("name", ["weight_decay", "momentum"])
def test_what_torch_refuses_below_0_is_refused(kind, name):
    with pytest.raises(ValueError, match=f"{name} must .*not"):
        kind("momentum")([weight(1)], **{name: -0.1})


@both
def test_a_learning_rate_of_two_elements_is_refused(kind):
    with pytest.raises(ValueError, match=r"lr must be .*a tensor of one element"):
        kind("adamw")([weight(1)], lr=torch.ones(2))
    with pytest.raises(ValueError, match=r"[Tt]ensor lr must be 1-element"):
        torch.optim.AdamW([weight(1)], lr=torch.ones(2))


# --- State dicts --------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("name", ["adamw", "nadam", "sgd", "number"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_entries_of_others_are_kept_bit_for_bit(kind, name, dtype, data):
    entry = st.none() | st.integers() | st.floats(allow_nan=False) | st.just("tensor")  # torch itself keeps no text
    extra = st.dictionaries(st.text("abcxyz_", min_size=5, max_size=8), entry, max_size=3)
    net = model(dtype=dtype)
    optimizer = kind(name)(net.parameters())
    early = data.draw(st.booleans(), label="before the first step")
    frozen = net[2].bias.requires_grad_(not data.draw(st.booleans(), label="one without gradients"))
    train(net, optimizer, 0 if early else 2)
    kept = {}
    for param in net.parameters():
        made = data.draw(extra)
        kept[param] = {key: torch.randn_like(param) if value == "tensor" else value for key, value in made.items()}
        optimizer.state[param].update(kept[param])
    train(net, optimizer, 2)
    twin = model(seed=3, dtype=dtype)
    twin[2].bias.requires_grad_(frozen.requires_grad)
    twin.load_state_dict(net.state_dict())
    again = kind(name)(twin.parameters())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert repr(again.state_dict()) == repr(optimizer.state_dict())
    for one, param in zip(twin.parameters(), net.parameters(), strict=True):
        for key, value in kept[param].items():
            found = again.state[one][key]
            assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value
    train(net, optimizer, 2, seed=1)
    train(twin, again, 2, seed=1)
    assert same(net, twin)


@both
@pytest.mark.parametrize("name", ["adamw", "nadam", "number"])
def test_what_a_rule_needs_must_be_there(kind, name):
    net = model()
    optimizer = kind(name)(net.parameters())
    train(net, optimizer, 2)
    before = snapshot(optimizer)
    for key in optimizer.state_dict()["state"][0]:
        saved = copy.deepcopy(optimizer.state_dict())
        saved["state"][3].pop(key)
        with pytest.raises(ValueError, match=r"the state dict .*holds"):
            optimizer.load_state_dict(saved)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0].pop("lr")
    with pytest.raises(ValueError, match="has no lr"):
        optimizer.load_state_dict(saved)
    assert snapshot(optimizer) == before


@both
@pytest.mark.parametrize("other", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("name", ["adamw", "momentum", "sgd"])
def test_the_state_of_another_optimizer_is_refused(kind, name, other):
    param = weight(2)
    stranger = other([param], momentum=0.9) if other is torch.optim.SGD else other([param])
    stranger.step()
    optimizer = kind(name)([param])
    optimizer.step()
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=r"the state dict .*holds (exp_avg, exp_avg_sq, step|momentum_buffer)"):
        optimizer.load_state_dict(stranger.state_dict())
    assert snapshot(optimizer) == before


@both
@pytest.mark.parametrize("name", ["adamw", "nadam", "momentum"])
@pytest.mark.parametrize("wide", [(5, 1, 5, 3), (5, 1, 6, 4), (5, 3, 5, 1), (1, 1, 1, 1)], ids=str)
def test_states_of_other_shapes_are_refused_and_nothing_changes(kind, name, wide):
    small, large = torch.nn.Linear(*wide[:2]), torch.nn.Linear(*wide[2:])
    first, second = kind(name)(small.parameters(), lr=0.1), kind(name)(large.parameters(), lr=0.5)
    for net, optimizer in ((small, first), (large, second)):
        for param in net.parameters():
            param.grad = torch.ones_like(param)
        optimizer.step()
    before, saved = snapshot(second), first.state_dict()
    if wide[:2] == wide[2:]:
        second.load_state_dict(saved)
        assert snapshot(second) == snapshot(first)
        return
    with pytest.raises(ValueError, match=r"the state dict .*shape"):
        second.load_state_dict(saved)
    assert snapshot(second) == before
    second.step()


@both
def test_the_last_state_being_wrong_changes_nothing(kind):
    net = model()
    optimizer = kind("nadam")(net.parameters())
    train(net, optimizer, 2)
    before = snapshot(optimizer)
    for key, value in (("v", torch.ones(1)), ("v", "x"), ("mu_product", "x"), ("t", None), ("m", None)):
        saved = copy.deepcopy(optimizer.state_dict())
        saved["param_groups"][0]["lr"] = 0.7
        saved["state"][3][key] = value
        with pytest.raises(ValueError, match=f"{key} "):
            optimizer.load_state_dict(saved)
        assert snapshot(optimizer) == before


@both
def test_a_number_saved_as_a_tensor_is_a_number(kind):
    net = model()
    optimizer = kind("nadam")(net.parameters())
    train(net, optimizer, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        state.update(t=torch.tensor(state["t"]), mu_product=torch.tensor(state["mu_product"], dtype=torch.float64))
    before = snapshot(optimizer)
    optimizer.load_state_dict(saved)
    assert snapshot(optimizer) == before


# --- Hooks of load_state_dict -------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("name", ["adamw", "nadam"])
@settings(max_examples=12, deadline=None)
@given(factors=st.lists(st.tuples(st.sampled_from(["pre", "new", "post"]), st.integers(1, 4)), max_size=5))
def test_hooks_do_what_they_do_in_torch(kind, name, factors):
    """Each multiplies the first weight's v; a pre-hook in place or by a new dict, a post-hook in the optimizer."""
    net = model(dtype=torch.bfloat16)
    optimizer = kind(name)(net.parameters())
    train(net, optimizer, 2)
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    again = kind(name)(net.parameters())
    seen = []

    def pre(factor: int):
        def hook(_, state_dict: dict[str, Any]) -> None:
            states = dict(state_dict["state"])
            states[0] = {**states[0], "v": states[0]["v"] * factor}
            state_dict["state"] = states

        return hook

    def new(factor: int):
        def hook(_, state_dict: dict[str, Any]) -> dict[str, Any]:
            changed = copy.deepcopy(state_dict)
            changed["state"][0]["v"] *= factor
            return changed

        return hook

    def post(factor: int):
        def hook(loaded: torch.optim.Optimizer) -> None:
            seen.append(loaded.state[net[0].weight]["v"].dtype)
            loaded.state[net[0].weight]["v"] *= factor

        return hook

    for which, factor in factors:
        if which == "post":
            again.register_load_state_dict_post_hook(post(factor))
        else:
            again.register_load_state_dict_pre_hook(pre(factor) if which == "pre" else new(factor))
    again.load_state_dict(saved)
    expected = before["state"][0]["v"]
    for _, factor in factors:
        expected = expected * factor
    assert torch.equal(again.state[net[0].weight]["v"], expected)
    assert set(seen) <= {torch.float32}
    assert repr(saved) == repr(before)
    count = len(again._optimizer_load_state_dict_pre_hooks)
    assert count == sum(which != "post" for which, _ in factors)


@both
def test_a_pre_hook_may_convert_the_state_of_another_optimizer(kind):
    nets = model(), model()
    theirs = torch.optim.AdamW(nets[0].parameters(), lr=0.01)
    train(nets[0], theirs, 3)

    def convert(_, state_dict: dict[str, Any]) -> dict[str, Any]:
        states = {
            index: {"t": int(state["step"]), "m": state["exp_avg"], "v": state["exp_avg_sq"]}
            for index, state in state_dict["state"].items()
        }
        groups = [
            {"beta1": group["betas"][0], "beta2": group["betas"][1], **group} for group in state_dict["param_groups"]
        ]
        return {"state": states, "param_groups": groups}

    optimizer = kind("adamw")(nets[1].parameters())
    optimizer.register_load_state_dict_pre_hook(convert)
    nets[1].load_state_dict(nets[0].state_dict())
    said(lambda: optimizer.load_state_dict(theirs.state_dict()))
    train(nets[0], theirs, 3, seed=1)
    said(lambda: train(nets[1], optimizer, 3, seed=1))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-7)


@both
def test_a_hook_that_raises_leaves_all_as_it_was(kind):
    net = model()
    optimizer = kind("adamw")(net.parameters())
    train(net, optimizer, 1)
    before, saved = snapshot(optimizer), copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["lr"] = 0.7

    def broken(*_):
        raise RuntimeError("broken")

    handle = optimizer.register_load_state_dict_pre_hook(broken)
    with pytest.raises(RuntimeError, match="broken"):
        optimizer.load_state_dict(saved)
    assert snapshot(optimizer) == before
    handle.remove()
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.7


# --- The rest -----------------------------------------------------------------------------------------------


@both
def test_the_rate_in_use_has_a_name(kind):
    a, b, c = weight(1), weight(1), weight(1)
    c.grad = None
    groups = [{"params": [a]}, {"params": [b], "lr": 0.5}, {"params": [c], "lr": 1.0}]
    optimizer: Any = kind("scheduled")(groups, total_steps=10)
    assert optimizer.get_last_lr() == pytest.approx([0.05, 0.25, 0.5])  # of the first step: half of the warmup
    factors = [0.5, 0.9, 0.8, 0.7]
    for factor in factors:
        optimizer.step()
        assert optimizer.get_last_lr() == pytest.approx([0.1 * factor, 0.5 * factor, 0.5])
    again: Any = kind("scheduled")([{"params": [weight(1)]} for _ in range(3)], total_steps=10)
    again.load_state_dict(optimizer.state_dict())
    assert again.get_last_lr() == optimizer.get_last_lr() == copy.deepcopy(optimizer).get_last_lr()
    optimizer.param_groups[0]["lr"] = torch.tensor(1.0)
    assert optimizer.get_last_lr()[0] == pytest.approx(0.7)
    plain: Any = kind("plain")([weight(1)], lr=0.25)
    assert plain.get_last_lr() == [0.25]


@both
def test_the_rule_as_torchs_scheduler_shows_its_rate_in_the_group(kind):
    """The schedule without total_steps, by a scheduler of torch's, for monitors that read ``group["lr"]``."""
    nets, shown = (model(), model()), []
    inside: Any = kind("scheduled")(nets[0].parameters(), total_steps=5)
    outside: Any = None

    def make() -> None:
        nonlocal outside
        outside = kind("scheduled")(nets[1].parameters())

    assert "give total_steps" in said(make)[0]
    scheduler = torch.optim.lr_scheduler.LambdaLR(outside, lambda step: SCHEDULED.schedule.factor(step, 5))
    for _ in range(5):
        shown.append(outside.param_groups[0]["lr"])
        train(nets[0], inside, 1)
        train(nets[1], outside, 1, scheduler=scheduler)
        assert inside.get_last_lr() == [shown[-1]]
    assert same(*nets)


@both
def test_a_wrapper_may_put_something_into_a_state_before_the_first_step(kind):
    nets = model(), model()
    optimizers = [kind("nadam")(net.parameters()) for net in nets]
    for param in nets[0].parameters():
        optimizers[0].state[param]["slow"] = param.detach().clone()
    for net, optimizer in zip(nets, optimizers, strict=True):
        train(net, optimizer, 3)
    assert same(*nets)
    assert all("slow" in state for state in optimizers[0].state.values())


@both
@pytest.mark.parametrize("options", [{"compile": True}, {"compile": False}])
def test_meta_tensors_take_steps(kind, options):
    param = weight(3, 4, device="meta")
    optimizer = kind("adamw")([param], **options)
    optimizer.step()
    optimizer.step()
    state = optimizer.state[param]
    assert (state["t"], state["m"].device.type, state["m"].shape) == (2, "meta", (3, 4))


@both
@pytest.mark.parametrize("options", [{"compile": True}, {"compile": False}])
def test_sharded_weights_beside_plain_ones_take_the_same_step(kind, options, tmp_path):
    dist = torch.distributed
    if not dist.is_available():
        pytest.skip("this torch has no torch.distributed")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        one = init_device_mesh("cpu", (1,))
        two = init_device_mesh("cpu", (1, 1), mesh_dim_names=("a", "b"))
        plain = torch.arange(12.0).reshape(4, 3)
        params = [
            torch.nn.Parameter(value)
            for value in (
                plain.clone(),
                distribute_tensor(plain.clone(), one, [Shard(0)]),
                distribute_tensor(plain.clone(), two, [Shard(0), Shard(1)]),
                plain.clone(),
            )
        ]
        optimizer = kind("adamw")(params, **options)
        for _ in range(2):
            for param in params:
                param.grad = torch.ones_like(param)
            optimizer.step()
        found = [param.full_tensor() if hasattr(param, "full_tensor") else param for param in params]
        assert all(torch.allclose(one, found[0], rtol=1e-6) for one in found)
        assert not torch.equal(found[0], plain)
    finally:
        dist.destroy_process_group()


@both
def test_a_step_stays_out_of_graphs_of_torch_compile(kind):
    from torch._dynamo.testing import CompileCounter

    torch.compiler.reset()
    nets = model(), model()
    optimizers = [kind("adamw")(net.parameters()) for net in nets]
    x, counter = torch.ones(2, 4), CompileCounter()

    def step(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    graphs = torch.compile(step, backend=counter)
    for _ in range(4):
        step(nets[0], optimizers[0])
        said(lambda: graphs(nets[1], optimizers[1]))
    assert same(*nets)
    assert counter.frame_count <= 1  # of the model; before, of the step 22 and more
    torch.compiler.reset()


@both
def test_a_hyperparameter_may_have_any_name_of_python(kind):
    """The constructor's own names are not in the way."""
    names = ("float", "Tensor", "isinstance", "dict", "defaults", "numbers", "torch", "sum")
    for name in names:
        one = rule(f"theta = theta - lr*{name}*g", lr=0.1, **{name: 2.0})
        RULES[name] = one
        param = weight(1)
        kind(name)([param], **{name: 3.0}).step()
        assert param.item() == pytest.approx(0.7)


@pytest.mark.parametrize("name", ["rows", "numbers", "device", "group", "update", "values", "names", "memory", "self"])
def test_a_number_that_a_rule_keeps_may_have_any_name_in_a_file(name):
    RULES[f"keeps {name}"] = rule(f"{name} = {name} + 1\ntheta = theta - lr*g/{name}", lr=0.1)
    params = weight(1), weight(1)
    for kind, param in zip((ours, exported), params, strict=True):
        optimizer = kind(f"keeps {name}")([param])
        optimizer.step()
        optimizer.step()
    assert params[0].item() == params[1].item() == pytest.approx(1 - 0.1 - 0.05)


def test_a_rule_whose_numbers_are_out_of_range_is_not_exported():
    with pytest.raises(ValueError, match="weight_decay must not be negative"):
        source(CLASSICS.get("adamw").with_hyper(weight_decay=-0.1))

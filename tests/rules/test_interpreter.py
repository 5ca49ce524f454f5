"""The interpreter means what the eager kernel means, for any mix of programs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import programs

from symevo.errors import UserError
from symevo.rules.backends import interpreter_loops as loops
from symevo.rules.backends.base import MIXING, update_for
from symevo.rules.backends.compiled import kernel_for
from symevo.rules.backends.interpreter import BLOCK, Interpreter, assemble
from symevo.rules.backends.lowering import lower
from symevo.rules.classic import CLASSICS
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.program import Program
from symevo.rules.rule import Rule

CPU = torch.device("cpu")
WEIGHTS = BLOCK + 77


def stepped(update, rules, *, steps=3, dtype=torch.float64, weights=WEIGHTS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(weights, generator=generator, dtype=dtype).repeat(len(rules), 1)
    states = [torch.zeros_like(theta) for _ in range(update.states)]
    lrs = [np.full(steps, rule.lr) for rule in rules]
    table = update.table([rule.hyper for rule in rules], lrs, steps).to(dtype)
    for step in range(steps):
        grad = torch.randn(weights, generator=generator, dtype=dtype).repeat(len(rules), 1)
        update(theta, grad, states, table[step], torch.ones(len(rules), 1, dtype=torch.bool))
    return theta


def one_by_one(rules, *, dtype=torch.float64, **options):
    kernels = [kernel_for(r.program, (1, WEIGHTS), dtype=dtype, device=CPU, backend="eager") for r in rules]
    return torch.cat([stepped(k, [r], dtype=dtype, **options) for k, r in zip(kernels, rules, strict=True)])


def with_values(program):
    return Rule(program, {name: 0.1 + 0.3 * index for index, name in enumerate(program.hyper_names)})


@given(st.lists(programs(lines=4), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_mix_of_programs_equals_the_eager_kernel(found):
    rules = [with_values(program) for program in found]
    got = stepped(Interpreter([r.program for r in rules], WEIGHTS, torch.float64), rules, steps=2)
    expected = one_by_one(rules, steps=2)
    good = torch.isfinite(expected) & (expected.abs() < 1e100)
    torch.testing.assert_close(got[good], expected[good], rtol=1e-9, atol=1e-9)
    assert torch.equal(torch.isnan(got), torch.isnan(expected))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_all_classics_at_once(dtype, bound):
    rules = [CLASSICS.get(name) for name in CLASSICS]
    got = stepped(Interpreter([r.program for r in rules], WEIGHTS, dtype), rules, dtype=dtype, steps=20)
    expected = one_by_one(rules, dtype=dtype, steps=20)
    assert ((got - expected).abs().amax() / expected.abs().amax()) <= bound


def test_a_row_has_the_same_bits_whatever_it_is_mixed_with():
    rules = [CLASSICS.get(name) for name in CLASSICS]
    together = stepped(Interpreter([r.program for r in rules], WEIGHTS), rules, dtype=torch.float32)
    for row, rule in enumerate(rules):
        alone = stepped(Interpreter([rule.program], WEIGHTS), [rule], dtype=torch.float32)
        assert torch.equal(alone[0], together[row])


def test_rows_that_are_not_alive_stay():
    adam, lion = CLASSICS.get("adam"), CLASSICS.get("lion")
    update = Interpreter([adam.program, lion.program], 40)
    theta = torch.ones(2, 40)
    states = [torch.zeros(2, 40) for _ in range(update.states)]
    table = update.table([adam.hyper, lion.hyper], [np.full(1, 0.1)] * 2, 1).float()
    update(theta, torch.ones(2, 40), states, table[0], torch.tensor([[False], [True]]))
    assert torch.equal(theta[0], torch.ones(40))
    assert torch.allclose(theta[1], torch.full((40,), 0.9))


@pytest.mark.parametrize(
    "text",
    [
        "a = b\nb = a\ntheta = theta - g",  # copies that cross
        "x = y + g\ny = x\nz = x\ntheta = theta - lr*z",  # one value in several places
        "p = g\ntheta = theta - p*p",  # a temporary that is an input
        "d = g - q\nq = g\ntheta = theta - lr*d",  # the last gradient
        "u = theta\ntheta = theta - g\nw = w + u\ntheta = theta - lr*w",  # the weight of before
        "s = lr\ntheta = theta - s*g\ns = where(t > 1, s, g)",  # a state that starts as a number
    ],
)
def test_memory_is_read_before_it_is_overwritten(text):
    rule = with_values(Program.parse(text))
    got = stepped(Interpreter([rule.program], WEIGHTS, torch.float64), [rule])
    assert torch.equal(got, one_by_one([rule]))


@given(programs())
@settings(max_examples=100, deadline=None)
def test_no_instruction_writes_where_it_reads(program):
    code = assemble(lower(program))
    assert all(one.out not in one.args for one in code.instructions)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "bounded_exp", "signed_log"])
def test_float32_forms_are_within_two_units_in_the_last_place(name):
    # denormal results are left out: their last place is not relative
    x = torch.cat([torch.logspace(-37, 38, 40_000), torch.linspace(1e-3, 88, 100_000)]).float()
    x = torch.cat([x, -x, torch.tensor([0.0, float("inf"), -float("inf"), float("nan")])])
    program = Program.parse(f"theta = {name}(g)")
    update, theta = Interpreter([program], len(x)), torch.zeros(1, len(x))
    update(theta, x[None], [], update.table([{}], [np.zeros(1)], 1).float()[0], torch.ones(1, 1, dtype=torch.bool))
    with np.errstate(all="ignore"):
        expected = torch.from_numpy(PRIMITIVES.get(name).numpy(x.double().numpy()))
    single = expected.float()
    odd = ~torch.isfinite(single) | (single == 0)
    assert torch.equal(theta[0][odd].nan_to_num(nan=7.0), single[odd].nan_to_num(nan=7.0))
    normal = ~odd & (single.abs() > 1.2e-38)
    size = expected[normal].abs()
    if name == "signed_log":  # 1 + |x| is rounded before the logarithm sees it, in every form
        size = size.clamp(min=1.0)
    error = (theta[0][normal].double() - expected[normal]).abs() / size
    assert error.max() <= 2 * torch.finfo(torch.float32).eps


def test_the_table_names_the_backends_that_mix():
    programs_ = [CLASSICS.get("adam").program, CLASSICS.get("lion").program]
    with pytest.raises(ValueError, match="same program"):
        update_for(programs_, 8, dtype=torch.float32, device=CPU, backend="eager")
    assert update_for(programs_, 8, dtype=torch.float32, device=CPU, backend="interpreter").states == 2
    assert {"interpreter"} == MIXING
    with pytest.raises(UserError, match="on a CPU, not on meta"):
        update_for(programs_, 8, dtype=torch.float32, device=torch.device("meta"), backend="interpreter")


def test_every_primitive_has_a_loop():
    for name in PRIMITIVES:
        assert loops.address(name, (True,) * PRIMITIVES.get(name).arity, np.dtype(np.float64))

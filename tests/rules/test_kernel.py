"""Kernels: what runs is the program, in place, for every row, however it is compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import HYPER, STATES, TEMPORARIES, interpret, programs

from symevo.errors import UserError
from symevo.rules.backends import graph as graphs
from symevo.rules.backends.compiled import compilations, kernel_for
from symevo.rules.backends.lowering import lower
from symevo.rules.classic import CLASSICS
from symevo.rules.program import Program

CPU = torch.device("cpu")
FREE = (*HYPER, *STATES, *TEMPORARIES)


class Run:
    """A kernel with its tensors: random weights and gradients, ``rows`` different sets of numbers."""

    def __init__(
        self, program: Program, shape=(3, 7), *, backend="eager", dtype=torch.float64, steps=4, seed=0
    ) -> None:
        stream = np.random.default_rng(seed)
        self.kernel = kernel_for(program, shape, dtype=dtype, device=CPU, backend=backend)
        self.dtype = dtype
        self.hyper = {name: stream.uniform(0.1, 0.95, shape[0]) for name in program.hyper_names}
        self.lr = stream.uniform(0.001, 0.1, (steps, shape[0]))
        self.start = stream.normal(size=shape)
        self.grads = stream.normal(size=(steps, *shape))
        self.theta = torch.from_numpy(self.start).to(dtype, copy=True)
        self.states = [torch.zeros(shape, dtype=dtype) for _ in self.kernel.lowered.states]
        self.alive = torch.ones(shape[0], 1, dtype=torch.bool)

    def table(self) -> np.ndarray:
        return self.kernel.lowered.table(self.hyper, self.lr, len(self.lr))

    def go(self) -> torch.Tensor:
        table = torch.from_numpy(self.table()).unsqueeze(-1).to(self.dtype)
        for step, grad in enumerate(self.grads):
            self.kernel(self.theta, torch.from_numpy(grad).to(self.dtype), self.states, table[step], self.alive)
        return self.theta


@settings(max_examples=80, deadline=None, derandomize=True)
@given(programs(lines=5, depth=4), st.integers(0, 999))
def test_kernel_is_the_plain_interpreter(program, seed):
    run = Run(program, (2, 5), seed=seed)
    theta = run.go().numpy()
    column = {name: values[:, None] for name, values in run.hyper.items()}
    memory = {name: np.zeros((2, 5)) for name in program.memory} | {"theta": run.start}
    wobbly = [dict(memory) for _ in range(8)]
    noise = np.random.default_rng(1)
    for step, grad in enumerate(run.grads):
        env = {**column, "g": grad, "t": np.float64(step + 1), "lr": run.lr[step][:, None]}
        interpret(program, memory, env)
        for other in wobbly:
            interpret(program, other, env, lambda shape: noise.uniform(-4e-16, 4e-16, shape))
    with np.errstate(invalid="ignore"):
        spread = np.ptp([other["theta"] for other in wobbly], axis=0)
    steady = np.isfinite(memory["theta"]) & (spread <= 1e-9 * np.abs(memory["theta"]))
    with np.errstate(invalid="ignore"):
        error = np.abs(theta - memory["theta"])
    assert (error <= 1e-12 * np.abs(memory["theta"]) + 30 * spread)[steady].all()
    assert np.isfinite(theta[steady]).all()


def test_update_is_in_place_and_leaves_the_gradient_alone():
    run = Run(CLASSICS.get("adam").program)
    places = [tensor.data_ptr() for tensor in (run.theta, *run.states)]
    grad = torch.from_numpy(run.grads[0])
    slots = torch.from_numpy(run.table()[0]).unsqueeze(-1)
    run.kernel(run.theta, grad, run.states, slots, run.alive)
    assert [tensor.data_ptr() for tensor in (run.theta, *run.states)] == places
    assert np.array_equal(grad.numpy(), run.grads[0])
    assert not np.array_equal(run.theta.numpy(), run.start)
    assert all(state.abs().sum() > 0 for state in run.states)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_rows_that_are_not_alive_keep_their_weights(backend):
    run = Run(CLASSICS.get("adam").program, backend=backend)
    run.alive[1] = False
    run.grads[:, 1] = np.nan
    theta = run.go().numpy()
    assert np.array_equal(theta[1], run.start[1])
    assert np.isfinite(theta).all()
    free = Run(CLASSICS.get("adam").program, backend=backend).go().numpy()
    assert np.array_equal(theta[[0, 2]], free[[0, 2]])


SWAP = Program.parse("a0 = p; p = q; q = a0 + g; theta = theta - p")
ALIAS = Program.parse("last = now + 0*last; now = theta; theta = theta - lr*g")


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_two_states_can_swap(backend):
    run = Run(SWAP, backend=backend)
    theta = run.go().numpy()
    p, q, expected = 0.0, 0.0, run.start.copy()
    for grad in run.grads:
        p, q = q, p + grad
        expected -= p
    np.testing.assert_allclose(theta, expected, rtol=1e-13)
    assert all(np.allclose(state, value) for state, value in zip(run.states, (p, q), strict=True))


def test_values_that_are_only_handed_on():
    """q takes what p was, after p is overwritten: the copies must not happen in that order."""
    run = Run(Program.parse("a = p; b = q; p = theta; q = a; theta = theta - b"), steps=3)
    theta, p, q = run.start, 0.0, 0.0
    for _ in range(3):
        theta, p, q = theta - q, theta, p
    assert np.array_equal(run.go().numpy(), theta)
    assert all(np.array_equal(state.numpy(), value) for state, value in zip(run.states, (p, q), strict=True))


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_a_state_can_hold_the_old_weights(backend):
    run = Run(ALIAS, backend=backend, steps=2)
    run.go()
    now, last = (run.states[run.kernel.lowered.states.index(name)].numpy() for name in ("now", "last"))
    assert np.array_equal(last, run.start)
    np.testing.assert_allclose(now, run.start - run.lr[0][:, None] * run.grads[0], rtol=1e-14)


def test_compiled_agrees_with_eager_and_compiles_once():
    program = CLASSICS.get("adamw").program
    shape = (2, 33)
    before = compilations().get(shape, 0)
    for seed in range(4):  # other numbers, schedules and weights: nothing to compile
        runs = [
            Run(program, shape, backend=b, dtype=torch.float32, steps=10, seed=seed).go() for b in ("eager", "compiled")
        ]
        assert (runs[0] - runs[1]).norm() <= 1e-6 * runs[0].norm()
    assert compilations()[shape] == before + 1
    same = kernel_for(Program.parse(program.text), shape, dtype=torch.float32, device=CPU)
    assert same.compilations == 1


def test_eager_never_compiles():
    before = compilations()
    run = Run(CLASSICS.get("sgd").program, (1, 5))
    run.go()
    assert run.kernel.compilations == 0
    assert compilations() == before


def test_rows_do_not_see_each_other():
    whole = Run(CLASSICS.get("nadam").program, (3, 7))
    whole.go()
    alone = Run(CLASSICS.get("nadam").program, (3, 7))
    alone.grads[:, 1:] = 7.0
    alone.hyper = {name: np.concatenate([values[:1], values[1:] * 0.5]) for name, values in alone.hyper.items()}
    assert torch.equal(alone.go()[0], whole.theta[0])


def test_unknown_backend():
    with pytest.raises(UserError, match="known: compiled, eager"):
        kernel_for(SWAP, (1, 1), dtype=torch.float64, device=CPU, backend="magic")


def check_table(program: Program, seed: int) -> None:
    lowered = lower(program)
    stream = np.random.default_rng(seed)
    hyper = {name: stream.uniform(0.1, 0.9, 3) for name in program.hyper_names}
    lr = stream.uniform(0, 1, (5, 3))
    table = lowered.table(hyper, lr, 5)
    assert table.shape == (5, lowered.slots, 3)
    for row in range(3):
        env = {name: values[row] for name, values in hyper.items()}
        env |= dict.fromkeys(lowered.scalar_states, np.float64(0)) | {"T": np.float64(5)}
        for step in range(5):
            env |= {"t": np.float64(step + 1), "lr": lr[step, row]}
            single = np.array(lowered.scalar_step(env), dtype=float)
            # whole arrays and single numbers may take different routes through numpy's pow and exp
            np.testing.assert_allclose(table[step, :, row], single, rtol=1e-13)


@settings(max_examples=60, deadline=None)
@given(programs(lines=5, depth=4), st.integers(0, 99))
def test_table_is_the_step_by_step_scalars(program, seed):
    check_table(program, seed)


@pytest.mark.parametrize("name", list(CLASSICS))
def test_table_of_a_classic_is_the_step_by_step_scalars(name):
    check_table(CLASSICS.get(name).program, 1)


def test_hyperparameters_are_no_constants_of_a_kernel():
    lowered = lower(CLASSICS.get("adam").program)
    graph = graphs.step_graph(lowered)
    numbers = {a for node in graph.graph.nodes for a in node.args if isinstance(a, float)}
    assert numbers == set()
    assert lowered.slots == 9


def test_equal_scalars_share_a_slot_and_reassigned_ones_do_not():
    assert lower(Program.parse("theta = (1 - a)*g + (1 - a)*theta")).slots == 1
    program = Program.parse("k = a; x = k*g; k = k + 1; theta = theta - x - k*g")
    assert lower(program).slots == 2
    assert lower(program).scalar_states == ()

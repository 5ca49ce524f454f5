"""What a program means: latest values, states, selection, raw functions, scalars rounded once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from symevo.rules.backends.compiled import kernel_for
from symevo.rules.backends.lowering import lower
from symevo.rules.program import Program
from symevo.rules.rule import RuleWarning, rule


def run(text: str, grads: list[float], *, dtype: torch.dtype = torch.float64, **hyper: float) -> list[float]:
    """theta after each step, from 1, one weight, by the eager kernel."""
    program = Program.parse(text)
    device = torch.device("cpu")
    kernel = kernel_for(program, (1, 1), dtype=dtype, device=device, backend="eager")
    values = {name: np.array([value]) for name, value in hyper.items()}
    table = kernel.lowered.table(values, np.full((len(grads), 1), 0.5), len(grads))
    theta, alive = torch.ones(1, 1, dtype=dtype), torch.ones(1, 1, dtype=torch.bool)
    states = [torch.zeros(1, 1, dtype=dtype) for _ in kernel.lowered.states]
    out = []
    for step, grad in enumerate(grads):
        slots = torch.from_numpy(table[step]).unsqueeze(-1).to(dtype)
        kernel(theta, torch.full((1, 1), grad, dtype=dtype), states, slots, alive)
        out.append(theta.item())
    return out


def test_a_name_means_its_latest_value_in_the_step():
    assert run("theta = theta + m; m = g", [2.0, 3.0]) == [1.0, 3.0]  # m of the last step, 0 at first
    assert run("m = g; theta = theta + m", [2.0, 3.0]) == [3.0, 6.0]  # m of this step: no state at all
    assert Program.parse("m = g; theta = theta + m").memory == ()


def test_lion_reads_the_momentum_before_it_updates_it():
    text = "theta = theta - lr*sign(b1*m + (1 - b1)*g); m = b2*m + (1 - b2)*g"
    # m is 0, then -1, when the second gradient comes: 0.9*-1 + 0.1*1 < 0, so theta rises
    assert run(text, [-2.0, 1.0], b1=0.9, b2=0.5) == [1.5, 2.0]
    assert run(text, [-2.0, 1.0], b1=0.2, b2=0.5) == [1.5, 1.0]


def test_correcting_a_state_in_place_warns():
    text = "m = beta1*m + (1 - beta1)*g\nm = m/(1 - beta1**t)\ntheta = theta - lr*m"
    assert "m_hat" in Program.parse(text).warnings[0]
    with pytest.warns(RuleWarning, match="give a corrected value a name of its own"):
        rule(text, beta1=0.9)
    assert Program.parse(text.replace("m = m/", "m_hat = m/")).warnings == ()


def test_where_selects():
    # the branch that is not taken is infinite or NaN: multiplied by 0 it would spread
    assert run("theta = theta - lr*where(t > 1, g/0, g)", [1.0]) == [0.5]
    assert run("theta = theta - where(g > 0, log(g), lr)", [-1.0]) == [0.5]
    assert run("theta = theta - where(g > 0, sqrt(g), sqrt(-g))", [4.0, -9.0]) == [-1.0, -4.0]


def test_unprotected_forms_are_torchs():
    assert math.isnan(run("theta = sqrt(g)", [-1.0])[0])
    assert math.isinf(run("theta = 1/g", [0.0])[0])
    assert math.isinf(run("theta = log(g)", [0.0])[0])


def test_sign_of_nan_is_nan():
    assert math.isnan(run("theta = theta - lr*sign(sqrt(g))", [-1.0])[0])
    assert run("theta = theta - lr*sign(g)", [0.0]) == [1.0]


def test_scalars_are_rounded_once():
    (theta,) = run("theta = (1 - beta2)*g", [1.0], dtype=torch.float32, beta2=0.9999)
    assert theta == np.float32(1 - 0.9999)
    assert theta != np.float32(1) - np.float32(0.9999)  # off by 1e-4: what float32 inside the kernel would give
    assert lower(Program.parse("theta = (1 - beta2)*g")).slots == 1


def test_scalar_states_are_kept_once():
    program = Program.parse("p = where(t <= 1, 1, p)*b; theta = theta + p*g")
    assert program.scalar_states == ("p",)
    assert program.states == ()
    assert run(program.text, [1.0, 1.0], b=0.5) == [1.5, 1.75]

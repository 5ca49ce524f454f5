"""The neural optimizer: Adam and an LSTM per weight, as torch computes them, and no row knows of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from symevo.evograd.layout import CELLS, MEMORY, SIZE
from symevo.evograd.lstm import NUMBERS, NeuralAdam

RATES = torch.tensor([1e-3, 3e-2, 1e-1], dtype=torch.float64)
ROWS, WEIGHTS = 3, 77  # four vectors of 16 and 13 weights


SIZES = (128, 256, 32, 32, 32, 4, 4, 1)
"""Numbers of the tensors of an LSTM and its head, in their order."""


class TorchAdam(NeuralAdam):
    """The same by torch's operations."""

    def __init__(self, rows, weights, dtype=torch.float32, **options):
        super().__init__(rows, weights, dtype, **options)
        self._moments = torch.zeros(2, rows, weights, dtype=dtype)
        self._states = torch.zeros(rows, 2 * CELLS, weights, dtype=dtype)

    m = property(lambda self: self._moments[0])
    v = property(lambda self: self._moments[1])
    _memory = property(lambda self: self._states)

    def restore(self, m, v, h, c):
        self._moments.copy_(torch.stack([m, v]))
        self._states.copy_(torch.cat([h, c], 1))

    def _step(self, tensors, scalars):
        (theta, grad1, grad2, controllers), moments, states = tensors, self._moments, self._states
        beta1, rest1, beta2, rest2, rate, root, eps = scalars.unsqueeze(-1).unbind(1)
        m = moments[0] * beta1 + grad1 * rest1
        v = moments[1] * beta2 + grad1 * grad1 * rest2
        step = rate * m / (v.sqrt() * root + eps)
        inputs = torch.cat([torch.stack([theta, grad1, step, grad2], 1), states[:, :CELLS]], 1)
        parts = [part.unsqueeze(-1) for part in controllers.split(SIZES, 1)]
        of_inputs, of_h, bias_ih, bias_hh, first, first_bias, second, second_bias = parts
        weights = torch.cat([of_inputs.reshape(-1, 4 * CELLS, 4), of_h.reshape(-1, 4 * CELLS, CELLS)], 2)
        gates = torch.baddbmm(bias_ih + bias_hh, weights, inputs).unflatten(1, (4, CELLS))
        i, f, g, o = gates.unbind(1)
        c = f.sigmoid() * states[:, CELLS:] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        hidden = torch.baddbmm(first_bias, first.reshape(-1, 4, CELLS), h.relu()).relu()
        out = torch.baddbmm(second_bias, second.reshape(-1, 1, 4), hidden).squeeze(1)
        theta.sub_(step + out)
        moments.copy_(torch.stack([m, v]))
        states.copy_(torch.cat([h, c], 1))


def drawn(*shape, seed=0, scale=0.1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)


def controllers(dtype=torch.float64, rows=ROWS):
    """As slices of individuals: rows that do not lie side by side."""
    return drawn(rows, SIZE, seed=1, scale=0.3, dtype=dtype)[:, MEMORY]


def trained(optimizer, numbers, steps, *, lr=RATES, scale=0.1):
    """The weights after some steps of random gradients, the same in each call."""
    rows, count, dtype = optimizer.rows, optimizer.weights, optimizer.dtype
    theta = drawn(ROWS, WEIGHTS, seed=2, dtype=dtype)[:rows, :count].clone()
    for t in range(1, steps + 1):
        grads = drawn(2, ROWS, WEIGHTS, seed=10 + t, scale=scale, dtype=dtype)[:, :rows, :count]
        optimizer.update(theta, *grads, numbers, lr, t)
    return theta


def test_the_layout_ends_with_the_numbers_of_the_optimizer():
    assert MEMORY.stop - MEMORY.start == NUMBERS == sum(SIZES)


@pytest.mark.parametrize("form", [NeuralAdam, TorchAdam])
def test_without_a_controller_it_is_adam(form):
    optimizer = form(ROWS, WEIGHTS, torch.float64, betas=(0.8, 0.99), eps=1e-6)
    found = trained(optimizer, torch.zeros(ROWS, NUMBERS, dtype=torch.float64), 60)
    for row, lr in enumerate(RATES.tolist()):
        weights = drawn(ROWS, WEIGHTS, seed=2)[row].clone().requires_grad_()
        adam = torch.optim.Adam([weights], lr=lr, betas=(0.8, 0.99), eps=1e-6)
        for t in range(1, 61):
            weights.grad = drawn(2, ROWS, WEIGHTS, seed=10 + t)[0, row]
            adam.step()
        torch.testing.assert_close(found[row], weights.detach(), rtol=0, atol=1e-12)
    assert not optimizer.h.any()
    assert not optimizer.c.any()


@pytest.mark.parametrize("form", [NeuralAdam, TorchAdam])
def test_what_is_restored_continues_bit_for_bit(form):
    one, other = (form(ROWS, WEIGHTS) for _ in range(2))
    numbers = controllers(torch.float32)
    trained(one, numbers, 3)
    other.restore(one.m, one.v, one.h, one.c)
    assert torch.equal(trained(one, numbers, 2), trained(other, numbers, 2))
    for name in ("m", "v", "h", "c"):
        assert torch.equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("form", [NeuralAdam, TorchAdam])
def test_its_memory_is_the_lstm_of_torch(form):
    numbers, lr, steps = controllers(), 1e-2, 5
    optimizer = form(ROWS, WEIGHTS, torch.float64)
    found = trained(optimizer, numbers, steps, lr=lr)
    for row in range(ROWS):
        cell, first, second = torch.nn.LSTMCell(4, 8), torch.nn.Linear(8, 4), torch.nn.Linear(4, 1)
        parts = iter(numbers[row].split(SIZES))
        for module in (cell, first, second):
            module.double()
            for parameter in module.parameters():
                parameter.data = next(parts).reshape(parameter.shape)
        theta, m, v = drawn(ROWS, WEIGHTS, seed=2)[row], torch.zeros(()), torch.zeros(())
        state = None
        with torch.no_grad():
            for t in range(1, steps + 1):
                grad1, grad2 = drawn(2, ROWS, WEIGHTS, seed=10 + t)[:, row]
                m, v = 0.9 * m + 0.1 * grad1, 0.999 * v + 0.001 * grad1**2
                step = lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
                state = cell(torch.stack([theta, grad1, step, grad2], 1), state)
                theta = theta - (step + second(first(state[0].relu()).relu())[:, 0])
        torch.testing.assert_close(optimizer.h[row], state[0].T, rtol=0, atol=1e-12)
        torch.testing.assert_close(optimizer.c[row], state[1].T, rtol=0, atol=1e-12)
        torch.testing.assert_close(found[row], theta, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_both_forms_agree(dtype, tolerance):
    forms = [kind(ROWS, WEIGHTS, dtype) for kind in (NeuralAdam, TorchAdam)]
    thetas = [trained(form, controllers(dtype), 50) for form in forms]
    for one, other in [thetas, *([getattr(form, name) for form in forms] for name in "mvhc")]:
        assert other.abs().max() > 0
        assert (one - other).abs().max() < tolerance * max(1.0, float(other.abs().max()))


def test_the_bits_of_a_weight_depend_on_its_own_numbers_alone():
    whole = trained(NeuralAdam(ROWS, WEIGHTS), controllers(torch.float32), 3)
    one = trained(NeuralAdam(1, WEIGHTS), controllers(torch.float32)[:1], 3, lr=float(RATES[0]))
    few = trained(NeuralAdam(ROWS, 21), controllers(torch.float32), 3)
    assert torch.equal(whole[:1], one)
    assert torch.equal(whole[:, :21], few)


def test_rows_may_lie_in_wider_tensors():
    wide = [drawn(ROWS, 2 * WEIGHTS, seed=seed, dtype=torch.float32) for seed in (2, 3, 4)]
    dense = [one[:, :WEIGHTS].clone() for one in wide]
    behind = wide[0][:, WEIGHTS:].clone()
    for theta, grad1, grad2 in ([one[:, :WEIGHTS] for one in wide], dense):
        NeuralAdam(ROWS, WEIGHTS).update(theta, grad1, grad2, controllers(torch.float32), RATES, 1)
    assert torch.equal(wide[0][:, :WEIGHTS], dense[0])
    assert torch.equal(wide[0][:, WEIGHTS:], behind)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_signals_saturate_and_what_is_not_a_number_stays_so(dtype):
    optimizer = NeuralAdam(1, WEIGHTS, dtype)
    theta, grad = torch.zeros(1, WEIGHTS, dtype=dtype), torch.zeros(1, WEIGHTS, dtype=dtype)
    numbers = controllers(dtype)[:1]
    signals = torch.tensor([-1e30, -200.0, -88.0, -20.0, 20.0, 88.0, 200.0, 1e30, torch.nan, -torch.nan], dtype=dtype)
    signals = torch.cat([signals, torch.zeros(WEIGHTS - len(signals), dtype=dtype)])[None]
    reference = TorchAdam(1, WEIGHTS, dtype)
    for t in range(1, 4):
        for one in (optimizer, reference):
            one.update(theta.clone(), grad, signals, numbers, 1e-3, t)
    for found, expected in ((optimizer.h, reference.h), (optimizer.c, reference.c)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6, equal_nan=True)
        assert found[0, :, 8:10].isnan().all()
        assert found[0, :, :8].isfinite().all()


def test_small_signals_keep_their_digits():
    """tanh(x) as 2σ(2x) − 1 would lose all of 1e-8."""
    numbers = torch.zeros(1, NUMBERS)
    numbers[0, [4 * gate + 3 for gate in range(16, 24)]] = 1e-8  # of the gates g, from grad2
    optimizer = NeuralAdam(1, WEIGHTS)
    optimizer.update(torch.zeros(1, WEIGHTS), torch.zeros(1, WEIGHTS), torch.ones(1, WEIGHTS), numbers, 0.0, 1)
    np.testing.assert_allclose(optimizer.c.numpy(), 0.5e-8, rtol=1e-6)
    np.testing.assert_allclose(optimizer.h.numpy(), 0.25e-8, rtol=1e-6)


def test_moments_of_weights_without_gradients_become_zero():
    """β1·m rounds to m in the end, and a step with such numbers takes seven times as long."""
    optimizer = NeuralAdam(1, WEIGHTS)
    none = torch.zeros(1, WEIGHTS)
    for t in range(1, 901):
        grad = torch.full_like(none, 1e-3) if t == 1 else none
        optimizer.update(torch.zeros(1, WEIGHTS), grad, none, torch.zeros(1, NUMBERS), 1e-3, t)
        assert t > 500 or optimizer.m.all()
    assert not optimizer.m.any()


def test_what_does_not_fit_is_refused():
    good = {
        "theta": torch.zeros(2, 5), "grad1": torch.zeros(2, 5), "grad2": torch.zeros(2, 5),
        "controllers": torch.zeros(2, NUMBERS), "lr": 0.1, "t": 1,
    }  # fmt: skip
    bad = [
        ("theta", torch.zeros(2, 6)),
        ("grad1", torch.zeros(2, 5, device="meta")),
        ("grad1", torch.zeros(5, 2).T),
        ("controllers", torch.zeros(2, 488)),
    ]
    for name, tensor in [*bad, ("grad2", torch.zeros(2, 5, dtype=torch.float64))]:
        with pytest.raises(ValueError, match=f"^{name} must be \\[2, "):
            NeuralAdam(2, 5).update(**{**good, name: tensor})

"""float32 forms of functions in compiled steps: near the truth everywhere, and torch's own where that is no number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from symevo.native.inductor import flat_kernel
from symevo.rules.backends.compiled import fast_form
from symevo.rules.backends.graph import step_graph, torch_form
from symevo.rules.backends.lowering import lower
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule

ULPS = {"tanh": 2.5, "log": 1.0, "signed_log": 1.0}
"""How far from the truth a value may be, in units of its last place."""
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-45,
    -1e-45,
    1.17549435e-38,
    1.1754942e-38,
    3.4028235e38,
    -3.4028235e38,
]
SPECIAL += [1.0, -1.0, 9.0, -9.0, 0.70710677, 0.7071068, 1.4142135, 1.4142137]

Forms = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def grid() -> torch.Tensor:
    """Both signs, all exponents, some thousand numbers of each, and what is special."""
    bits = np.arange(0, 0x7F800000, 4001, dtype=np.int64).astype(np.int32)
    positive = np.concatenate([bits.view(np.float32), np.float32(1) + np.arange(-3000, 3000, dtype=np.float32) / 2**21])
    return torch.from_numpy(np.concatenate([positive, -positive, np.array(SPECIAL, dtype=np.float32)]))


@pytest.fixture(scope="module")
def compiled() -> Callable[[torch.Tensor], Forms]:
    """All forms of a tensor, by one compiled loop for each type."""
    kernels: dict[torch.dtype, Callable[[list], None]] = {}

    def update(*tensors: torch.Tensor) -> None:
        for name, x in zip(ULPS, tensors, strict=False):
            x.copy_(fast_form(name)(x))

    def values(x: torch.Tensor) -> Forms:
        slots = torch.zeros(1, dtype=x.dtype)
        if x.dtype not in kernels:
            kernels[x.dtype] = flat_kernel(update, [x.dtype] * len(ULPS), slots, threads=1)
        found = {name: x.clone() for name in ULPS}
        kernels[x.dtype]([x.numel(), *found.values(), slots])
        return found

    return values


def exact(name: str, x: torch.Tensor) -> np.ndarray:
    """The value in float64; the sum in a signed logarithm is rounded, as it is where nothing is compiled."""
    if name != "signed_log":
        return torch_form(name)(x.double()).numpy()
    return (torch.where(x < 0, -1.0, 1.0) * (1 + x.abs()).double().log()).numpy()


@pytest.mark.parametrize("name", ULPS)
def test_within_some_units_of_the_last_place_of_the_truth(name, grid, compiled):
    truth, got = exact(name, grid), compiled(grid)[name].double().numpy()
    finite = np.isfinite(truth)
    units = np.spacing(np.abs(truth[finite]).astype(np.float32)).astype(np.float64)
    assert (np.abs(got[finite] - truth[finite]) / units).max() <= ULPS[name]
    np.testing.assert_array_equal(got[~finite], truth[~finite])


@pytest.mark.parametrize("name", ULPS)
def test_special_numbers_give_what_torch_gives(name, compiled):
    special = torch.tensor(SPECIAL)
    got, expected = compiled(special)[name], torch_form(name)(special)
    torch.testing.assert_close(got, expected, rtol=5e-7, atol=0, equal_nan=True)
    defined = ~expected.isnan()
    assert torch.equal(got.signbit()[defined], expected.signbit()[defined])  # of zeros too


def test_a_tanh_is_odd_at_most_1_and_the_identity_of_small_numbers(grid, compiled):
    got, mirrored = compiled(grid)["tanh"], compiled(-grid)["tanh"]
    assert torch.equal(got.nan_to_num(7), -mirrored.nan_to_num(-7))
    assert got[~grid.isnan()].abs().max() == 1
    small = grid.abs() < 1e-8
    assert torch.equal(got[small], grid[small])


def test_the_ends_of_a_tensor_have_the_bits_of_its_middle(grid, compiled):
    """What does not fill a vector of the processor goes another way."""
    some = grid[torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))[:100]]
    whole = compiled(some)
    for count in (1, 2, 7, 15, 17, 33):
        for name, values in compiled(some[:count]).items():
            assert torch.equal(values.nan_to_num(7), whole[name][:count].nan_to_num(7))


def test_other_types_have_torchs_own(compiled):
    x = torch.linspace(-3, 30, 500, dtype=torch.float64)
    for name, values in compiled(x).items():
        torch.testing.assert_close(values, torch_form(name)(x), rtol=2e-15, atol=0, equal_nan=True)
        torch.testing.assert_close(fast_form(name)(x), torch_form(name)(x), rtol=0, atol=0, equal_nan=True)


def test_a_program_without_such_functions_is_as_it_was():
    lowered = lower(CLASSICS.get("nadam").program)
    plain, fast = (step_graph(lowered, masked=False, form=form) for form in (None, fast_form))
    assert plain.code == fast.code


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_compiled_step_agrees_with_the_uncompiled(dtype):
    text = "m = 0.9*m + tanh(g/s); v = 0.9*v + log(1 + abs(g)); theta = theta - lr*(m + signed_log(m/v) + 0.1*theta)"
    one = rule(text, s=0.01, lr=1e-2)
    results = []
    for compile in (True, False):
        stream = torch.Generator().manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(shape, generator=stream).to(dtype)) for shape in ((7, 5), (40, 50))]
        optimizer = Optimizer(params, one, compile=compile)
        for step in range(5):
            for param in params:
                param.grad = (torch.randn(param.shape, generator=stream) * 10.0 ** (step % 4 - 3)).to(dtype)
            optimizer.step()
        results.append([*params, *[state[name] for state in optimizer.state.values() for name in "mv"]])
    wide = 1e-12 if dtype is torch.float64 else 5e-6
    for a, b in zip(*results, strict=True):
        tolerance = {torch.bfloat16: 1e-2, torch.float16: 2e-3}.get(a.dtype, wide)
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance / 10)


def test_a_torch_without_the_fused_product_has_its_own_forms(monkeypatch):
    from torch._inductor import inductor_prims

    monkeypatch.delattr(inductor_prims, "fma")
    assert all(fast_form(name) is torch_form(name) for name in ("tanh", "log", "signed_log"))

"""Every row of the primitive table means one thing to torch, numpy and sympy. A new row is tested unasked."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
import sympy
import torch

from symevo.rules.backends import interpreter_loops as loops
from symevo.rules.backends.graph import torch_form
from symevo.rules.backends.lowering import evaluate
from symevo.rules.expression import Name, Op, to_text
from symevo.rules.parser import parse_statements
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.printing.symbolic import from_sympy, symbol, to_sympy

SAMPLES = 40


def samples(name: str, arity: int) -> list[np.ndarray]:
    """Positive numbers, so that every primitive is defined; every third with another sign and magnitude."""
    random = np.random.default_rng(sum(name.encode()))
    args = [random.uniform(0.2, 3.0, SAMPLES) for _ in range(arity)]
    args[0][::5] = args[-1][::5]  # ties
    return args


def sympy_value(name: str, args: list[float]) -> float:
    row = PRIMITIVES.get(name)
    form = getattr(sympy, row.sympy) if isinstance(row.sympy, str) else row.sympy
    exact = [sympy.Float(float(a)) for a in args]
    if name == "where":
        exact[0] = sympy.true if args[0] else sympy.false
    value = form(*exact)
    return float(bool(value)) if row.kind == "comparison" else float(value)


def arguments(name: str, signs: str) -> list[np.ndarray]:
    row = PRIMITIVES.get(name)
    args = samples(name, row.arity)
    if signs == "mixed":
        args = [np.where(np.arange(SAMPLES) % 3 == i % 3, -a, a) for i, a in enumerate(args)]
    if name == "where":
        args[0] = args[0] > np.median(args[0])
    return args


@pytest.mark.parametrize("signs", ["positive", "mixed"])
@pytest.mark.parametrize("name", list(PRIMITIVES))
def test_all_forms_agree(name, signs):
    row = PRIMITIVES.get(name)
    args = arguments(name, signs)
    with np.errstate(all="ignore"):
        expected = np.asarray(row.numpy(*args), dtype=float)
    got = torch_form(name)(*map(torch.from_numpy, args)).double().numpy()
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=1e-12)
    assert finite.any()
    for index in np.flatnonzero(finite)[:10]:
        assert sympy_value(name, [a[index] for a in args]) == pytest.approx(expected[index], rel=1e-12)


@pytest.mark.parametrize("name", list(PRIMITIVES))
def test_nan_goes_through(name):
    row = PRIMITIVES.get(name)
    if row.kind == "comparison" or name == "where":
        pytest.skip("selects, and does not compute")
    for place in range(row.arity):
        args = [np.full(3, 2.0) for _ in range(row.arity)]
        args[place] = np.full(3, np.nan)
        assert np.isnan(row.numpy(*args)).all()
        assert torch_form(name)(*map(torch.from_numpy, args)).isnan().all()


@pytest.mark.parametrize("name", list(PRIMITIVES))
def test_declared_properties_hold(name):
    row = PRIMITIVES.get(name)
    assert row.cost > 0
    assert row.kind in ("function", "operator", "comparison")
    if row.commutative:
        args = samples(name, row.arity)
        np.testing.assert_array_equal(row.numpy(*args), row.numpy(*args[::-1]))


@pytest.mark.parametrize("name", list(PRIMITIVES))
def test_text_and_sympy_round_trip(name):
    row = PRIMITIVES.get(name)
    expr = Op(name, tuple(Name(f"x{index}") for index in range(row.arity)))
    if row.kind == "comparison":
        expr = Op("where", (expr, Name("x"), Name("y")))
    if name == "where":
        expr = Op("where", (Op("<", (Name("p"), Name("q"))), *expr.args[1:]))
    assert parse_statements(f"z = {to_text(expr)}") == (("z", expr),)
    again = to_sympy(from_sympy(to_sympy(expr)))
    assert again == to_sympy(expr)


def test_a_primitive_without_a_sympy_meaning_would_be_seen():
    assert to_sympy(Op("sqrt", (Name("x"),))) == sympy.sqrt(symbol("x"))
    assert sympy_value("sqrt", [4.0]) == 2.0


EXTREMES = [0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 5e-324, -5e-324, 1e-45, 1e-310]
TOTAL = [name for name in PRIMITIVES if PRIMITIVES.get(name).total]


@pytest.mark.parametrize("name", TOTAL)
def test_a_total_primitive_is_finite_on_extremes(name):
    row = PRIMITIVES.get(name)
    grid = np.array(list(itertools.product(EXTREMES, repeat=row.arity))).T
    assert np.isfinite(row.numpy(*grid)).all()
    assert torch.isfinite(torch_form(name)(*map(torch.from_numpy, grid))).all()
    loop = interpreted(name, list(grid))
    assert np.isfinite(loop).all()


@pytest.mark.parametrize("name", list(PRIMITIVES))
def test_the_interpreters_loop_agrees(name):
    with np.errstate(all="ignore"):
        for signs in ("positive", "mixed"):
            args = [np.asarray(a, dtype=float) for a in arguments(name, signs)]
            expected = np.asarray(PRIMITIVES.get(name).numpy(*args), dtype=float)
            np.testing.assert_allclose(interpreted(name, args), expected, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in PRIMITIVES if PRIMITIVES.get(name).reads])
def test_what_a_primitive_reads_as_is_what_it_computes(name):
    row = PRIMITIVES.get(name)
    ((_, body),) = parse_statements(f"value = {row.reads}")
    args = arguments(name, "mixed")
    got = evaluate(body, dict(zip("xyz", args, strict=False)))
    np.testing.assert_allclose(got, row.numpy(*args), rtol=1e-12)


def interpreted(name: str, args: list[np.ndarray]) -> np.ndarray:
    """What the interpreter's loop computes, from its machine code."""
    blocks = [np.ascontiguousarray(a, dtype=float) for a in args]
    out = np.empty_like(blocks[0])
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * (loops.MAX_ARITY + 2))(
        loops.address(name, (True,) * len(args), np.dtype(np.float64))
    )
    places = [block.ctypes.data for block in (out, *blocks, *blocks, *blocks)]
    function(*places[: loops.MAX_ARITY + 1], len(out))
    return out

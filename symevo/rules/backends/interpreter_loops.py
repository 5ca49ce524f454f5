"""Loops over blocks of numbers: what one instruction of the interpreter runs.

Each primitive of the table becomes a loop ``out[i] = form(x[i], y[i], …)`` over a block, compiled by numba the first
time that a program needs it (about 60 ms), kept on disk (:mod:`symevo.native.cache`) and called by its address, so
a new primitive is a loop like the others.
An operand is a block, or one number for the whole block; ``mask`` says which.

numba calls the C library for exp, log and tanh, one number at a time. Their float32 forms here are polynomials without
branches that a processor runs on 8 or 16 numbers at once: 2 to 3 units in the last place.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from symevo.native.cache import array, compiled, pointer
from symevo.rules import primitives
from symevo.rules.primitives import PRIMITIVES

MAX_ARITY = 3
COPY = "copy"
"""A loop beside those of the table: ``out[i] = x[i]``."""

SOURCES = (Path(__file__), Path(__file__).with_name("interpreter.py"), Path(primitives.__file__))
"""What the machine code of these loops, and of the interpreter's, depends on."""

_REALS = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}
_SIGNATURE = types.void(*[types.intp] * (MAX_ARITY + 2))


def address(name: str, mask: tuple[bool, ...], dtype: np.dtype[Any]) -> int:
    """Where the machine code of a primitive's loop lies in this process.

    The loop takes the addresses of the output and of :data:`MAX_ARITY` inputs (the last ones unused where there are
    fewer), and the length of the block.

    Args:
        name: A primitive, or :data:`COPY`.
        mask: For each argument whether it is a block; otherwise it is one number.
        dtype: float32 or float64.
    """
    return _address(name, _copy if name == COPY else _form(name, dtype), mask, dtype)


@cache  # by the form: a primitive that was refused may come again under its name, mended
def _address(name: str, form: Any, mask: tuple[bool, ...], dtype: np.dtype[Any]) -> int:
    function = numba.njit(form, error_model="numpy") if isinstance(form, FunctionType) else form
    loop = _LOOPS[len(mask)](function, pointer(_REALS[dtype]), *mask)
    loop.__name__ = f"{'_'.join('block' if one else 'number' for one in mask)}"
    known = form.__module__ in _UNCHANGING  # a form of the user's own may change without a trace here
    kept_as = f"{name} {mask} {dtype} {form.__module__}.{form.__qualname__}" if known else None
    return compiled(loop, _SIGNATURE, kept_as, SOURCES)


_UNCHANGING = frozenset({__name__, "symevo.rules.primitives", "numpy", "_operator"})


def _form(name: str, dtype: np.dtype[Any]) -> Any:
    row = PRIMITIVES.get(name)
    if dtype == np.float32 and name in _FAST:
        return _FAST[name]
    return row.scalar or row.numpy


def _copy(x: Any) -> Any:
    return x


# One number is read before the loop, for a read inside would be taken to depend on what the loop writes.


def _loop1(form: Any, pointer: Any, bx: bool) -> Any:
    def loop(o: Any, a: Any, b: Any, c: Any, n: Any) -> Any:
        out, x = array(pointer(o), n), array(pointer(a), n)
        x0 = x[0]
        for i in range(n):
            out[i] = form(x[i] if bx else x0)

    return loop


def _loop2(form: Any, pointer: Any, bx: bool, by: bool) -> Any:
    def loop(o: Any, a: Any, b: Any, c: Any, n: Any) -> Any:
        out, x, y = array(pointer(o), n), array(pointer(a), n), array(pointer(b), n)
        x0, y0 = x[0], y[0]
        for i in range(n):
            out[i] = form(x[i] if bx else x0, y[i] if by else y0)

    return loop


def _loop3(form: Any, pointer: Any, bx: bool, by: bool, bz: bool) -> Any:
    def loop(o: Any, a: Any, b: Any, c: Any, n: Any) -> Any:
        out, x, y = array(pointer(o), n), array(pointer(a), n), array(pointer(b), n)
        z = array(pointer(c), n)
        x0, y0, z0 = x[0], y[0], z[0]
        for i in range(n):
            out[i] = form(x[i] if bx else x0, y[i] if by else y0, z[i] if bz else z0)

    return loop


_LOOPS = {1: _loop1, 2: _loop2, 3: _loop3}


@intrinsic
def call(context: Any, function: Any, o: Any, a: Any, b: Any, c: Any, n: Any) -> Any:
    """Calls a loop by its address, from compiled code."""
    signature = types.void(*[types.intp] * (MAX_ARITY + 3))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = context.get_value_type(types.intp)
        kind = ir.FunctionType(ir.VoidType(), [integer] * (MAX_ARITY + 2))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return signature, generate


# --- float32 without branches -------------------------------------------------------------------------------


@intrinsic
def _bits(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@intrinsic
def _real(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


_f = np.float32
_LOG2E, _LN2_HIGH, _LN2_LOW = _f(1 / math.log(2)), _f(0.693359375), _f(-2.12194440e-4)
_EXP = tuple(map(_f, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)))
_LOG = tuple(map(_f, (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
                      -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)))  # fmt: skip
_TANH = tuple(map(_f, (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)))
_LOWEST, _HIGHEST, _INFINITE = _f(-104.0), _f(89.0), _f(np.inf)
_TINY, _SCALE, _HALF_ROOT = _f(1.17549435e-38), _f(8388608.0), _f(0.70710678)
_ZERO, _HALF, _ONE, _TWO, _BEND = _f(0), _f(0.5), _f(1), _f(2), _f(0.625)
_TWENTY = _f(20)


@numba.njit(error_model="numpy")
def _exp(x: Any) -> Any:
    """exp(x) = 2ⁿ·exp(r), |r| ≤ ln 2 / 2; the polynomial is Cephes' (S. Moshier, expf)."""
    bounded = min(max(x, _LOWEST), _HIGHEST)
    n = np.floor(bounded * _LOG2E + _HALF)
    r = bounded - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_EXP[0] * r + _EXP[1]) * r + _EXP[2]) * r + _EXP[3]) * r + _EXP[4]) * r + _EXP[5]
    value = p * r * r + r + _ONE
    whole = np.int32(n)
    half = whole >> np.int32(1)  # 2ⁿ in two factors: the range of one exponent does not reach denormals
    value = value * _real((half + np.int32(127)) << np.int32(23))  # type: ignore[call-arg]
    value = value * _real((whole - half + np.int32(127)) << np.int32(23))  # type: ignore[call-arg]
    return value if x == x else x


@numba.njit(error_model="numpy")
def _log(x: Any) -> Any:
    """log(m·2ᵉ) = e·ln 2 + log m, √½ ≤ m < √2; the polynomial is Cephes' (S. Moshier, logf)."""
    small = x < _TINY
    bits = _bits(x * _SCALE if small else x)  # type: ignore[call-arg]  # the context is numba's
    e = _f((bits >> np.int32(23)) - np.int32(126)) - (_f(23) if small else _ZERO)
    m = _real((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000))  # type: ignore[call-arg]
    low = m < _HALF_ROOT
    e = e - _ONE if low else e
    m = m + m - _ONE if low else m - _ONE
    z = m * m
    p = (((_LOG[0] * m + _LOG[1]) * m + _LOG[2]) * m + _LOG[3]) * m + _LOG[4]
    p = (((p * m + _LOG[5]) * m + _LOG[6]) * m + _LOG[7]) * m + _LOG[8]
    value = m + (p * z * m + (e * _LN2_LOW - _HALF * z)) + e * _LN2_HIGH
    value = x if x == _INFINITE else value
    value = -_INFINITE if x == _ZERO else value
    return value if x >= _ZERO else _f(np.nan)


@numba.njit(error_model="numpy")
def _tanh(x: Any) -> Any:
    """Below 0.625 an odd polynomial (Cephes, tanhf); above, 1 − 2/(exp 2|x| + 1)."""
    size, z = abs(x), x * x
    p = (((_TANH[0] * z + _TANH[1]) * z + _TANH[2]) * z + _TANH[3]) * z + _TANH[4]
    large = _ONE - _TWO / (_exp(size + size) + _ONE)
    large = -large if x < _ZERO else large
    return p * z * x + x if size < _BEND else large


def _bounded_exp(x: Any) -> Any:
    return _exp(min(x, _TWENTY) if x == x else x)


def _signed_log(x: Any) -> Any:
    value = _log(_ONE + abs(x))
    return -value if x < _ZERO else value


_FAST = {"exp": _exp, "log": _log, "tanh": _tanh, "bounded_exp": _bounded_exp, "signed_log": _signed_log}

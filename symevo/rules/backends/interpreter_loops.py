"""Loops over blocks of numbers: what one instruction of the interpreter runs.

Each primitive of the table becomes a loop ``out[i] = form(x[i], y[i], …)`` over a block, compiled by numba the first
time that a program needs it (about 60 ms), kept on disk (:mod:`symevo.native.cache`) and called by its address, so
a new primitive is a loop like the others.
An operand is a block, or one number for the whole block; ``mask`` says which.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from symevo.native import fast_math
from symevo.native.cache import array, compiled, pointer
from symevo.rules import primitives
from symevo.rules.primitives import PRIMITIVES

MAX_ARITY = 3
COPY = "copy"
"""A loop beside those of the table: ``out[i] = x[i]``."""

_HERE = Path(__file__)
SOURCES = (_HERE, _HERE.with_name("interpreter.py"), Path(primitives.__file__), Path(fast_math.__file__))
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


_UNCHANGING = frozenset({__name__, fast_math.__name__, primitives.__name__, "numpy", "_operator"})


def _form(name: str, dtype: np.dtype[Any]) -> Any:
    row = PRIMITIVES.get(name)
    if dtype == np.float32 and name in fast_math.FAST:
        return fast_math.FAST[name].numba
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

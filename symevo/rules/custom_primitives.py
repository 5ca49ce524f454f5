"""Primitives of the user's own: a decorator that checks a new row of the table, and says what would be right.

::

    @symevo.primitive(cost=5)
    def softsign(x):
        return x/(1 + abs(x))

The checks themselves stand in :mod:`symevo.rules.custom_primitives`.

What a new row of the primitive table must keep to; each complaint says what would be right.

The same is asked of the table's own rows by ``tests/contracts``.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar, overload

import numpy as np
import torch

from symevo.errors import UserError
from symevo.files import announce
from symevo.rules.backends.lowering import evaluate
from symevo.rules.classic import CLASSICS
from symevo.rules.expression import Name, Op, names_in
from symevo.rules.parser import parse_statements
from symevo.rules.primitives import PRIMITIVES, RESERVED_FUNCTIONS, Primitive

_SAMPLES = 48
_SYMBOLIC = 10
_AGREE = 1e-12
_EXTREMES = [0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 5e-324, -5e-324, 1e-45, 1e-310]
_EXTREMES32 = [0.0, 1.0, -1.0, 1e6, -1e6, 1e-38, 1e-45, -1e-45]


def check_alone(row: Primitive) -> None:
    """Checks a row that is in no table.

    Raises:
        UserError: What is wrong with it.
    """
    _check_columns(row)
    for signs in ("positive", "mixed"):
        args = _samples(row, signs)
        _check_agreement(row, args)
        _check_elements(row, args)
        _check_sympy(row, args)
        _check_reads(row, args)
    _check_nan(row)
    if row.total:
        _check_closure(row)


def check_in_place(row: Primitive) -> None:
    """Checks what only a row of the table can be asked: that sympy's form reads back, and that numba compiles it.

    Raises:
        UserError: What is wrong with it.
    """
    _check_round_trip(row)
    _check_loops(row)


def _wrong(row: Primitive, what: str) -> UserError:
    return UserError(f"primitive {row.name!r}: {what}")


def _check_columns(row: Primitive) -> None:
    if not isinstance(row.cost, int | float) or not 0 < row.cost < math.inf:
        raise _wrong(row, f"cost is a positive number, an addition is 1, not {row.cost!r}")
    if row.commutative and row.arity != 2:
        raise _wrong(row, f"commutative is for two arguments, not {row.arity}: leave it out")
    if isinstance(row.sympy, str):
        import sympy

        if not callable(getattr(sympy, row.sympy, None)):
            raise _wrong(row, f"sympy has no function {row.sympy!r}: give a function on sympy expressions")


def _samples(row: Primitive, signs: str) -> list[np.ndarray]:
    random = np.random.default_rng(20260101)
    args = [random.uniform(0.2, 3.0, _SAMPLES) for _ in range(row.arity)]
    args[0][::5] = args[-1][::5]  # ties
    if signs == "mixed":
        args = [np.where(np.arange(_SAMPLES) % 3 == place % 3, -one, one) for place, one in enumerate(args)]
    return args


def _at(args: Sequence[np.ndarray], index: int) -> str:
    return ", ".join(f"{letter} = {one.flat[index]:.6g}" for letter, one in zip("xyz", args, strict=False))


def _numpy(row: Primitive, args: Sequence[Any]) -> np.ndarray:
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(row.numpy(*args), dtype=np.float64)
    except Exception as error:  # noqa: BLE001  (whatever a user's function raises)
        raise _wrong(row, f"its numpy form fails ({_short(error)}): give numpy=, a form on float64 values") from None
    if found.shape != np.broadcast_shapes(*(np.shape(one) for one in args)):
        raise _wrong(row, f"its numpy form makes shape {found.shape} of {np.shape(args[0])}: make it element-wise")
    return found


def _torch(row: Primitive, args: Sequence[np.ndarray], dtype: torch.dtype = torch.float64) -> np.ndarray:
    tensors = [torch.as_tensor(one, dtype=dtype) for one in args]
    before = [one.clone() for one in tensors]
    try:
        found = row.torch(*tensors)  # type: ignore[operator]  # a user's torch form is a function
    except Exception as error:  # noqa: BLE001
        raise _wrong(
            row, f"its torch form fails ({_short(error)}): it takes tensors, and one of them may be wider"
        ) from None
    if not isinstance(found, torch.Tensor) or found.dtype != dtype:
        given = str(found.dtype) if isinstance(found, torch.Tensor) else type(found).__name__
        raise _wrong(row, f"its torch form makes {given} of {dtype}: it must give a tensor of its arguments' type")
    shape = np.broadcast_shapes(*(one.shape for one in args))
    if tuple(found.shape) != shape:
        raise _wrong(row, f"its torch form makes shape {tuple(found.shape)} of {shape}: make it element-wise")
    if not all(torch.equal(one.nan_to_num(), old.nan_to_num()) for one, old in zip(tensors, before, strict=True)):
        raise _wrong(row, "its torch form changes its arguments: give a new tensor instead")
    if not torch.equal(found.nan_to_num(), row.torch(*tensors).nan_to_num()):  # type: ignore[operator]
        raise _wrong(row, "its torch form gives another value each time: it must depend on its arguments alone")
    return found.double().numpy()


def _check_agreement(row: Primitive, args: list[np.ndarray]) -> None:
    expected, got = _numpy(row, args), _torch(row, args)
    _compare(row, args, got, expected, "torch", "numpy", "mend numpy=")
    if not np.isfinite(expected).any():
        raise _wrong(row, f"it has no finite value, as at {_at(args, 0)}: give a function of real numbers")
    if row.commutative:
        _compare(row, args, _numpy(row, args[::-1]), expected, "numpy with its arguments exchanged", "numpy",
                 "leave commutative out")  # fmt: skip


def _compare(
    row: Primitive, args: Sequence[np.ndarray], got: np.ndarray, expected: np.ndarray, one: str, other: str, mend: str
) -> None:
    same = np.isclose(got, expected, rtol=_AGREE, atol=0, equal_nan=True)
    if not same.all():
        at = int(np.flatnonzero(~same)[0])
        values = f"{one} gives {got.flat[at]:.9g} and {other} {expected.flat[at]:.9g}"
        raise _wrong(row, f"at {_at(args, at)}, {values}: all forms compute the same; {mend}")


def _check_elements(row: Primitive, args: list[np.ndarray]) -> None:
    """Every value must depend on its own arguments alone, and a number for a whole row is an argument too."""
    whole, parts = _torch(row, args), [_torch(row, [one[at : at + 1] for one in args])[0] for at in range(_SAMPLES)]
    _compare(row, args, np.array(parts), whole, "torch on one element", "on all of them", "make it element-wise")
    for wide in range(row.arity):
        mixed = [one.reshape(2, -1) if place == wide else one[:2, None] for place, one in enumerate(args)]
        spread = [np.broadcast_to(one, mixed[wide].shape) for one in mixed]
        mend = "make it broadcast"
        _compare(row, spread, _torch(row, mixed), _numpy(row, spread), "torch with one number a row", "numpy", mend)
    _numpy(row, [np.float64(one[0]) for one in args])


def _check_sympy(row: Primitive, args: list[np.ndarray]) -> None:
    import sympy

    form: Any = getattr(sympy, row.sympy) if isinstance(row.sympy, str) else row.sympy
    expected = _numpy(row, args)
    for at in np.flatnonzero(np.isfinite(expected))[:_SYMBOLIC]:
        try:
            value = float(form(*(sympy.Float(float(one[at])) for one in args)))
        except Exception as error:  # noqa: BLE001
            raise _wrong(
                row, f"its sympy form fails ({_short(error)}): give sympy=, a name in sympy or a form on expressions"
            ) from None
        _compare(row, [one[at : at + 1] for one in args], np.array([value]), expected[at : at + 1], "sympy", "numpy",
                 "mend sympy=")  # fmt: skip


def _check_reads(row: Primitive, args: list[np.ndarray]) -> None:
    if row.reads is None:
        return
    try:
        ((_, body),) = parse_statements(f"value = {row.reads}")
        with np.errstate(all="ignore"):
            value = np.asarray(evaluate(body, dict(zip("xyz"[: row.arity], args, strict=True))), dtype=np.float64)
    except (UserError, KeyError, ValueError) as error:
        raise _wrong(row, f"reads={row.reads!r} cannot be read ({_short(error)}): write it in x, y and z") from None
    _compare(row, args, np.broadcast_to(value, args[0].shape), _numpy(row, args), "what it reads as", "numpy",
             "mend reads=")  # fmt: skip


def _check_nan(row: Primitive) -> None:
    for place in range(row.arity):
        args = [np.full(3, math.nan if index == place else 2.0) for index in range(row.arity)]
        for form, found in (("torch", _torch(row, args)), ("numpy", _numpy(row, args))):
            if not np.isnan(found).all():
                raise _wrong(
                    row,
                    f"its {form} form makes {found[0]:g} of NaN, and a diverged rule would look alive: let NaN through",
                )


def _check_closure(row: Primitive) -> None:
    for dtype, extremes in ((torch.float64, _EXTREMES), (torch.float32, _EXTREMES32)):
        grid = list(np.array(list(itertools.product(extremes, repeat=row.arity))).T)
        for form, found in (("torch", _torch(row, grid, dtype)), ("numpy", _numpy(row, grid))):
            if not np.isfinite(found).all():
                at = int(np.flatnonzero(~np.isfinite(found))[0])
                kind = " in float32" if dtype == torch.float32 and form == "torch" else ""
                raise _wrong(
                    row,
                    f"{form} gives {found[at]:g} at {_at(grid, at)}{kind}: what a search may use is finite on finite "
                    "numbers; protect it, such as x/(abs(y) + 1e-8), or say total=False for a rule written by hand",
                )


def _check_round_trip(row: Primitive) -> None:
    from symevo.rules.printing.symbolic import from_sympy, to_sympy

    expr = Op(row.name, tuple(Name(f"x{place}") for place in range(row.arity)))
    advice = "write it with functions of the language, or give the name of one sympy function"
    try:
        first = to_sympy(expr)
        again = to_sympy(from_sympy(first))
    except Exception as error:  # noqa: BLE001
        raise _wrong(row, f"its sympy form cannot be printed ({_short(error)}): {advice}") from None
    if again != first:
        raise _wrong(row, f"its sympy form {first} reads back as {again}: {advice}")


def _check_loops(row: Primitive) -> None:
    from symevo.rules.backends.interpreter_loops import address

    try:
        for dtype in (np.float32, np.float64):
            address(row.name, (True,) * row.arity, np.dtype(dtype))
    except Exception as error:  # noqa: BLE001
        raise _wrong(
            row,
            f"numba cannot compile its form on single numbers ({_short(error)}): give scalar=, "
            "a function of arithmetic, abs, min, max, if and functions of math",
        ) from None
    _check_scalar(row)


def _check_scalar(row: Primitive) -> None:
    form = row.scalar or row.numpy
    if row.scalar is None:
        return  # numba compiles the numpy form, which was checked
    for signs in ("positive", "mixed"):
        args = _samples(row, signs)
        with np.errstate(all="ignore"):
            got = np.array([form(*values) for values in zip(*args, strict=True)], dtype=np.float64)
        _compare(row, args, got, _numpy(row, args), "the form on single numbers", "numpy", "mend scalar=")


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[min(1, len(lines) - 1)]}" if lines else type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."


Form = TypeVar("Form", bound=Callable[..., Any])

FORMS = frozenset({"add", "sub", "mul", "scale", "shift", "clamp", "mix", "ema", "ema_hat", "ema_last", "last", "peak",
                   "total", "copy"})  # fmt: skip
"""Names that forms of the grammar have, see :mod:`symevo.genomes.expression.grammar`, and one of the interpreter."""
SESSION: set[str] = set()
"""Primitives that were made in this process, by no file that other processes import too."""
MAX_ARITY = 3
_NAME = re.compile(r"[a-z][a-z0-9_]{2,39}\Z")
_WRITTEN = re.compile(r"(alpha|beta|gamma)\d*|[a-z]\d*_\w+|clip_value|bias_correction|bound|rest|signed|update|by_[dm]")
"""Names that genomes write."""


@overload
def primitive(function: Form, /) -> Form: ...
@overload
def primitive(
    *,
    numpy: Callable[..., Any] | None = None,
    sympy: str | Callable[..., Any] | None = None,
    scalar: Callable[..., Any] | None = None,
    reads: str | None = None,
    cost: float = 4.0,
    commutative: bool = False,
    total: bool = True,
) -> Callable[[Form], Form]: ...
def primitive(function: Callable[..., Any] | None = None, /, **columns: Any) -> Any:
    """Makes a function a primitive of the rule language, under its own name, and a form that ``expression`` builds of.

    The function is the torch form: element-wise on tensors. The other forms are the same function where they are left
    out, which will do for arithmetic and ``abs``.

    Args:
        function: The torch form, where the decorator is written without parentheses.
        **columns: ``numpy`` (form on float64 values), ``sympy`` (name in sympy, or form on its expressions), ``scalar``
            (form on single numbers that numba can compile; by default the numpy form), ``reads`` (what it stands for,
            as text of the language in x, y and z: it is printed so), ``cost`` (of one application to one weight, an
            addition is 1), ``commutative`` and ``total`` (finite arguments give a finite value, which a search needs;
            False: for rules that are written by hand only).

    Returns:
        The function, or a decorator.

    Raises:
        UserError: The forms do not agree, are not element-wise or not finite, or the name is taken; the message says
            what would be right.

    Example:
        >>> @primitive(sympy=lambda x: x/(1 + abs(x)))
        ... def softsign(x):
        ...     return x/(1 + abs(x))
    """
    if function is None:
        return lambda form: _register(form, **columns)
    return _register(function, **columns)


def _register(function: Any, *, numpy: Any = None, sympy: Any = None, **more: Any) -> Any:
    name, arity = _name_of(function), _arity_of(function)
    row = Primitive(name, arity, function, numpy or function, sympy or function, **{"cost": 4.0, "total": True, **more})
    if name in PRIMITIVES:
        if not _same(row, PRIMITIVES.get(name)):
            raise UserError(f"primitive {name!r} is registered already: choose another name")
        return _told(row)  # a notebook's cell that ran before, or a file that is imported under two names
    check_alone(row)
    PRIMITIVES.register(name, row)
    try:
        check_in_place(row)
    except BaseException:
        PRIMITIVES.remove(name)
        raise
    return _told(row)


def _told(row: Primitive) -> Any:
    """The function, once it is known whether other processes can have it."""
    (SESSION.discard if announce(row) else SESSION.add)(row.name)
    return row.torch


def _name_of(function: Any) -> str:
    name = getattr(function, "__name__", None)
    if not inspect.isfunction(function) or not isinstance(name, str) or not _NAME.match(name):
        raise UserError(
            f"a primitive is a function with a name of 3 to 40 lower-case letters, digits and underscores, not {name!r}"
        )
    if name in RESERVED_FUNCTIONS | FORMS | _classic_names() or _WRITTEN.fullmatch(name):
        raise UserError(f"primitive {name!r} would take a name that rules or their forms use: choose another name")
    return name


@cache
def _classic_names() -> frozenset[str]:
    """Names that the known optimizers use, which could not be read any more if they were functions."""
    programs = [CLASSICS.get(name).program for name in CLASSICS]
    return frozenset(name for one in programs for target, expr in one.statements for name in (target, *names_in(expr)))


def _arity_of(function: Any) -> int:
    parameters = inspect.signature(function).parameters.values()
    plain = all(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
    if not plain or not 1 <= len(parameters) <= MAX_ARITY:
        raise UserError(
            f"primitive {function.__name__!r} takes {inspect.signature(function)}: "
            f"give it 1 to {MAX_ARITY} plain arguments, such as (x, y)"
        )
    return len(parameters)


def _same(a: Primitive, b: Primitive) -> bool:
    """Whether two rows say the same, their functions as far as their code shows it."""
    return all(_code(getattr(a, name)) == _code(getattr(b, name)) for name in Primitive.__slots__)


def _code(value: Any) -> Any:
    code = getattr(value, "__code__", None)
    return value if code is None else (code.co_code, code.co_consts, code.co_names)

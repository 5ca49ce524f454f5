"""Primitives of the user's own: a decorator that checks a new row of the table, and says what would be right.

::

    @symevo.primitive(cost=5)
    def softsign(x):
        return x/(1 + abs(x))

The checks themselves stand in :mod:`symevo.rules.check_primitive`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, overload

from symevo.collect import announce
from symevo.errors import UserError
from symevo.rules.expression import names_in
from symevo.rules.primitives import PRIMITIVES, RESERVED_FUNCTIONS, Primitive

Form = TypeVar("Form", bound=Callable[..., Any])

FORMS = frozenset({"add", "sub", "mul", "scale", "shift", "clamp", "mix", "ema", "ema_hat", "ema_last", "last", "peak",
                   "total", "copy"})  # fmt: skip
"""Names that forms of the grammar have, see :mod:`symevo.genomes.expression_grammar`, and one of the interpreter."""
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
    from symevo.rules.check_primitive import check_alone, check_in_place

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
    from symevo.rules.classic import CLASSICS

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

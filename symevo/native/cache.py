"""Machine code of loops: compiled by numba, kept in the user's cache folder for the next process.

numba's own cache asks only whether the file of a function changed, and a loop here is made of functions of several
files; it also cannot name closures. So a loop is kept under a hash of all that its code depends on: the sources, the
versions of numba and LLVM, and the processor. What is kept are the bytes that were compiled, so results do not change.
A folder that cannot be written, or a file that is not whole, costs a compilation and nothing else.

Where rows of numbers start in memory: at whole cache lines.

Processors and libraries may add up a row in another order where it starts elsewhere, so the bits of a result would
depend on its place among others; :mod:`symevo.tasks.stacked.layers` says what was measured.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import llvmlite
import numba
import platformdirs
from numba import types
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys
from numba.extending import intrinsic

CACHE_LINE = 64
"""Bytes; the widest registers hold as many."""


def padded(count: int, itemsize: int) -> int:
    """How many elements of ``itemsize`` bytes a row of ``count`` takes, so that the next one starts at a cache line."""
    together = CACHE_LINE // itemsize
    return -(-count // together) * together


_DIGEST = 16
_alive: list[Any] = []  # machine code is freed with the object that holds it

array: Any = numba.carray  # type: ignore[attr-defined]  # made public by assignment, which type checkers do not see


def compiled(function: Callable[..., None], signature: Any, kept_as: str | None, sources: tuple[Path, ...]) -> int:
    """The address of a function's machine code in this process.

    Args:
        function: What numba can compile.
        signature: Its numba signature.
        kept_as: What tells it from all other functions made of the same sources; None: it is not kept.
        sources: All files, beside this one, that its code depends on.
    """
    path = None if kept_as is None else _path(kept_as, sources)
    found = None if path is None else _load(path)
    if found is None:
        # Symbols are made of it. They are shared by all code of a process, loaded or compiled, so none may occur twice.
        function.__qualname__ = f"{function.__name__}_{uuid4().hex if path is None else path.name}"
        made: Any = numba.cfunc(signature, error_model="numpy")(function)
        found = made._library, made.native_name
        if path is not None:
            _save(path, *found)
    library, symbol = found
    _alive.append(library)
    return library.get_pointer_to_function(symbol)


@cache
def pointer(real: Any) -> Any:
    """Turns an address into a pointer, in compiled code."""

    @intrinsic
    def _pointer(context: Any, address: Any) -> Any:
        signature = types.CPointer(real)(types.intp)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return signature, generate

    return _pointer


def folder() -> Path:
    """Where machine code is kept."""
    return Path(platformdirs.user_cache_dir("symevo", appauthor=False)) / "machine_code"


def _path(kept_as: str, sources: tuple[Path, ...]) -> Path | None:
    seed = _seed(sources)
    return None if seed is None else folder() / blake2b(f"{seed} {kept_as}".encode(), digest_size=_DIGEST).hexdigest()


@cache
def _seed(sources: tuple[Path, ...]) -> str | None:
    """Hash of all that the machine code of loops made of these sources depends on."""
    try:
        texts = [path.read_bytes() for path in (Path(__file__), *sources)]
    except OSError:  # an install without sources
        return None
    about = [numba.__version__, llvmlite.__version__, sys.version, *_codegen().magic_tuple()]
    return blake2b(b"".join([json.dumps(about).encode(), *texts]), digest_size=_DIGEST).hexdigest()


def _codegen() -> Any:
    context: Any = cpu_target.target_context
    return context.codegen()


def _load(path: Path) -> tuple[Any, str] | None:
    try:
        content = path.read_bytes()
        mine = not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    except OSError:
        return None
    digest, rest = content[:_DIGEST], content[_DIGEST:]
    if not mine or blake2b(rest, digest_size=_DIGEST).digest() != digest:
        return None
    head, _, body = rest.partition(b"\n")
    name, symbol, size = json.loads(head)
    rtsys.initialize(cpu_target.target_context)  # so that code which refers to numba's runtime can be linked
    library = _codegen().unserialize_library((name, "object", (body[:size], body[size:])))
    return library, symbol


def _save(path: Path, library: Any, symbol: str) -> None:
    """Writes a file that is whole from the moment that it has its name, whoever else writes it."""
    name, _, (code, bitcode) = library.serialize_using_object_code()
    rest = json.dumps([name, symbol, len(code)]).encode() + b"\n" + code + bitcode
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(blake2b(rest, digest_size=_DIGEST).digest() + rest)
        os.replace(file.name, path)

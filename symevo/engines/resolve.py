"""Functions by name: how a task's function and the user's own files reach another process."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.files import collecting

PLUGIN_PREFIX = "symevo_plugin_"


def reference(fn: str | Callable[[Any], Any]) -> str:
    """``fn`` as ``"package.module:function"``; raises UserError where another process cannot import it."""
    if isinstance(fn, str):
        module, _, name = fn.partition(":")
        if not module or not name:
            raise UserError(f"{fn!r} does not name a function: write 'package.module:function'")
        return fn
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", "<unnamed>")
    if module in (None, "__main__") or "<" in name:
        raise UserError(
            f"other processes cannot import {name!r} of {module}: "
            "put it at the top level of a module, or use the inline engine"
        )
    return f"{module}:{name}"


def resolve(name: str) -> Callable[[Any], Any]:
    """The function that ``"package.module:function"`` names; imports its module."""
    module, _, path = name.partition(":")
    return reduce(getattr, path.split("."), importlib.import_module(module))


def load_plugin(path: str | os.PathLike[str]) -> str:
    """Import a Python file of the user as ``symevo_plugin_<stem>`` and return that module name.

    What it announces (see :mod:`symevo.files`) is kept in the module's ``__made__``. Its folder is on the import path
    from then on, so that it can import what lies beside it, later too. UserError where it cannot be imported.
    """
    file = Path(path).resolve()
    name = PLUGIN_PREFIX + file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UserError(f"cannot import {file}: give the path of a .py file that exists")
    stamp = file.stat().st_mtime_ns, file.stat().st_size
    known = sys.modules.get(name)
    if known is not None and known.__file__ != str(file):
        raise UserError(f"{file} and {known.__file__} have the same name: rename one")
    if known is not None and vars(known).get("__stamp__") == stamp:  # a session may import it again once it changed
        return name
    module = importlib.util.module_from_spec(spec)
    # Registered first: dataclasses and pickle look their module up while it is still being run.
    sys.modules[name] = module
    _reach(str(file.parent))
    try:
        with collecting() as made:
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):  # whatever it raises is about that file
            told = f"is refused: {error}" if isinstance(error, UserError) else f"does not run: {describe(error)}"
            raise UserError(f"{file} {told}") from error
        raise
    vars(module).update(__made__=made, __stamp__=stamp)
    return name


def _reach(folder: str) -> None:
    """Puts a folder on the import path: behind the standard library, before installed packages.

    So no ``random.py`` in it is taken for that library's, and it comes before what is installed, as a program's does.
    """
    if folder not in sys.path:
        library = os.path.dirname(os.__file__)
        parts = (library, os.path.join(library, "lib-dynload"))
        behind = [at for at, entry in enumerate(sys.path, 1) if entry in parts]
        sys.path.insert(max(behind, default=len(sys.path)), folder)


def prepare(item: tuple[Iterable[str], tuple[str, Any] | None]) -> None:
    """The first task of every child: import the user's files, then call the setup function."""
    imports, setup = item
    for path in imports:
        load_plugin(path)
    if setup is not None:
        fn, argument = setup
        resolve(fn)(argument)


def attempt(fn: Callable[[Any], Any], item: Any, caught: Any) -> tuple[Any, Any, float]:
    """Status, value and seconds of a call; what of its errors is ``caught`` becomes an ``exception``."""
    start = time.perf_counter()
    try:
        status, value = "ok", fn(item)
    except caught as error:
        status, value = "exception", describe(error)
    return status, value, time.perf_counter() - start


def describe(error: BaseException) -> str:
    """An exception as one line, ``"TypeName: message"``."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001
        # A broken __str__ must not turn one failed task into a failed map.
        message = "(no message)"
    return f"{type(error).__name__}: {message[:500]}" if message else type(error).__name__

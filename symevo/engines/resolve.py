"""Functions by name: how a task's function and the user's own files reach another process."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path
from typing import Any

from symevo.errors import UserError

PLUGIN_PREFIX = "symevo_plugin_"


def reference(fn: str | Callable[[Any], Any]) -> str:
    """``fn`` as ``"package.module:function"``.

    Raises:
        UserError: A function that another process cannot import: nested, a lambda, or of the main script.
    """
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
    """Imports a Python file of the user as ``symevo_plugin_<stem>`` and returns that module name.

    Raises:
        UserError: There is no such file, it is not a Python file, or another file took the name.
    """
    file = Path(path).resolve()
    name = PLUGIN_PREFIX + file.stem
    known = sys.modules.get(name)
    if known is not None:
        if known.__file__ != str(file):
            raise UserError(f"{file} and {known.__file__} have the same name: rename one")
        return name
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UserError(f"cannot import {file}: give the path of a .py file")
    module = importlib.util.module_from_spec(spec)
    # Registered first: dataclasses and pickle look their module up while it is still being run.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return name


def prepare(item: tuple[Iterable[str], tuple[str, Any] | None]) -> None:
    """The first task of every child: import the user's files, then call the setup function."""
    imports, setup = item
    for path in imports:
        load_plugin(path)
    if setup is not None:
        fn, argument = setup
        resolve(fn)(argument)


def describe(error: BaseException) -> str:
    """An exception as one line, ``"TypeName: message"``."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001
        # A broken __str__ must not turn one failed task into a failed map.
        message = "(no message)"
    return f"{type(error).__name__}: {message[:500]}" if message else type(error).__name__

"""Files of the user: reading JSON, writing atomically, and collecting what a file makes while it is imported."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from symevo.errors import RuleError, UserError

_catchers: list[list[Any]] = []


@contextmanager
def collecting() -> Iterator[list[Any]]:
    """Give a list that fills with everything announced inside; the innermost catcher takes all."""
    caught: list[Any] = []
    _catchers.append(caught)
    try:
        yield caught
    finally:
        _catchers.pop()


def announce(thing: Any) -> bool:
    """Hands ``thing`` to whoever is collecting, and says whether somebody is."""
    if _catchers:
        _catchers[-1].append(thing)
    return bool(_catchers)


def own_files(paths: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """The user's files, each once and by its real path, for a file has many spellings."""
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths))


def check_free(path: Path, *, force: bool = False, folder: bool = False, hint: str = "name another file") -> None:
    """Check that a file can be written, before any work is done; UserError, with ``hint``, where it cannot.

    ``force`` allows an existing file, ``folder`` a missing folder.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    if (path.exists() or path.is_symlink()) and not force:
        raise UserError(f"output file {path} exists: {hint}, or remove it")
    above = next((one for one in path.absolute().parents if one.exists() or not folder), Path("/"))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: {above} is no folder that you may write; name another place")


def replace_file(path: Path, data: bytes) -> None:
    """Write atomically, and make the folder: a temporary file that is forced to disk, then a rename.

    Where it raises OSError, or ValueError for a wrong path, what was there still is, and nothing else is left.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError, ValueError):
            part.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes, *, what: str = "", hint: str = "name another file") -> None:
    """Write a file of the user's by :func:`replace_file`; UserError says ``what`` could not be written, and a hint."""
    try:
        replace_file(path, data)
    except (OSError, ValueError) as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        why = "a file is in the way" if in_the_way else (getattr(error, "strerror", None) or str(error)).lower()
        raise UserError(f"cannot write {f'{what} ' if what else ''}{path}: {why}; {hint}") from None


MAX_FILE = 1 << 20
Made = TypeVar("Made")


def read_json(path: Path, make: Callable[[Any], Made], *, what: str) -> Made:
    """Read a JSON file and convert it with ``make``; UserError where it cannot be read or does not hold ``what``."""
    content = _content(path, what)
    try:
        return make(json.loads(content.decode("utf-8-sig"), parse_constant=_refuse, object_pairs_hook=_once))
    except json.JSONDecodeError as error:
        raise RuleError(f"{path}, line {error.lineno}, column {error.colno}: no JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise RuleError(f"{path} is no UTF-8 text: byte {error.start + 1} is wrong") from None
    except UserError as error:
        raise RuleError(f"{path}: {error}") from None
    except RecursionError:
        raise RuleError(f"{path} is nested too deeply for {what} JSON") from None
    except ValueError:  # Python reads no integer of thousands of digits
        raise RuleError(f"{path} holds too long a number") from None


def _content(path: Path, what: str) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting, a device never ends
            raise UserError(f"cannot read {what} file {path}: it is no regular file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UserError(f"cannot read {what} file {path}: {error.strerror}") from None
    if len(content) > MAX_FILE:
        raise RuleError(f"{path} is too large for {what} JSON: at most {MAX_FILE:,} bytes are read")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise UserError(f"key {next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def _refuse(constant: str) -> float:
    raise UserError(f"{constant} is no number of a rule")

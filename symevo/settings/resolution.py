"""Where the settings of a run come from.

Flags beat the TOML file, which beats the preset, which beats the defaults of :class:`Settings`.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from symevo.errors import UserError
from symevo.files import own_files
from symevo.settings.explain import SettingError, explain, unknown_setting
from symevo.settings.model import ExecutionSettings, Settings, all_fields, model_of
from symevo.settings.systems import preset_of

_CONFIG_BYTES = 1_000_000


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, by field name; keys may be written with ``-`` or ``_``."""
    try:
        status = path.stat()  # before it is opened: a pipe waits for ever, a device never ends
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"--config {path} is no regular file: give a TOML file")
        if status.st_size > _CONFIG_BYTES:
            raise UserError(f"--config {path} has more than {_CONFIG_BYTES:,} bytes: give a TOML file of settings")
        text = path.read_bytes().decode("utf-8-sig")  # editors on Windows write a byte order mark
    except UserError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not text in UTF-8"
        raise UserError(f"cannot read --config {path}: {why}; give a TOML file") from None
    return {key.replace("-", "_"): value for key, value in _parse_toml(text, path).items()}


def _parse_toml(text: str, path: Path) -> dict[str, Any]:
    try:
        import tomllib  # type: ignore[import-not-found]
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # pyright: ignore[reportMissingImports]
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, a number without end, nesting without end
        raise UserError(f"--config {path} is not TOML: {error}") from None


def resolve(flags: Mapping[str, Any] | None = None, *, toml: Path | None = None) -> Settings:
    """Settings for a new run; nothing is written.

    The user's files are imported first, as they may register what settings name. Whoever owns a registry looks names
    up. Flags that are None count as not said; UserError says in one line what is wrong, and what would be right.
    """
    given = read_toml(toml) if toml else {}
    flags = {name: value for name, value in (flags or {}).items() if value is not None}
    _import_named({**given, **flags})
    _check_names(given, where=f" in {toml}")
    _check_names(flags)
    said = {**given, **flags}
    system, preset = said.get("system", "term-sum"), said.get("preset", "default")
    usual = preset_of(system, preset, said.get("mode")) if isinstance(preset, str) else {}
    own = model_of(system).presets
    if own and isinstance(preset, str) and preset not in own:
        raise UserError(f"unknown preset {preset!r} for system {system!r}; choose from {', '.join(own)}")
    settings = _validated({**usual, **said})
    most = settings.generations // 2  # a preset's share shrinks with its run; what was said is meant
    if said.get("polish") and settings.polish > most:
        why = f"{settings.polish} of generations {settings.generations} leaves too few to search"
        raise SettingError("polish", f"{why}: polish at most half of them, {most}")
    missing = [path for path in settings.tasks_from if not os.path.isfile(path)]
    if missing:
        raise SettingError("tasks_from", f"{missing[0]} is no file: give a Python file that makes tasks")
    if settings.data_dir is not None and not os.path.isdir(settings.data_dir):
        raise SettingError("data_dir", f"{settings.data_dir} is no folder: give one that holds data sets")
    out = (settings.out or default_out(settings.system)).absolute()
    check_out(settings.out or out)
    files = own_files(settings.tasks_from)
    open_tasks = {"tasks": ()} if files and "tasks" not in said else {}  # those that the files make, once imported
    return settings.model_copy(update={"out": out, "tasks_from": files, **open_tasks})


def resumed(recorded: Mapping[str, Any], flags: Mapping[str, Any]) -> Settings:
    """Settings for going on with a run: the recorded ones, with the execution settings that ``flags`` change.

    UserError where a flag would change what decides the result, or the place of the run.
    """
    said = {name: value for name, value in flags.items() if value is not None}
    _import_named({**recorded, **said})
    _check_names(said)
    before = _validated(recorded)
    if isinstance(said.get("tasks_from"), list | tuple):
        said["tasks_from"] = list(own_files(said["tasks_from"]))
    if "engine" in said and "workers" not in said and said["engine"] != before.engine:
        recorded = {key: value for key, value in recorded.items() if key != "workers"}
    if "workers" in said and "engine" not in said:
        recorded = {key: value for key, value in recorded.items() if key != "engine" or value == "scoop"}
    after = _validated({**recorded, **said})
    for name in said:
        # A user's file may have moved; that its tasks are the same is checked once it is imported.
        kept = name in (*ExecutionSettings.model_fields, "tasks_from") and name != "out"
        automatic = name in ("device", "backend") and said[name] == "auto"
        old, new = getattr(before, name), getattr(after, name)
        if name == "out" and old is not None and new is not None:
            old, new = old.resolve(), new.resolve()
        if not kept and not automatic and old != new:
            shown = "has another" if name in ("seed_rules", "rule", "schedule") else f"was started with {_shown(old)}"
            raise SettingError(name, f"cannot change on resume: the run {shown}; leave it out")
    return after.model_copy(update={"device": before.device, "backend": before.backend, "out": before.out})


def check_out(path: Path) -> None:
    """Raise UserError for a folder that cannot be made, or where a new run would mix with something else."""
    try:
        if path.is_dir() and any(path.iterdir()):
            raise SettingError("out", f"{path} exists and is not empty: name a new folder, or use --resume {path}")
        if path.exists() and not path.is_dir():
            raise SettingError("out", f"{path} is a file: name a new folder")
        parent = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    except UserError:
        raise
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be looked into
        why = getattr(error, "strerror", None) or error
        raise SettingError("out", f"cannot be made ({why}): {_short(path)}; name another folder") from None
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise SettingError("out", f"cannot be made: {_short(parent)} cannot be written; name another folder")


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 80 else f"{text[:38]}…{text[-38:]}"


def default_out(system: str) -> Path:
    """A folder that does not exist yet: ``runs/<system>-<time>`` under the current folder."""
    base = Path("runs") / f"{system}-{datetime.now():%Y%m%d-%H%M%S}"
    path, count = base, 1
    while path.exists():
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path


def _import_named(said: Mapping[str, Any]) -> None:
    """Import the user's files that are there; what is wrong with the others is said when settings are checked."""
    files = said.get("tasks_from")
    if isinstance(files, list | tuple):
        import_files([Path(path) for path in files if isinstance(path, str | Path) and os.path.isfile(path)])


def _check_names(said: Mapping[str, Any], *, where: str = "") -> None:
    known = list(all_fields())
    for name in said:
        if name not in known:
            raise unknown_setting(name, known, where=where)


def _validated(data: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(dict(data))
    except ValidationError as error:
        raise explain(error) from None


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value) or "none"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return str(value)


def import_files(files: Sequence[Path]) -> list[str]:
    """Import the user's files and register what they make; return the names of their tasks."""
    if not files:
        return []
    from symevo.engines.resolve import load_plugin
    from symevo.tasks.plugins import adopt

    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is no result
        return [name for path in files for name in adopt(load_plugin(path))]

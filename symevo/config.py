"""Settings of a run: what they are, where they come from, and one-line errors about them.

Flags beat the TOML file, which beats the preset, which beats the defaults of :class:`Settings`.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from symevo.errors import UserError
from symevo.explain import SettingError, explain, unknown_setting
from symevo.presets import PRESETS

_CONFIG_BYTES = 1_000_000
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


class SearchSettings(BaseModel):
    """What decides the result: recorded with the run and refused to change on resume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = "term-sum"
    preset: Literal["quick", "default", "paper"] = "default"
    tasks: tuple[str, ...] = Field(("digits-mlp", "digits-deep"), min_length=1)
    tasks_from: tuple[str, ...] = ()
    population: int = Field(32, ge=2, le=1_000_000, strict=True)
    generations: int = Field(12, ge=1, le=1_000_000, strict=True)
    steps: int = Field(300, ge=1, le=10_000_000, strict=True)
    seeds: int = Field(2, ge=1, le=10_000, strict=True)
    seed: int = Field(0, ge=0, lt=2**63, strict=True)
    elites: int = Field(3, ge=0, strict=True)
    tournament: int = Field(4, ge=1, strict=True)
    fitness: Literal["default", "paper"] = "default"
    seed_rules: tuple[dict[str, Any], ...] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: Literal["compiled", "eager"] = "compiled"
    threads: int = Field(1, ge=1, le=1024, strict=True)
    rows: int | None = Field(None, ge=1, le=1_000_000, strict=True)
    stacking: str | None = None

    @field_validator("seed_rules", mode="before")
    @classmethod
    def _rules_as_json(cls, value: Any) -> Any:
        """Turns names, files and program texts into rule JSON, so that a run records the rules themselves."""
        if not isinstance(value, list | tuple) or not value:
            return value
        from symevo.rules.rule import rule

        return tuple(rule(source).to_json() for source in value)

    @field_validator("tasks")
    @classmethod
    def _no_task_twice(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise SettingError("tasks", f"names {twice[0]} twice: name each task once")
        return value

    @model_validator(mode="after")
    def _population_fits(self) -> SearchSettings:
        if self.elites >= self.population:
            why = f"{self.elites} of population {self.population} leaves no room for children"
            raise SettingError("elites", f"{why}: raise population or lower elites")
        if self.tournament > self.population:
            raise SettingError(
                "tournament",
                f"{self.tournament} draws more than population {self.population}: raise population or lower tournament",
            )
        return self


class ExecutionSettings(BaseModel):
    """How and where a run is computed: free to change on resume, without effect on the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["serial", "process", "scoop"] = "process"
    workers: int = Field(1, ge=1, le=1024, strict=True)
    eval_timeout: float = Field(600.0, gt=0, allow_inf_nan=False)
    time_budget: float | None = Field(None, gt=0, allow_inf_nan=False)
    data_dir: Path | None = None
    out: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _engine_and_workers(cls, data: Any) -> Any:
        """Fills in the engine and the workers that were left open: all cores, unless the user says less."""
        if not isinstance(data, dict):
            return data
        engine, workers = data.get("engine"), data.get("workers")
        if engine == "dask":
            raise SettingError("engine", "dask is not there yet: use serial, process or scoop")
        if engine == "serial" and isinstance(workers, int) and workers > 1:
            raise SettingError("engine", f"serial has one worker, not {workers}: use engine process")
        if workers is None:
            workers = 1 if engine == "serial" else cores()
        if engine is None:
            engine = "serial" if workers == 1 else "process"
        return {**data, "engine": engine, "workers": workers}

    @field_validator("time_budget", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return seconds(value) if isinstance(value, str) else value


class Settings(SearchSettings, ExecutionSettings):
    """All settings of a run, checked; plain data that survives :meth:`model_dump` and back."""

    def search_settings(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON-like data."""
        return self.model_dump(mode="json", include=set(SearchSettings.model_fields))

    def execution_settings(self) -> dict[str, Any]:
        """The settings that do not, as JSON-like data."""
        return self.model_dump(mode="json", include=set(ExecutionSettings.model_fields))


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def seconds(text: str) -> float:
    """Reads a length of time: ``"90s"``, ``"30m"``, ``"1h30m"``, or a number of seconds.

    Raises:
        UserError: Not such a text.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        raise UserError(f"{text!r} is no length of time: write 90s, 30m, 2h or 1h30m")
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True))


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, by field name; keys may be written with ``-`` or ``_``.

    Raises:
        UserError: No such file, not TOML, or an unknown key; the message names the nearest known one.
    """
    try:
        status = path.stat()  # before it is opened: a pipe waits for ever, a device never ends
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"--config {path} is no regular file: give a TOML file")
        if status.st_size > _CONFIG_BYTES:
            raise UserError(f"--config {path} has more than {_CONFIG_BYTES:,} bytes: give a TOML file of settings")
        text = path.read_bytes().decode()
    except UserError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise UserError(f"cannot read --config {path}: {why}; give a TOML file") from None
    data = _parse_toml(text, path)
    known = {key.replace("-", "_"): value for key, value in data.items()}
    for key in known:
        if key not in Settings.model_fields:
            raise unknown_setting(key, list(Settings.model_fields), where=f" in {path}")
    return known


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
    """Settings for a new run; nothing is written. Systems and tasks are looked up by those who own them.

    Args:
        flags: What was said explicitly, by field name; ``None`` values count as not said.
        toml: A settings file.

    Raises:
        UserError: One line: what is wrong, and what would be right.
    """
    said = {**(read_toml(toml) if toml else {}), **_given(flags or {})}
    system, preset = said.get("system", "term-sum"), said.get("preset", "default")
    plain = isinstance(system, str) and isinstance(preset, str)  # else the model says what is wrong with them
    chosen = PRESETS.get(system, {}).get(preset, {}) if plain else {}
    settings = _validated({**chosen, **said})
    missing = [path for path in settings.tasks_from if not os.path.isfile(path)]
    if missing:
        raise SettingError("tasks_from", f"{missing[0]} is no file: give a Python file that makes tasks")
    if settings.data_dir is not None and not os.path.isdir(settings.data_dir):
        raise SettingError("data_dir", f"{settings.data_dir} is no folder: give one that holds data sets")
    out = (settings.out or default_out(settings.system)).absolute()
    check_out(settings.out or out)
    absolute = tuple(str(Path(path).resolve()) for path in settings.tasks_from)
    own = {"tasks": ()} if absolute and "tasks" not in said else {}  # those that the files make, once imported
    return settings.model_copy(update={"out": out, "tasks_from": absolute, **own})


def resumed(recorded: Mapping[str, Any], flags: Mapping[str, Any]) -> Settings:
    """Settings for going on with a run: the recorded ones, with the execution settings that ``flags`` change.

    Args:
        recorded: The run's search and execution settings in one mapping.
        flags: What was said explicitly, by field name.

    Raises:
        UserError: A flag would change what decides the result, or the place of the run.
    """
    before = _validated(recorded)
    said = _given(flags)
    if isinstance(said.get("tasks_from"), list | tuple):
        said["tasks_from"] = [str(Path(path).resolve()) for path in said["tasks_from"]]
    if "engine" in said and "workers" not in said and said["engine"] != before.engine:
        recorded = {key: value for key, value in recorded.items() if key != "workers"}
    if "workers" in said and "engine" not in said:
        recorded = {key: value for key, value in recorded.items() if key != "engine" or value == "scoop"}
    after = _validated({**recorded, **said})
    for name in said:
        # A user's file may have moved; that its tasks are the same is checked once it is imported.
        kept = name in (*ExecutionSettings.model_fields, "tasks_from") and name != "out"
        automatic = name == "device" and said[name] == "auto"
        old, new = getattr(before, name), getattr(after, name)
        if name == "out" and old is not None and new is not None:
            old, new = old.resolve(), new.resolve()
        if not kept and not automatic and old != new:
            shown = "has another" if name == "seed_rules" else f"was started with {_shown(old)}"
            raise SettingError(name, f"cannot change on resume: the run {shown}; leave it out")
    return after.model_copy(update={"device": before.device, "out": before.out})


def check_out(path: Path) -> None:
    """Refuses a folder for a new run that would mix it with something else.

    Raises:
        UserError: It is a file, a folder that is not empty, or cannot be made.
    """
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


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in flags.items() if value is not None}
    for name in said:
        if name not in Settings.model_fields:
            raise unknown_setting(name, list(Settings.model_fields))
    return said


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

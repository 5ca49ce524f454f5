"""The settings of a run: names, types, bounds, defaults.

Where they come from stands in :mod:`symevo.settings.resolution`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from symevo.errors import UserError
from symevo.settings.explain import SettingError

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
    fitness: Literal["default", "loss", "paper", "accuracy", "peak"] = "default"
    seed_rules: tuple[dict[str, Any], ...] = ()
    classics: bool = True
    loop: str = "generational"
    rule: dict[str, Any] | None = None
    tune: tuple[str, ...] | None = Field(None, min_length=1)
    mode: Literal["static", "dynamic"] = "static"
    mutation: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    schedule: dict[str, Any] | None = None
    noise: Literal["uniform", "gaussian", "triangular"] | None = None
    noise_scale: float | None = Field(None, ge=0, le=1e6, allow_inf_nan=False)
    inherit: Literal["none", "fitter", "both"] | None = None
    score_batch: int | None = Field(None, ge=1, le=100_000_000, strict=True)
    score_split: Literal["train", "validation"] = "validation"
    scale: float = Field(1.0, gt=0, le=100, allow_inf_nan=False)
    stop_below: float | None = Field(None, ge=0, allow_inf_nan=False)
    primitives: tuple[str, ...] | None = Field(None, min_length=1)
    max_depth: int = Field(7, ge=1, le=50, strict=True)
    max_size: int = Field(24, ge=2, le=500, strict=True)
    max_states: int = Field(2, ge=0, le=16, strict=True)
    polish: int = Field(0, ge=0, le=1_000_000, strict=True)
    islands: int = Field(1, ge=1, le=100_000, strict=True)
    migrate_every: int = Field(5, ge=1, le=1_000_000, strict=True)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: Literal["auto", "compiled", "eager", "interpreter"] = "auto"
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

        # A recorded rule is read where it is used: its primitives may come from a file that is imported by then.
        return tuple(source if isinstance(source, dict) else rule(source).to_json() for source in value)

    @field_validator("rule", mode="before")
    @classmethod
    def _rule_as_json(cls, value: Any) -> Any:
        """Likewise for the one rule."""
        if value is None or isinstance(value, dict):
            return value
        from symevo.rules.rule import rule

        return rule(value).to_json()

    @field_validator("schedule", mode="before")
    @classmethod
    def _schedule_as_json(cls, value: Any) -> Any:
        """A schedule as rule JSON has it, whichever way it was said."""
        if value is None:
            return value
        from symevo.rules.schedule import schedule

        return schedule(value).to_json()

    @field_validator("tasks")
    @classmethod
    def _no_task_twice(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise SettingError("tasks", f"names {twice[0]} twice: name each task once")
        return value

    @model_validator(mode="after")
    def _population_fits(self) -> SearchSettings:
        if self.islands * 2 > self.population:
            why = f"{self.islands} of population {self.population} leave an island less than 2"
            raise SettingError("islands", f"{why}: raise population or lower islands")
        if self.islands > 1 and self.elites >= self.population // self.islands:
            why = f"{self.elites} on islands of {self.population // self.islands} leave no room for children"
            raise SettingError("elites", f"{why}: raise population, lower elites or have fewer islands")
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
    tensorboard: bool = False

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

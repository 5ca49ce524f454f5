"""The settings of a run: names, types, bounds, defaults, and how the command line says and explains them.

Settings that every system reads are fields of :class:`Settings`; those of one system are in
:mod:`symevo.settings.systems`. Where values come from stands in :mod:`symevo.settings.resolution`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from typing_extensions import Self

from symevo.engines.base import ENGINES, usable_cores
from symevo.errors import UserError
from symevo.registry import Registry
from symevo.settings.explain import SettingError

Presets = Mapping[str, Mapping[str, Any]]

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class Flag:
    """How the command line says a setting: one line of help, and what stands for the value, by default its type.

    The flag of a list is said once for each item if it is ``repeated``, and else with commas. With ``text`` the model
    reads the text itself, whatever the type.
    """

    help: str
    metavar: str | None = None
    repeated: bool = False
    text: bool = False


class SearchSettings(BaseModel):
    """What decides the result: recorded with the run and refused to change on resume."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    system: str = "term-sum"
    preset: Annotated[str, Flag("Settings by name:", "NAME")] = "default"
    tasks: Annotated[tuple[str, ...], Flag("Task names; see 'symevo tasks'.", "A,B,…")] = Field(
        ("digits-mlp", "digits-deep"), min_length=1
    )
    tasks_from: Annotated[
        tuple[str, ...], Flag("Python file that makes tasks or primitives of your own.", "FILE.py", repeated=True)
    ] = ()
    population: Annotated[int, Flag("Candidates in a generation.", "N")] = Field(32, ge=2, le=1_000_000, strict=True)
    generations: Annotated[int, Flag("Generations, the first included.", "N")] = Field(
        12, ge=1, le=1_000_000, strict=True
    )
    steps: Annotated[int, Flag("Training steps of a candidate.", "N")] = Field(300, ge=1, le=10_000_000, strict=True)
    seeds: Annotated[int, Flag("Training seeds for each task.", "N")] = Field(2, ge=1, le=10_000, strict=True)
    seed: Annotated[int, Flag("Seed of the whole run.", "N")] = Field(0, ge=0, lt=2**63, strict=True)
    elites: Annotated[int, Flag("Best candidates that pass on unchanged.", "N")] = Field(3, ge=0, strict=True)
    tournament: Annotated[int, Flag("Candidates drawn to pick a parent.", "N")] = Field(4, ge=1, strict=True)
    fitness: Annotated[str, Flag("What is maximised: default, loss or paper.", "NAME")] = "default"
    seed_rules: Annotated[
        tuple[dict[str, Any], ...],
        Flag(
            "Rule for the first population: a name, rule JSON file, text, or a run's folder.", "RULE|RUN", repeated=True
        ),
    ] = ()
    classics: Annotated[bool, Flag("Whether known optimizers are in the first population.")] = True
    loop: Annotated[str, Flag("Evolutionary loop, such as generational or nsga2.", "NAME")] = "generational"
    islands: Annotated[int, Flag("Populations that evolve apart, and now and then mix.", "N")] = Field(
        1, ge=1, le=100_000, strict=True
    )
    migrate_every: Annotated[int, Flag("Generations between two migrations.", "N")] = Field(
        5, ge=1, le=1_000_000, strict=True
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Flag("auto, cpu or cuda.")] = "auto"
    backend: Annotated[str, Flag("Update kernels: auto, compiled, eager or interpreter.", "NAME")] = "auto"
    threads: Annotated[int, Flag("Threads for each evaluation.", "N")] = Field(1, ge=1, le=1024, strict=True)
    rows: Annotated[int | None, Flag("Trainings stacked at once; default: measured.", "N")] = Field(
        None, ge=1, le=1_000_000, strict=True
    )
    stacking: Annotated[str | None, Flag("How they are stacked; default: measured.", "NAME")] = None

    @field_validator("seed_rules", mode="before")
    @classmethod
    def _rules_as_json(cls, value: Any) -> Any:
        """Turn names, files and program texts into rule JSON, so that a run records the rules themselves."""
        if not isinstance(value, list | tuple) or not value:
            return value
        from symevo.rules.rule import rule

        # A recorded rule is read where it is used: its primitives may come from a file that is imported by then.
        return tuple(source if isinstance(source, dict) else rule(source).to_json() for source in value)

    @field_validator("tasks")
    @classmethod
    def _no_task_twice(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise SettingError("tasks", f"names {twice[0]} twice: name each task once")
        return value

    @model_validator(mode="after")
    def _population_fits(self) -> Self:
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
            why = f"{self.tournament} draws more than population {self.population}"
            raise SettingError("tournament", f"{why}: raise population or lower tournament")
        return self


class ExecutionSettings(BaseModel):
    """How and where a run is computed: free to change on resume, without effect on the result."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    engine: Annotated[str, Flag("serial, process (default), scoop, or one of your own.", "NAME")] = "process"
    workers: Annotated[int, Flag("Worker processes; default: all cores.", "N")] = Field(1, ge=1, le=1024, strict=True)
    eval_timeout: Annotated[float, Flag("Seconds that one stacked training may take.", "S")] = Field(
        600.0, gt=0, allow_inf_nan=False
    )
    time_budget: Annotated[float | None, Flag("Stop after the generation that passes this.", "30m", text=True)] = Field(
        None, gt=0, allow_inf_nan=False
    )
    data_dir: Annotated[Path | None, Flag("Folder of data sets.", "DIR")] = None
    out: Annotated[Path | None, Flag("New folder for the run.", "DIR")] = None
    tensorboard: Annotated[bool, Flag("Write curves for TensorBoard into the run's folder.")] = False

    @model_validator(mode="before")
    @classmethod
    def _engine_and_workers(cls, data: Any) -> Any:
        """Fills in the engine and the workers that were left open: all cores, unless the user says less."""
        if not isinstance(data, dict):
            return data
        engine, workers = data.get("engine"), data.get("workers")
        lone = isinstance(engine, str) and engine in ENGINES and getattr(ENGINES.get(engine), "lone", False)
        if lone and isinstance(workers, int) and workers > 1:
            raise SettingError("engine", f"{engine} has one worker, not {workers}: use engine process")
        if workers is None:
            workers = 1 if lone else usable_cores()
        if engine is None:
            engine = "serial" if workers == 1 else "process"
        return {**data, "engine": engine, "workers": workers}

    @field_validator("time_budget", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return seconds(value) if isinstance(value, str) else value


class Settings(ExecutionSettings, SearchSettings):
    """All settings of a run, checked; plain data that survives :meth:`model_dump` and back.

    A system has a subclass with the settings that it alone reads, and with its presets; in these ``modes`` holds what
    is otherwise in a mode of the system. Settings of other systems can be asked for all the same: their defaults.
    """

    presets: ClassVar[Presets] = {}

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """Check plain data, by the model of its system."""
        model = model_of(obj.get("system", "term-sum")) if cls is Settings and isinstance(obj, Mapping) else cls
        return super(Settings, model).model_validate(obj, **how)  # type: ignore[return-value]

    @model_validator(mode="before")
    @classmethod
    def _own(cls, data: Any) -> Any:
        """Drop the settings of other systems, as runs of earlier versions have them, and refuse what they say."""
        if not isinstance(data, dict):
            return data
        others = {name: field for name, field in all_fields().items() if name not in cls.model_fields}
        for name in sorted(others.keys() & data.keys()):
            if data[name] != others[name].get_default():
                system = data.get("system", "term-sum")
                raise SettingError(name, f"means nothing to system {system!r}: leave it out")
        return {name: value for name, value in data.items() if name not in others}

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            if name.startswith("_") or name not in (fields := all_fields()):
                raise
            return fields[name].get_default()

    def search_settings(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON-like data."""
        return self.model_dump(mode="json", exclude=set(ExecutionSettings.model_fields))

    def execution_settings(self) -> dict[str, Any]:
        """The settings that do not, as JSON-like data."""
        return self.model_dump(mode="json", include=set(ExecutionSettings.model_fields))


class _Unregistered(Settings):
    """Settings of a system whose file was not imported: whatever was recorded."""

    model_config = ConfigDict(extra="allow")


MODELS: Registry[type[Settings]] = Registry("system")
"""The settings of each system, by its name."""


def model_of(system: Any) -> type[Settings]:
    """The settings of a system."""
    return MODELS.get(system) if isinstance(system, str) and system in MODELS else _Unregistered


def flag_of(field: FieldInfo | None) -> Flag | None:
    """How the command line says a setting; None where it does not."""
    return next((one for one in field.metadata if isinstance(one, Flag)), None) if field else None


def all_fields() -> dict[str, FieldInfo]:
    """All settings of all systems, those that every system reads first."""
    found = dict(Settings.model_fields)
    for name in MODELS:
        for setting, field in MODELS.get(name).model_fields.items():
            found.setdefault(setting, field)
    return found


def seconds(text: str) -> float:
    """Read a length of time: ``"90s"``, ``"30m"``, ``"1h30m"``, or a number of seconds."""
    found = _DURATION.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        raise UserError(f"{text!r} is no length of time: write 90s, 30m, 2h or 1h30m")
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True))

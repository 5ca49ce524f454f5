"""What makes the page worth keeping: settings, versions, and the command that makes the run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from symevo.reporting.html.markup import Html, Section, Sketchbook, code, details, element, join, table
from symevo.reporting.html.subject import Subject
from symevo.settings.explain import flag
from symevo.settings.model import Settings
from symevo.settings.systems import preset_of

CONFIG = "again.toml"
_LISTS = ("tasks", "primitives", "tune")
_REPEATED = ("tasks_from",)
_UNFLAGGED = ("seed_rules", "rule", "schedule")
"""Settings whose recorded form no flag can say."""


def record(subject: Subject, book: Sketchbook) -> Section:
    """Settings, versions and the command."""
    settings, versions = subject.run.settings, subject.versions
    command, toml = again(settings)
    parts: list[Html | None] = [
        element("p", "The same settings and seed make the same run; on another processor up to rounding."),
        code(command, "Command that makes the run again"),
        element("p", "where ", element("code", CONFIG), " holds:") if toml else None,
        code(toml, f"Contents of {CONFIG}") if toml else None,
        table("Versions", ["of", "version"], versions.items()),
        details("All settings", table("Settings", ["setting", "value"], _rows(settings))),
        details("The report as text", code(subject.text, "The report as text")),
    ]
    return Section("record", "How to make it again", join(*parts))


def _rows(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, value in {**settings.search_settings(), **settings.execution_settings()}.items():
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def again(settings: Settings) -> tuple[str, str]:
    """The command line that makes the run again, and the TOML file that it names, empty where it names none.

    The command says all that the preset does not.
    """
    usual = preset_of(settings.system, settings.preset, settings.mode) | {"system": settings.system}
    usual = Settings.model_validate(usual).search_settings()
    different = {
        name: value
        for name, value in settings.search_settings().items()
        if value != usual[name] and name not in ("system", "preset")
    }
    if settings.data_dir is not None:
        different["data_dir"] = str(settings.data_dir)
    toml = "".join(f"{name} = {_toml(value)}\n" for name, value in different.items() if name in _UNFLAGGED)
    words = ["symevo", "run", settings.system]
    words += ["--preset", settings.preset] if settings.preset != "default" else []
    words += ["--config", CONFIG] if toml else []
    words += [word for name, value in different.items() if name not in _UNFLAGGED for word in _said(name, value)]
    return shlex.join(words), toml


def _said(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(name) if value else f"--no-{flag(name)[2:]}"]
    if name in _LISTS:
        return [flag(name), ",".join(value)]
    if name in _REPEATED:
        return [word for item in value for word in (flag(name), item)]
    return [] if value is None else [flag(name), str(value)]


def _toml(value: Any) -> str:
    """Plain data as a TOML value on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml(str(key))} = {_toml(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)

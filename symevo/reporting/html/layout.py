"""The page: its sections in order, rendered by one template."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from symevo.reporting.html import baselines, result, search
from symevo.reporting.html.parts import FigureWriter, PageContext, Section, code, details, marked, table, text
from symevo.reporting.text.tables import shown
from symevo.settings.explain import flag
from symevo.settings.model import Settings
from symevo.settings.systems import preset_of

CONFIG = "again.toml"
_LISTS = ("tasks", "primitives", "tune")
_REPEATED = ("tasks_from",)
_UNFLAGGED = ("seed_rules", "rule", "schedule")
"""Settings whose recorded form no flag can say."""


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Letters that a page must not hold, or that turn the direction of what follows."""


def page(context: PageContext, figures: Path) -> tuple[str, list[Path]]:
    """A run as a page that needs nothing besides itself.

    Args:
        context: What it is about.
        figures: A folder into which the figures are drawn.

    Returns:
        HTML, and the files of the figures that it holds.

    Raises:
        UserError: A figure cannot be written, or a rule cannot be read.
    """
    book, run, settings = FigureWriter(figures), context.run, context.run.settings
    seconds, scored = (sum(record[key] for record in run.history) for key in ("seconds", "evaluations"))
    resume = f"symevo run --resume {shlex.quote(shown(run.path))}" if context.unfinished else None
    environment = Environment(
        loader=PackageLoader("symevo.reporting", "html"), autoescape=True, finalize=_clean, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    rendered = environment.get_template("page.html").render(
        named=context.named,
        did=f"{len(run.history)} of {settings.generations} generations, {scored:,} evaluations, {seconds:,.0f} s, "
        f"seed {settings.seed}",
        path=shown(run.path),
        resume=resume,
        sections=[one for one in (make(context, book) for make in SECTIONS) if one is not None],
    )
    return rendered, book.files


def _clean(value: Any) -> Any:
    """Text without letters that must not be seen; what is markup already stays."""
    return value if isinstance(value, Markup) else _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value))


def record(context: PageContext, book: FigureWriter) -> Section:
    """Settings, versions and the command."""
    settings, versions = context.run.settings, context.versions
    command, toml = again(settings)
    parts = [
        text("The same settings and seed make the same run; on another processor up to rounding."),
        code(command, "Command that makes the run again"),
        text("where ", marked("code", CONFIG), " holds:") if toml else None,
        code(toml, f"Contents of {CONFIG}") if toml else None,
        table("Versions", ["of", "version"], versions.items()),
        details("All settings", table("Settings", ["setting", "value"], _rows(settings))),
        details("The report as text", code(context.text, "The report as text")),
    ]
    return Section("record", "How to make it again", parts)


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


SECTIONS: Sequence[Callable[[PageContext, FigureWriter], Section | None]] = (
    result.verdict,
    result.best,
    baselines.scores,
    baselines.speed,
    baselines.tuning,
    baselines.sensitivity,
    result.timetable,
    result.replays,
    result.front,
    search.progress,
    search.curves,
    result.ranking,
    search.tried,
    search.makings,
    search.tree,
    search.operators,
    record,
)
"""What a page may hold, in order."""

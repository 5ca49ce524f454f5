"""The page: its sections in order, rendered by one template."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from symevo.reporting.html import baselines, result, search
from symevo.reporting.html.parts import FigureWriter, PageContext, Section, code, details, marked, table, text
from symevo.reporting.text.tables import shown
from symevo.settings.explain import flag
from symevo.settings.model import Settings, all_fields, flag_of
from symevo.settings.systems import preset_of

CONFIG = "again.toml"
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Letters that a page must not hold, or that turn the direction of what follows."""


def page(context: PageContext, figures: Path) -> tuple[str, list[Path]]:
    """A run as a page that needs nothing besides itself; its figures are drawn into a folder.

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
    settings = context.run.settings
    command, toml = again(settings)
    rows = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in (settings.search_settings() | settings.execution_settings()).items()
    ]
    parts = [
        text("The same settings and seed make the same run; on another processor up to rounding."),
        code(command, "Command that makes the run again"),
        text("where ", marked("code", CONFIG), " holds:") if toml else None,
        code(toml, f"Contents of {CONFIG}") if toml else None,
        table("Versions", ["of", "version"], context.run.versions.items()),
        details("All settings", table("Settings", ["setting", "value"], rows)),
        details("The report as text", code(str(context.run), "The report as text")),
    ]
    return Section("record", "How to make it again", parts)


def again(settings: Settings) -> tuple[str, str]:
    """The command line that makes the run again, and the TOML file that it names, empty where it names none.

    The command says all that the preset does not.
    """
    usual = preset_of(settings.system, settings.preset, settings.mode) | {"system": settings.system}
    before = Settings.model_validate(usual).search_settings()
    different = {name: value for name, value in settings.search_settings().items() if value != before[name]}
    different.pop("preset", None)
    if settings.data_dir is not None:
        different["data_dir"] = str(settings.data_dir)
    # No flag can say a rule or a schedule as it is recorded.
    toml = "".join(f"{name} = {_toml(value)}\n" for name, value in different.items() if _holds_objects(value))
    words = ["symevo", "run", settings.system]
    words += ["--preset", settings.preset] if settings.preset != "default" else []
    words += ["--config", CONFIG] if toml else []
    words += [word for name, value in different.items() if not _holds_objects(value) for word in _said(name, value)]
    return shlex.join(words), toml


def _holds_objects(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(map(_holds_objects, value)))


def _said(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(name) if value else f"--no-{flag(name)[2:]}"]
    if isinstance(value, list):
        said = flag_of(all_fields().get(name))
        items = value if said and said.repeated else [",".join(value)]
        return [word for item in items for word in (flag(name), item)]
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

"""The page: its sections in order, in one template."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from symevo.reporting.html import ancestry, baselines, networks, record, rules, search, verdict
from symevo.reporting.html.markup import Html, Section, Sketchbook, element, join
from symevo.reporting.html.subject import Subject
from symevo.reporting.text.tables import shown

SECTIONS: Sequence[Callable[[Subject, Sketchbook], Section | None]] = (
    verdict.verdict,
    rules.best,
    baselines.scores,
    baselines.speed,
    baselines.tuning,
    baselines.sensitivity,
    networks.timetable,
    networks.replays,
    rules.front,
    search.progress,
    search.curves,
    networks.ranking,
    search.tried,
    search.makings,
    ancestry.tree,
    search.operators,
    record.record,
)
"""What a page may hold, in order."""

_TEMPLATE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header>$header</header>
<nav aria-label="Contents">$contents</nav>
<main>
$main
</main>
</body>
</html>
"""
)


def page(subject: Subject, figures: Path) -> tuple[str, list[Path]]:
    """A run as a page that needs nothing besides itself.

    Args:
        subject: What it is about.
        figures: A folder into which the figures are drawn.

    Returns:
        HTML, and the files of the figures that it holds.

    Raises:
        UserError: A figure cannot be written, or a rule cannot be read.
    """
    book = Sketchbook(figures)
    sections = [one for one in (make(subject, book) for make in SECTIONS) if one is not None]
    links = [element("li", element("a", one.title, href=f"#{one.slug}")) for one in sections]
    bodies = [element("section", element("h2", one.title), one.body, id=one.slug) for one in sections]
    text = _TEMPLATE.substitute(
        title=join(f"{subject.named}: symevo report"),
        style=resources.files("symevo.reporting.html").joinpath("style.css").read_text(encoding="utf-8"),
        header=_header(subject),
        contents=element("ul", *links),
        main=Html("\n".join(bodies)),
    )
    return text, book.files


def _header(subject: Subject) -> Html:
    """What was done; and of an unfinished run, that there is more to come."""
    run, settings = subject.run, subject.run.settings
    seconds, scored = (sum(record[key] for record in run.history) for key in ("seconds", "evaluations"))
    did = f"{len(run.history)} of {settings.generations} generations, {scored:,} evaluations, "
    did += f"{seconds:,.0f} s, seed {settings.seed}"
    parts = [
        element("h1", subject.named),
        element("p", did),
        element("p", "Run folder: ", element("code", shown(run.path))),
    ]
    if subject.unfinished:
        resume = f"symevo run --resume {shlex.quote(shown(run.path))}"
        parts.append(element("p", "This run is not finished. Go on with ", element("code", resume), class_="notice"))
    return join(*parts)

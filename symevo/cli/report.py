"""``symevo report`` and its flags."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from symevo.cli.commands import report as commands
from symevo.cli.options import Job, TasksFrom, app, option

_HELP = """Writes a run as one HTML page: verdict, rules with their equations, and figures.

The page opens from disk and needs no network. Where 'symevo compare' has compared the run with tuned baselines, it
says what came of that. A run that is not finished has a page too. Figures also go to files, as PNG and SVG.

\b
Examples:
  symevo report runs/term-sum-20260131-120000 --open
  symevo report runs/term-sum-… -o ours.html --figures paper/figures
"""


@app.command(help=_HELP)
def report(  # noqa: D103  (its help is _HELP)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    output: Annotated[Path | None, option("The page; default: report.html in RUN.", "-o", metavar="FILE.html")] = None,
    figures: Annotated[Path | None, option("Folder of the figures; default: RUN/figures.", metavar="DIR")] = None,
    open: Annotated[bool, option("Show the page in the browser.", "--open")] = False,
    force: Annotated[bool, option("Replace files that exist.", "--force")] = False,
    tasks_from: TasksFrom = None,
) -> Job:
    return partial(
        commands.report, run, output=output, figures=figures, open_=open, force=force, files=list(tasks_from or [])
    )

"""``symevo report``: a run as one HTML page."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from symevo.cli.app import RunFolder, TasksFrom, option
from symevo.files import check_free, write_file

if TYPE_CHECKING:
    from symevo.reporting.html import PageContext
    from symevo.runs.run import Run

COMPARISON = "compare.json"
"""What ``symevo compare`` writes into a run's folder."""
_TAKEN = "give another place, or --force to replace it"
_LOCKED = "name places that you may write (-o, --figures)"


def report(
    run: RunFolder,
    output: Annotated[Path | None, option("The page; default: report.html in RUN.", "-o", metavar="FILE.html")] = None,
    figures: Annotated[Path | None, option("Folder of the figures; default: RUN/figures.", metavar="DIR")] = None,
    open: Annotated[bool, option("Show the page in the browser.", "--open")] = False,
    force: Annotated[bool, option("Replace files that exist.", "--force")] = False,
    tasks_from: TasksFrom = None,
) -> int:
    """The page shows the verdict, the rules with their equations, and figures. It opens from disk and needs no
    network. Where 'symevo compare' has compared the run with tuned baselines, it says what came of that. A run that is
    not finished has a page too. Figures also go to files, as PNG and SVG.

    \b
    Examples:
      symevo report runs/term-sum-20260131-120000 --open
      symevo report runs/term-sum-… -o ours.html --figures paper/figures
    """
    from symevo.evolution import evolve as api
    from symevo.reporting.html import page
    from symevo.settings.resolution import import_files

    import_files(tasks_from or [])
    found = api.load(run)
    found.best  # noqa: B018  (says so where there is none)
    target, folder = output or found.path / "report.html", figures or found.path / "figures"
    check_free(target, force=force, folder=True, hint=_TAKEN)
    with tempfile.TemporaryDirectory(prefix="symevo-report-") as scratch:
        text, drawn = page(read_context(found), Path(scratch))
        places = {one: folder / one.name for one in drawn}
        if figures is not None:  # those of its own are replaced
            for place in places.values():
                check_free(place, force=force, folder=True, hint=_TAKEN)
        for source, place in places.items():
            write_file(place, source.read_bytes(), hint=_LOCKED)
        write_file(target, text.encode(), hint=_LOCKED)
    print(f"report   {target}\nfigures  {folder}")
    if open and not webbrowser.open(target.absolute().as_uri()):
        print("no browser could be started: open the file yourself", file=sys.stderr)
    return 0


def read_context(run: Run) -> PageContext:
    """All that a page says of a run, read from its folder."""
    from symevo.reporting.compared import read_comparison
    from symevo.reporting.html import PageContext
    from symevo.search.system import SYSTEMS, finds
    from symevo.systems.hyperparameters import timetable
    from symevo.systems.networks import descent

    settings, found, compared = run.settings, finds(run.settings), run.path / COMPARISON
    genome = SYSTEMS.get(settings.system).genome(settings)
    outcomes = {
        identity: {
            task: [row for seed in range(settings.seeds) if (row := run.training(identity, task, seed))]
            for task in settings.tasks
        }
        for identity in {one["identity"] for one in run.evaluations}
    }
    return PageContext(
        run, found, outcomes,
        scales={name: one.scale for name, one in getattr(genome, "ranges", {}).items()},
        descent=descent(run) if found == "networks" else None,
        timetable=timetable(run, genome) if settings.mode == "dynamic" else None,
        comparison=read_comparison(compared) if compared.exists() else None,
    )  # fmt: skip

"""``symevo report``: a run as one HTML page."""

from __future__ import annotations

import json
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from symevo.cli.app import RunFolder, TasksFrom, option
from symevo.errors import UserError
from symevo.files import check_free, write_file

if TYPE_CHECKING:
    from symevo.reporting.html import PageContext

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


def read_context(run: Any) -> PageContext:
    """All that a page says of a run, read from its folder."""
    from symevo.reporting.html import PageContext
    from symevo.runs import Store
    from symevo.systems import SYSTEMS

    settings = run.settings
    system = SYSTEMS.get(settings.system)
    store = Store.open(run.path)
    try:
        evaluations, versions = list(store.evaluations()), store.about("versions")
        outcomes = {
            identity: {
                task: [row for seed in range(settings.seeds) if (row := store.training(identity, task, seed))]
                for task in settings.tasks
            }
            for identity in {one["identity"] for one in evaluations}
        }
    finally:
        store.close()
    tuned = settings.system == "hyperparameters"
    phases = system.phases(settings)
    return PageContext(
        run, evaluations, outcomes, versions, str(run),
        scales={name: one.scale for name, one in system.genome(settings).ranges.items()} if tuned else {},
        descent=_descent(run) if phases and phases.networks else None,
        timetable=_timetable(run) if settings.mode == "dynamic" else None,
        comparison=_comparison(run.path / COMPARISON),
    )  # fmt: skip


def _descent(run: Any) -> tuple[list[int], list[float]]:
    from symevo.systems.networks import descent

    return descent(run)


def _timetable(run: Any) -> Any:
    from symevo.systems import SYSTEMS
    from symevo.systems.dynamic import timetable

    return timetable(run, SYSTEMS.get(run.settings.system).genome(run.settings))


def _comparison(path: Path) -> Any:
    """What a comparison has found, or None where there is none.

    Raises:
        UserError: The file is none.
    """
    from symevo.reporting.compared import read_comparison

    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or "it is no JSON"
        raise UserError(f"cannot read {path}: {why}; make it anew with symevo compare, or remove it") from None
    return read_comparison(data, source=str(path))

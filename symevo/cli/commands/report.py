"""What ``symevo report`` does."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.errors import UserError
from symevo.settings.resolution import import_files

if TYPE_CHECKING:
    from symevo.reporting.html import PageContext

COMPARISON = "compare.json"
"""What ``symevo compare`` writes into a run's folder."""
FIGURES = "figures"
PAGE = "report.html"


def report(
    path: Path, *, output: Path | None, figures: Path | None, open_: bool, force: bool, files: Sequence[Path]
) -> int:
    """Writes a run as one page, and its figures as files.

    Args:
        path: The run's folder.
        output: The page; by default ``report.html`` in that folder.
        figures: The figures' folder; by default ``figures`` in that folder, where they replace those of its own.
        open_: Show the page in the browser.
        force: Replace files that are there.
        files: The user's own, which make primitives.

    Raises:
        UserError: No run with a finished candidate, or a file that is there or cannot be written; nothing is written.
    """
    from symevo.evolution import evolve as api
    from symevo.reporting.html import page

    import_files(files)
    run = api.load(path)
    run.best  # noqa: B018  (says so where there is none)
    target, folder = output or run.path / PAGE, figures or run.path / FIGURES
    _free(target, force=force)
    with tempfile.TemporaryDirectory(prefix="symevo-report-") as scratch:
        text, drawn = page(read_context(run), Path(scratch))
        goals = {one: folder / one.name for one in drawn}
        if figures is not None:
            for goal in goals.values():
                _free(goal, force=force)
        _place(text, target, goals)
    print(f"report   {target}\nfigures  {folder}")
    if open_ and not webbrowser.open(target.absolute().as_uri()):
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


def _free(path: Path, *, force: bool) -> None:
    """Refuses a file that cannot be written, or that is there.

    Raises:
        UserError: It cannot.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    if (path.exists() or path.is_symlink()) and not force:
        raise UserError(f"{path} exists: give another place, or --force to replace it")
    above = next((one for one in path.absolute().parents if one.exists()), Path("/"))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: {above} is no folder that you may write; name another place")


def _place(text: str, target: Path, goals: dict[Path, Path]) -> None:
    """Moves everything to its place, the page last.

    Raises:
        UserError: A place cannot be written.
    """
    for source, goal in goals.items():
        _put(goal, source.read_bytes())
    _put(target, text.encode())


def _put(goal: Path, content: bytes) -> None:
    """Writes a file that is whole from the moment that it has its name."""
    part = goal.with_name(f".{goal.name}.{os.getpid()}")
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, goal)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            part.unlink(missing_ok=True)
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise UserError(f"cannot write {goal}: {why}; name places that you may write (-o, --figures)") from None

"""What ``symevo inspect`` does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from symevo.cli.commands.shared import hushed, print_json


def inspect(
    path: Path, look: Mapping[str, Any], *, data_dir: Path | None, tasks_from: Sequence[str], as_json: bool, quiet: bool
) -> int:
    """Prints what the best controllers of a run do.

    Args:
        path: The run's folder.
        look: Fields of :class:`symevo.comparison.inspection.Look`.
        data_dir: Where data are; None: as in the run.
        tasks_from: The user's files; none: those of the run.
        as_json: Print JSON in place of the report.
        quiet: No progress.
    """
    from symevo.comparison import inspection as systems
    from symevo.reporting.progress import make_progress
    from symevo.reporting.text.controllers import inspection_report

    progress = make_progress(quiet=quiet)
    try:
        with contextlib.redirect_stdout(sys.stderr), hushed(quiet):  # what a user's file prints is no result
            found = systems.inspect(
                path, systems.Look(**look), data_dir=data_dir, tasks_from=tasks_from, say=progress.message
            )
    finally:
        progress.close()
    if as_json:
        print_json(found)
    else:
        print(inspection_report(found))
    return 0

"""What ``symevo compare`` does."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.cli.commands.shared import hushed, print_json
from symevo.errors import Paused, UserError
from symevo.settings.resolution import import_files

if TYPE_CHECKING:
    from symevo.comparison.session import Request
    from symevo.reporting.compared import Comparison

FILE = "compare.json"
"""The result's file in the folder of a run; its figures stand in a folder beside it."""
PART = ".part"
"""The ending of the file beside the result that holds trainings until all are made."""


@dataclass(frozen=True)
class Wanted:
    """What a user asked ``symevo compare`` for.

    Attributes:
        request: Fields of :class:`symevo.comparison.session.Request`.
        output: A JSON file.
        as_json: Whether the result is printed as JSON.
        quiet: Whether nothing is said meanwhile.
    """

    request: Mapping[str, Any]
    output: Path | None = None
    as_json: bool = False
    quiet: bool = False


def compare(wanted: Wanted) -> int:
    """Compares, prints the result, and writes it with its figures."""
    import_files([Path(path) for path in wanted.request["execution"].get("tasks_from") or ()])
    from symevo.comparison.session import Request
    from symevo.comparison.session import compare as run_comparison
    from symevo.comparison.trainings import Silent
    from symevo.reporting.progress import Ticker

    request = Request(**wanted.request)
    targets = _targets(request, wanted.output)
    for path in targets:
        _writable(path)
    ticker = None if wanted.quiet else Ticker()
    part = targets[0].with_suffix(PART) if targets else None
    try:
        with contextlib.redirect_stdout(sys.stderr), hushed(wanted.quiet):  # what a user's file prints is no result
            found = run_comparison(request, ticker or Silent(), memory=part)
    except KeyboardInterrupt:
        if part is None or not part.exists():
            raise
        raise Paused from None
    finally:
        if ticker is not None:
            ticker.close()
    for path in targets:
        found = _written(found, path)
    if part is not None:
        part.unlink(missing_ok=True)
    if wanted.as_json:
        print_json(found.to_json())
        return 0
    from symevo.reporting.text.comparison import comparison_report

    print(comparison_report(found))
    for path in targets:
        print(f"all scores in {path}; figures in {path.with_suffix('')}", file=sys.stderr)
    return 0


def _targets(request: Request, output: Path | None) -> list[Path]:
    """The files that the result goes to: the one that was named, and that of the first run."""
    from symevo.comparison.entries import run_of

    runs = [run for run in map(run_of, request.sources) if run is not None]
    own = [runs[0].path / FILE] if runs else []
    named = [] if output is None else [output]
    return named if own and named and named[0].absolute() == own[0].absolute() else [*named, *own]


def _writable(path: Path) -> None:
    """Refuses a file that could not be written in the end.

    Raises:
        UserError: It is a folder, or lies in none that may be written.
    """
    if path.is_dir() or path.suffix != ".json":
        raise UserError(f"--output {path} is no name of a JSON file: name one that ends in .json")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: its folder is missing or may not be written; name another (-o)")


def _written(found: Comparison, path: Path) -> Comparison:
    from symevo.comparison.result import write
    from symevo.reporting.figures.comparison import draw

    folder = path.with_suffix("")
    figures = [f"{folder.name}/{one.name}" for one in draw(found, folder)]
    found = found.model_copy(update={"figures": figures})
    write(found, path)
    return found

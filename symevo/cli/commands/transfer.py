"""What ``symevo transfer`` does."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symevo.cli.commands.shared import hushed, print_json
from symevo.errors import UserError


def transfer(
    path: Path, meta: Mapping[str, Any], settings: Mapping[str, Any], *, output: Path | None, as_json: bool, quiet: bool
) -> int:
    """Trains networks drawn anew with a run's controllers, beside plain Adam, and prints how they compare.

    Args:
        path: The run's folder.
        meta: Fields of :class:`symevo.comparison.transfer.Meta`.
        settings: The other arguments of :func:`symevo.comparison.transfer.transfer`.
        output: A new file for the JSON.
        as_json: Print that in place of the report.
        quiet: No progress.
    """
    from symevo.comparison import transfer as systems
    from symevo.reporting.progress import make_progress
    from symevo.reporting.text.controllers import transfer_report

    if output is not None:
        _free(output)
    progress = make_progress(quiet=quiet)
    try:
        with contextlib.redirect_stdout(sys.stderr), hushed(quiet):  # what a user's file prints is no result
            found = systems.transfer(path, systems.Meta(**meta), progress=progress, **settings)
    finally:
        progress.close()
    if output is not None:
        _write(output, json.dumps(found, indent=1, allow_nan=False) + "\n")
    if as_json:
        print_json(found)
    else:
        print(transfer_report(found))
    return 0


def _free(output: Path) -> None:
    """Refuses, before any work is done, a file that cannot be written.

    Raises:
        UserError: It exists, or its folder does not or may not be written.
    """
    folder = output.parent
    if output.exists() or output.is_symlink():
        raise UserError(f"output file {output} exists: choose another with -o, or remove it")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"cannot write {output}: {folder} is no folder that you may write; choose another with -o")


def _write(output: Path, text: str) -> None:
    part = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}; choose another with -o") from None

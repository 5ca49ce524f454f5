"""What several commands do."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def import_files(files: Sequence[Path]) -> list[str]:
    """Imports the user's files and registers what they make; returns the names of their tasks."""
    if not files:
        return []
    from symevo.engines.resolve import load_plugin
    from symevo.tasks.plugins import adopt

    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is no result
        return [name for path in files for name in adopt(load_plugin(path))]


def print_json(data: Any) -> None:
    """One object, and nothing else, on standard output."""
    json.dump(data, sys.stdout, allow_nan=False)
    print()

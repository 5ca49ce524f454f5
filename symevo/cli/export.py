"""``symevo export``: a rule as a Python file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from symevo.cli.app import TasksFrom, option


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|RULE", help="A run's folder, or a name, rule JSON file or text.", show_default=False
        ),
    ],
    output: Annotated[Path, option("The file; its folder must be there.", "--output", "-o", metavar="FILE.py")],
    rank: Annotated[int | None, option("Which rule of a run's front, 1 the best.", metavar="N")] = None,
    name: Annotated[str | None, option("Name of the class.", metavar="CLASS")] = None,
    force: Annotated[bool, option("Write over a file that is there.", "--force")] = False,
    tasks_from: TasksFrom = None,
) -> int:
    """
    \b
    Examples:
      symevo export runs/term-sum-… -o my_optimizer.py
      symevo export runs/expression-… --rank 2 -o found.py --name Found
      symevo export lion -o lion.py --force
    """
    from symevo.evolution.export import export
    from symevo.settings.resolution import import_files

    import_files(tasks_from or [])
    print(f"wrote {export(source, output, rank=rank, name=name, force=force)}")
    return 0

"""``symevo inspect`` and its flags."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from symevo.cli.commands import inspect as commands
from symevo.cli.options import Job, Json, TasksFrom, app, option

_HELP = """Look into evolved controllers: what they react to.

RUN is the folder of an evograd run, finished or not. Its best controllers train networks drawn anew, on the run's task,
and what their small nets see is recorded. For every type of layer: how large the corrections are, and how much each
input matters to them (by permutation). Of the neural optimizer: how much it adds to Adam's step, and what matters to
that.

\b
Examples:
  symevo inspect runs/evograd-20260131-120000
  symevo inspect runs/evograd-… --networks 5 --steps 1000
  symevo inspect runs/evograd-… --json > inspection.json

The same seed gives the same text.
"""


@app.command(help=_HELP)
def inspect(  # noqa: D103  (its help is _HELP)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    networks: Annotated[int, option("Networks that are recorded; default: 2.", metavar="N")] = 2,
    steps: Annotated[int | None, option("Training steps of each; default: the run's.", metavar="N")] = None,
    seed: Annotated[int, option("Seed of the draws and permutations; default: 0.", metavar="N")] = 0,
    data_dir: Annotated[Path | None, option("Folder of data sets.", metavar="DIR")] = None,
    json: Json = False,
    quiet: Annotated[bool, option("No progress on standard error.", "--quiet")] = False,
    tasks_from: TasksFrom = None,
) -> Job:
    look = {"networks": networks, "steps": steps, "seed": seed}
    files = [str(path) for path in tasks_from or []]
    return partial(commands.inspect, run, look, data_dir=data_dir, tasks_from=files, as_json=json, quiet=quiet)

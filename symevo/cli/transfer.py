"""``symevo transfer`` and its flags."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from symevo.cli.commands import transfer as commands
from symevo.cli.options import Job, Json, TasksFrom, app, option

_HELP = """Tests evolved controllers on networks drawn anew, beside plain Adam.

RUN is the folder of an evograd run, finished or not. Nothing evolves further. Each network has layers, a learning
rate, initial weights and batches of its own, which no search draws; all train on the same. Adam trains at the drawn
rate, and at the best of a grid. That one is chosen by the validation accuracy of the same network, which favours
Adam: the controllers are not tuned. Accuracies and losses are those of the test split, and training that diverges
counts as chance.

\b
Examples:
  symevo transfer runs/evograd-20260131-120000
  symevo transfer runs/evograd-… --task fashion-flat --steps 2048 --scale 1
  symevo transfer runs/evograd-… --networks 50 --workers 8 -o transfer.json

The same seed gives the same table, whatever the number of workers.
"""


@app.command(help=_HELP)
def transfer(  # noqa: D103  (its help is _HELP)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    task: Annotated[str | None, option("Task with flat inputs and classes; default: the run's own.")] = None,
    networks: Annotated[int, option("Networks that are drawn; default: 20.", metavar="N")] = 20,
    steps: Annotated[int | None, option("Training steps; default: the run's.", metavar="N")] = None,
    scale: Annotated[
        float | None, option("Width of the networks, 1: as published; default: the run's.", metavar="S")
    ] = None,
    seed: Annotated[int, option("Seed of the draws; default: 0.", metavar="N")] = 0,
    workers: Annotated[int | None, option("Worker processes; default: all cores.", metavar="N")] = None,
    data_dir: Annotated[Path | None, option("Folder of data sets.", metavar="DIR")] = None,
    output: Annotated[Path | None, option("Also write the JSON to a new file.", "-o", metavar="FILE.json")] = None,
    json: Json = False,
    quiet: Annotated[bool, option("No progress on standard error.", "--quiet")] = False,
    tasks_from: TasksFrom = None,
) -> Job:
    meta = {"task": task, "networks": networks, "steps": steps, "scale": scale, "seed": seed}
    files = [str(path) for path in tasks_from or []]
    settings = {"workers": workers, "data_dir": data_dir, "tasks_from": files}
    return partial(commands.transfer, run, meta, settings, output=output, as_json=json, quiet=quiet)

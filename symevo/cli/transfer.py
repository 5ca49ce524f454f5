"""``symevo transfer``: evolved controllers on networks drawn anew."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

from symevo.cli.app import DataDir, Json, Quiet, RunFolder, TasksFrom, option, print_json, told
from symevo.files import check_free, write_file

_ELSEWHERE = "choose another with -o"


def transfer(
    run: RunFolder,
    task: Annotated[str | None, option("Task with flat inputs and classes; default: the run's own.")] = None,
    networks: Annotated[int, option("Networks that are drawn; default: 20.", metavar="N")] = 20,
    steps: Annotated[int | None, option("Training steps; default: the run's.", metavar="N")] = None,
    scale: Annotated[
        float | None, option("Width of the networks, 1: as published; default: the run's.", metavar="S")
    ] = None,
    seed: Annotated[int, option("Seed of the draws; default: 0.", metavar="N")] = 0,
    workers: Annotated[int | None, option("Worker processes; default: all cores.", metavar="N")] = None,
    data_dir: DataDir = None,
    output: Annotated[Path | None, option("Also write the JSON to a new file.", "-o", metavar="FILE.json")] = None,
    json: Json = False,
    quiet: Quiet = False,
    tasks_from: TasksFrom = None,
) -> int:
    """RUN is the folder of an evograd run, finished or not. Nothing evolves further. Each network has layers, a
    learning rate, initial weights and batches of its own, which no search draws; all train on the same. Adam trains at
    the drawn rate, and at the best of a grid. That one is chosen by the validation accuracy of the same network, which
    favours Adam: the controllers are not tuned. Accuracies and losses are those of the test split, and training that
    diverges counts as chance.

    \b
    Examples:
      symevo transfer runs/evograd-20260131-120000
      symevo transfer runs/evograd-… --task fashion-flat --steps 2048 --scale 1
      symevo transfer runs/evograd-… --networks 50 --workers 8 -o transfer.json

    The same seed gives the same table, whatever the number of workers.
    """
    from symevo.comparison.transfer import Meta
    from symevo.comparison.transfer import transfer as test_on_new_networks
    from symevo.reporting.text.transfer import transfer_report

    if output is not None:
        check_free(output, hint=_ELSEWHERE)
    meta = Meta(task=task, networks=networks, steps=steps, scale=scale, seed=seed)
    files = [str(path) for path in tasks_from or []]
    with told(quiet) as progress:
        found = test_on_new_networks(run, meta, workers=workers, data_dir=data_dir, tasks_from=files, progress=progress)
    if output is not None:
        write_file(output, (jsonlib.dumps(found, indent=1, allow_nan=False) + "\n").encode(), hint=_ELSEWHERE)
    if json:
        print_json(found)
    else:
        print(transfer_report(found))
    return 0

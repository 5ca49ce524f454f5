"""``symevo inspect``: what evolved controllers react to."""

from __future__ import annotations

from typing import Annotated

from symevo.cli.app import DataDir, Json, Quiet, RunFolder, TasksFrom, option, print_json, told


def inspect(
    run: RunFolder,
    networks: Annotated[int, option("Networks that are recorded; default: 2.", metavar="N")] = 2,
    steps: Annotated[int | None, option("Training steps of each; default: the run's.", metavar="N")] = None,
    seed: Annotated[int, option("Seed of the draws and permutations; default: 0.", metavar="N")] = 0,
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
    tasks_from: TasksFrom = None,
) -> int:
    """RUN is the folder of an evograd run, finished or not. Its best controllers train networks drawn anew, on the
    run's task, and what their small nets see is recorded. For every type of layer: how large the corrections are, and
    how much each input matters to them (by permutation). Of the neural optimizer: how much it adds to Adam's step, and
    what matters to that.

    \b
    Examples:
      symevo inspect runs/evograd-20260131-120000
      symevo inspect runs/evograd-… --networks 5 --steps 1000
      symevo inspect runs/evograd-… --json > inspection.json

    The same seed gives the same text.
    """
    from symevo.comparison import inspection
    from symevo.reporting.text.inspection import inspection_report

    look = {"networks": networks, "steps": steps, "seed": seed}
    files = [str(path) for path in tasks_from or []]
    with told(quiet) as progress:
        found = inspection.inspect(
            run, inspection.Look(**look), data_dir=data_dir, tasks_from=files, say=progress.message
        )
    if json:
        print_json(found)
    else:
        print(inspection_report(found))
    return 0

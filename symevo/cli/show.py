"""Commands that show what there is: runs, tasks, rules, primitives, systems."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from symevo.cli.commands import show as commands
from symevo.cli.options import Job, Json, Latex, TasksFrom, app, not_both, option
from symevo.errors import UserError


@app.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    rank: Annotated[int | None, option("One rule of the front in full, 1 the best.", metavar="N")] = None,
    latex: Latex = False,
    json: Json = False,
    tasks_from: TasksFrom = None,
) -> Job:
    """Shows the best rules of a run, finished or not."""
    not_both(latex, json)
    return partial(commands.show, run, rank=rank, latex=latex, as_json=json, files=list(tasks_from or []))


@app.command()
def tasks(
    tasks_from: TasksFrom = None,
) -> Job:
    """Lists the tasks that candidates can be trained on."""
    return partial(commands.tasks, list(tasks_from or []))


@app.command()
def rules(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RULE|RUN]", help="A name, a rule JSON file, text, or a run's folder.", show_default=False
        ),
    ] = None,
    latex: Latex = False,
    json: Json = False,
    tasks_from: TasksFrom = None,
) -> Job:
    """Lists the classic optimizers, or shows one rule: its equations, program and numbers."""
    not_both(latex, json)
    if name is None and (latex or json):
        raise UserError("--latex and --json need a rule: symevo rules adamw --latex")
    return partial(commands.rules, name, latex=latex, as_json=json, files=list(tasks_from or []))


@app.command()
def primitives(
    tasks_from: TasksFrom = None,
) -> Job:
    """Lists the forms that system expression builds rules from, and what each means."""
    return partial(commands.primitives, list(tasks_from or []))


@app.command()
def systems() -> Job:
    """Lists the systems that 'symevo run' knows."""
    return commands.systems

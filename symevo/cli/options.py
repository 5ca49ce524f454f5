"""The ``symevo`` command itself, and the options that its subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from symevo import __version__
from symevo.errors import UserError

Job = Callable[[], int]
"""What a command line asks for; returns the exit code."""

_HELP = """Evolves deep-learning optimizers and hands them over as short symbolic rules.

\b
Examples:
  symevo run                            two minutes on embedded data
  symevo run --tasks fashion-mlp --population 50 --generations 20
  symevo run expression                 free-form rules, in two minutes
  symevo run hyperparameters            a known rule's numbers, tuned
  symevo run --scoop --workers 4        on SCOOP, started for you
  symevo run --resume runs/term-sum-…   go on with an interrupted run
  symevo show runs/term-sum-… --rank 2  a rule of the front in full
  symevo compare runs/term-sum-…        the best rule beside tuned baselines
  symevo transfer runs/evograd-…        evolved controllers on other networks
  symevo inspect runs/evograd-…         what evolved controllers react to
  symevo report runs/term-sum-…         the run as one HTML page
  symevo export runs/term-sum-… -o my_optimizer.py
  symevo rules adamw                    a classic optimizer as a rule
"""
TASKS_FROM = "Python file that makes tasks or primitives of your own."
app = typer.Typer(add_completion=False, help=_HELP, rich_markup_mode=None)


def option(help: str, *names: str, metavar: str | None = None) -> Any:
    """An option of a subcommand; ``names`` where they are not the argument's."""
    return typer.Option(*names, help=help, metavar=metavar, show_default=False)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit()


Version = Annotated[
    bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True, show_default=False)
]


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Version = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()


Json = Annotated[bool, option("Print JSON.", "--json")]
Latex = Annotated[bool, option("Print the equations in LaTeX.", "--latex")]
TasksFrom = Annotated[list[Path] | None, option(TASKS_FROM, metavar="FILE.py")]


def not_both(latex: bool, json: bool) -> None:
    """Refuses two forms of output at once."""
    if latex and json:
        raise UserError("--latex and --json exclude each other: keep one of them")

"""The ``symevo`` command: its subcommands, the options that they share, and how a command line is read.

A module is imported when one of its commands is called, and no command imports torch before it needs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from symevo.about import __version__
from symevo.errors import UserError
from symevo.registry import nearest

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
COMMANDS = {
    "run": ("run", "Search for an optimizer and print the best rules at the end."),
    "compare": ("compare", "Compare rules with tuned baselines and attribute any gain."),
    "show": ("show", "Show the best rules of a run, finished or not."),
    "tasks": ("show", "List the tasks that candidates can be trained on."),
    "rules": ("show", "List the classic optimizers, or show one rule."),
    "primitives": ("show", "List the forms that system expression builds rules from."),
    "systems": ("show", "List the systems that 'symevo run' knows."),
    "export": ("export", "Write a rule as one Python file that needs only torch."),
    "report": ("report", "Write a run as one HTML page with its figures."),
    "transfer": ("transfer", "Test evolved controllers on new networks, beside plain Adam."),
    "inspect": ("inspect", "Show what evolved controllers react to, and as which formulas."),
}
"""For each subcommand, the module of this package that defines a function of its name, and the help's first line."""


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
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]
Json = Annotated[bool, option("Print JSON.", "--json")]
Latex = Annotated[bool, option("Print the equations in LaTeX.", "--latex")]
Quiet = Annotated[bool, option("No progress on standard error.", "--quiet")]
DataDir = Annotated[Path | None, option("Folder of data sets.", metavar="DIR")]
TasksFrom = Annotated[
    list[Path] | None, option("Python file that makes tasks or primitives of your own.", metavar="FILE.py")
]


class Subcommands(TyperGroup):
    """Imports a subcommand's module when it is called; the list of all needs none."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, first_line = COMMANDS[cmd_name]
        home = import_module(f"symevo.cli.{module}")
        function = getattr(home, "prepared", lambda one: one)(getattr(home, cmd_name))
        one = typer.Typer(add_completion=False, rich_markup_mode=None)
        text = f"{first_line}\n\n{getdoc(function) or ''}"
        one.command(cmd_name, cls=getattr(home, "Command", TyperCommand), help=text)(_deferred(function))
        return typer.main.get_command(one)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_line) for name, (_, first_line) in COMMANDS.items()])


def _deferred(function: Callable[..., int]) -> Callable[..., Job]:
    """Makes a call into a job: typer answers Ctrl-C in its own way, so nothing runs while it reads arguments."""

    @wraps(function)
    def later(**params: Any) -> Job:
        return partial(function, **params)

    return later


app = typer.Typer(add_completion=False, help=_HELP, rich_markup_mode=None, cls=Subcommands)


@app.callback(invoke_without_command=True)
def _top(context: typer.Context, version: Version = False) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()


# Late versions of typer carry a click of their own, others use the package: find either's base class.
_ClickException: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def parse(argv: list[str]) -> Job | int:
    """The job that a command line asks for, or an exit code where ``--help`` or ``--version`` was all.

    Raises:
        UserError: No command line of ours.
    """
    if argv[:1] == ["run"]:
        import_module("symevo.cli.run").import_early(argv)
    command = typer.main.get_command(app)
    try:
        job: Any = command.main(args=list(argv), prog_name="symevo", standalone_mode=False, obj=list(argv))
    except _ClickException as error:
        raise UserError(_usage(error)) from None
    return job if callable(job) else int(job or 0)  # type: ignore[return-value]


def _usage(error: Any) -> str:
    """The command-line parser's complaint, in our words where it knows more than it says."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if type(error).__name__ == "NoSuchOption" and option and context is not None:
        flags = [name for parameter in context.command.params for name in parameter.opts if "--" in name]
        return f"unknown flag {option!r}: {nearest(option, [*flags, '--help'])}"
    text = error.format_message().strip()
    if text.startswith("No such command"):
        name = text.split("'")[1]
        return f"unknown command {name!r}: {nearest(name, sorted(COMMANDS))}"
    # "Input should be a valid integer, unable to parse string as an integer" says one thing twice.
    text = re.sub(r"Input should be (a valid \w+).*", r"give \1", text)
    command = context.command_path if context is not None else "symevo"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}: see {command} --help"


def not_both(latex: bool, json: bool) -> None:
    """Refuses two forms of output at once."""
    if latex and json:
        raise UserError("--latex and --json exclude each other: keep one of them")


@contextlib.contextmanager
def told(quiet: bool) -> Iterator[Any]:
    """Gives the progress display of a command; what a user's file prints meanwhile is no result.

    Where quiet is wanted, no library warns: neither here nor in workers, which take over the environment. What a
    rule's text warns of is still said: it is about what the user wrote.
    """
    from symevo.reporting.progress import make_progress

    progress = make_progress(quiet=quiet)
    try:
        with contextlib.redirect_stdout(sys.stderr), hushed(quiet):
            yield progress
    finally:
        progress.close()


@contextlib.contextmanager
def hushed(quiet: bool) -> Iterator[None]:
    """Silences warnings of libraries, here and in child processes, if ``quiet``."""
    if not quiet:
        yield
        return
    import warnings

    from symevo.rules.rule import RuleWarning

    variable = "PYTHONWARNINGS"
    before = os.environ.get(variable)
    os.environ[variable] = "ignore"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", RuleWarning)
            yield
    finally:
        del os.environ[variable]
        if before is not None:
            os.environ[variable] = before


def print_json(data: Any) -> None:
    """Prints one object, and nothing else, on standard output."""
    json.dump(data, sys.stdout, allow_nan=False)
    print()

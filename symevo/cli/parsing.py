"""A command line, read into a job.

A module of :data:`COMMANDS` adds its commands to the application when it is imported, in this order.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import typer

from symevo.cli.options import Job, app
from symevo.errors import UserError
from symevo.registry import nearest

COMMANDS = ("run", "compare", "show", "export", "report", "transfer", "inspect")
for _name in COMMANDS:
    import_module(f"symevo.cli.{_name}")

# Late versions of typer carry a click of their own, others use the package: find either's base class.
_ClickException: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def parse(argv: list[str]) -> Job | int:
    """Reads a command line.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The job that it asks for, or an exit code where ``--help`` or ``--version`` was all.

    Raises:
        UserError: No command line of ours.
    """
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
    if text.startswith("No such command") and context is not None:
        name = text.split("'")[1]
        return f"unknown command {name!r}: {nearest(name, sorted(context.command.commands))}"
    # "Input should be a valid integer, unable to parse string as an integer" says one thing twice.
    text = re.sub(r"Input should be (a valid \w+).*", r"give \1", text)
    command = context.command_path if context is not None else "symevo"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}: see {command} --help"

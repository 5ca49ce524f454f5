"""Errors that a user can mend, and the two other ways in which a run ends early."""

from __future__ import annotations

from pathlib import Path


class UserError(ValueError):
    """Wrong use: one line that says what is wrong and what would be right.

    The command line prints it as ``symevo: error: …`` on standard error and exits with code 2.
    """


class RunFailed(Exception):
    """A run that cannot give a result, through no wrong use: one line, exit code 1."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a termination signal, raised once the checkpoint is on disk; ``path`` is the run's folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


class Paused(KeyboardInterrupt):
    """Ctrl-C or a termination signal where the same command goes on from what is on disk."""


class RuleError(UserError):
    """A text that is no rule: names line, column and what would be right."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        place = f"line {line}, column {column}: " if line else ""
        super().__init__(f"{place}{message}")
        self.line, self.column = line, column

"""Errors that a user can mend."""

from __future__ import annotations


class UserError(ValueError):
    """Wrong use: one line that says what is wrong and what would be right.

    The command line prints it as ``symevo: error: …`` on standard error and exits with code 2.
    """

"""The ``symevo`` command. Light to import, so that a signal seldom comes before someone listens."""

from symevo.cli.ends import entry, main

__all__ = ["entry", "main"]

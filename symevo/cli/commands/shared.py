"""What several commands do."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def hushed(quiet: bool) -> Iterator[None]:
    """Where quiet is wanted, no library warns: neither here nor in workers, which take over the environment.

    What a rule's text warns of is still said: it is about what the user wrote.
    """
    if not quiet:
        yield
        return
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
    """One object, and nothing else, on standard output."""
    json.dump(data, sys.stdout, allow_nan=False)
    print()

"""Runs scripts of the tests, and ends what a failed test leaves."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from engine_programs import Program


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts a script: ``start("script.py", "argument", …, VARIABLE="value")``."""
    programs: list[Program] = []

    def run(script: str, *arguments: str, **environment: str) -> Program:
        programs.append(Program(script, arguments, uuid.uuid4().hex, environment))
        return programs[-1]

    yield run
    for program in programs:
        for process in program.family():
            process.kill()
        program.process.communicate()

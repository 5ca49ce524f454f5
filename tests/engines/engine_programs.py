"""Finds the processes that a test has started, however they are related to it by now."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TAG = "SYMEVO_TEST_TAG"
SOON = 60.0
"""Seconds. What hangs does so for ten minutes; all else ends within this, however busy the machine is."""


def wait_for(condition: Callable[[], object], *, seconds: float = SOON) -> bool:
    """Whether the condition came true within that many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def lines(path: Path) -> list[str]:
    """The lines of a file that processes append to; none while it is not there."""
    return path.read_text().splitlines() if path.exists() else []


class Program:
    """A Python script of the tests, with all processes that descend from it."""

    def __init__(self, script: str, arguments: tuple[str, ...], tag: str, environment: dict[str, str]) -> None:
        path = os.pathsep.join([str(ROOT), str(HERE)])
        self._tag = tag
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, TAG: tag, "PYTHONPATH": path},
        )

    def family(self) -> list[psutil.Process]:
        """Every living process with this program's tag in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TAG) == self._tag:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def end(self, *, seconds: float = SOON) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def is_gone(self) -> bool:
        """Whether nothing of it is left after a moment."""
        return wait_for(lambda: not self.family())

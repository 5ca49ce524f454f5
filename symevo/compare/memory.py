"""Trainings of a comparison that has not ended, kept on disk, so that the same command goes on where it was stopped.

An outcome depends on the rule, the task, the training seed and what :func:`scope` hashes, and on nothing else; so what
is found here is what would be trained again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.store import versions
from symevo.store.checks import check_outcomes

_TABLE = """CREATE TABLE IF NOT EXISTS trainings (
    scope TEXT, identity TEXT, task TEXT, seed TEXT, outcome TEXT, PRIMARY KEY (scope, identity, task, seed))"""
_WAIT = 60  # seconds that another comparison of the same run may write


class Memory(AbstractContextManager["Memory"]):
    """Outcomes of trainings.

    Args:
        path: A file, which is made; None: all is forgotten with the process.

    Attributes:
        count: Trainings that were there.

    Raises:
        UserError: The file is something else, or may not be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(":memory:" if path is None else path, timeout=_WAIT)
            self._db.execute("PRAGMA synchronous=OFF")  # a kill loses nothing; a power cut may, and is refused
            self._db.execute(_TABLE)
            self.count = self._db.execute("SELECT count(*) FROM trainings").fetchone()[0]
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def under(self, scope: str) -> Scoped:
        """What is kept of trainings made in one way."""
        return Scoped(self, scope)

    def training(self, key: tuple[str, str, str, int]) -> dict[str, Any] | None:
        """An outcome, or None.

        Raises:
            UserError: The file is damaged.
        """
        query = "SELECT outcome FROM trainings WHERE scope = ? AND identity = ? AND task = ? AND seed = ?"
        try:
            row = self._db.execute(query, (*key[:3], str(key[3]))).fetchone()
            found = None if row is None else json.loads(row[0])
            check_outcomes([] if found is None else [found])
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._damaged(error) from None
        return found

    def save(self, rows: Iterable[tuple[str, str, str, int, dict[str, Any]]]) -> None:
        """Keeps outcomes (scope, identity, task, seed, outcome)."""
        plain = [(*names, str(seed), json.dumps(outcome)) for *names, seed, outcome in rows]
        try:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO trainings VALUES (?, ?, ?, ?, ?)", plain)
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def __exit__(self, *exc: object) -> None:
        with suppress(sqlite3.Error):
            empty = not self._db.execute("SELECT count(*) FROM trainings").fetchone()[0]
            self._db.close()
            if empty and self.path is not None:
                self.path.unlink()

    def _damaged(self, error: Exception) -> UserError:
        what = str(error).splitlines()[0]
        return UserError(f"{self.path}, trainings of an interrupted comparison, cannot be used ({what}): remove it")


class Scoped:
    """The :class:`symevo.systems.evaluation.Memory` of trainings made in one way."""

    folder = Path()

    def __init__(self, memory: Memory, scope: str) -> None:
        self._memory, self._scope = memory, scope

    def training(self, identity: str, task: str, seed: int) -> dict[str, Any] | None:
        """The outcome of a training, or None."""
        return self._memory.training((self._scope, identity, task, seed))

    def save_trainings(self, trainings: Iterable[tuple[str, str, int, dict[str, Any]]]) -> None:
        """Keeps outcomes (identity, task, seed, outcome)."""
        self._memory.save((self._scope, *row) for row in trainings)


def scope(common: Mapping[str, Any], files: Iterable[str]) -> str:
    """A hash of all that decides an outcome besides rule, task and seed.

    Args:
        common: Plain data: steps, split, prints of the tasks.
        files: Python files of the user, which are read.
    """
    contents = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files]
    text = json.dumps([common, contents, versions()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

"""The run store: one SQLite file that holds everything a run did.

A training's outcome is written as soon as it arrives, so that nothing is trained twice; a generation is closed in one
transaction together with the population that the next one starts from. A process killed at any moment leaves a file
that resumes at the last closed generation.
"""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from symevo.errors import UserError

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

FILE = "run.sqlite"
SCHEMA = 1
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE trainings (identity TEXT, task TEXT, seed INTEGER, outcome TEXT NOT NULL,
                        PRIMARY KEY (identity, task, seed)) WITHOUT ROWID;
CREATE TABLE evaluations (gen INTEGER, place INTEGER, genome TEXT NOT NULL, rule TEXT NOT NULL, identity TEXT NOT NULL,
                          fitness REAL NOT NULL, status TEXT NOT NULL, reason TEXT, per_task TEXT NOT NULL,
                          seconds REAL NOT NULL, cached INTEGER NOT NULL, parents TEXT NOT NULL, operator TEXT,
                          PRIMARY KEY (gen, place));
CREATE TABLE generations (gen INTEGER PRIMARY KEY, record TEXT NOT NULL, population TEXT NOT NULL);
"""
_EVALUATION = ("gen", "place", "genome", "rule", "identity", "fitness", "status", "reason", "per_task", "seconds",
               "cached", "parents", "operator")  # fmt: skip
_JSON_COLUMNS = frozenset({"genome", "rule", "per_task", "parents"})


class Store:
    """An open run store; use :meth:`create` or :meth:`open`.

    Attributes:
        folder: The run's folder.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection
        self._claim: IO[str] | None = None
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")

    @classmethod
    def create(cls, folder: Path, settings: dict[str, Any]) -> Store:
        """Makes the folder, its file, and records settings and versions.

        Raises:
            UserError: The folder exists and is not empty, or cannot be written.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"output folder {folder} exists and is not empty: choose another, or --resume {folder}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(folder / FILE)
            connection.executescript(f"BEGIN;{_TABLES}COMMIT;")
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"cannot write a run to {folder}: {error}") from None
        store = cls(folder, connection)
        for key, value in {"schema": SCHEMA, "settings": settings, "versions": versions()}.items():
            store._write_about(key, value)
        connection.commit()
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Opens an existing run.

        Raises:
            UserError: No run there, or its file is damaged or of another version.
        """
        path = folder / FILE
        if not path.is_file():
            raise UserError(f"{folder} is not a run: it holds no {FILE}; give the folder that symevo run made")
        try:
            connection = sqlite3.connect(path)
            if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its pages are damaged")
            store = cls(folder, connection)
            schema = store.about("schema")
            _require(store.about("settings"), ("search", "execution", "tasks"))
            for record in store.records():
                _require(record, ("gen", "best", "mean", "evaluations", "seconds", "elapsed"))
            store.last_generation()
            for _ in store.evaluations():
                pass
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is corrupt or not a run ({error}): restore it from a copy, or start anew"
            ) from None
        if schema != SCHEMA:
            raise UserError(f"{path} has schema {schema!r}; this version of symevo reads schema {SCHEMA}")
        return store

    def claim(self) -> None:
        """Makes this process the only one that writes the run; the claim ends with the store or the process.

        Raises:
            UserError: Another process is writing it.
        """
        if fcntl is None:
            return
        self._claim = (self.folder / "run.lock").open("w")
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise UserError(f"another process is working on {self.folder}: wait for it, or end it") from None

    def close(self) -> None:
        """Closes the file; the store cannot be used afterwards."""
        self._db.close()
        if self._claim is not None:
            self._claim.close()

    def _write_about(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value)))

    def about(self, key: str) -> Any:
        """A recorded fact: ``"settings"``, ``"versions"`` or ``"schema"``.

        Raises:
            KeyError: Not recorded.
        """
        row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(f"{key} is not recorded")
        return json.loads(row[0])

    # trainings: one candidate, one task, one training seed

    def save_trainings(self, trainings: Iterable[tuple[str, str, int, dict[str, Any]]]) -> None:
        """Writes outcomes (identity, task, seed, outcome) at once; they survive a kill from here on."""
        rows = [(identity, task, seed, json.dumps(outcome)) for identity, task, seed, outcome in trainings]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO trainings VALUES (?, ?, ?, ?)", rows)

    def training(self, identity: str, task: str, seed: int) -> dict[str, Any] | None:
        """The stored outcome of a training, or None."""
        query = "SELECT outcome FROM trainings WHERE identity = ? AND task = ? AND seed = ?"
        row = self._db.execute(query, (identity, task, seed)).fetchone()
        return None if row is None else json.loads(row[0])

    # generations

    def close_generation(
        self, record: dict[str, Any], population: list[Any], evaluations: Iterable[dict[str, Any]]
    ) -> None:
        """Writes a generation: its evaluations, its record and the population that the next one starts from.

        Args:
            record: With ``"gen"``; what the logbook says.
            population: Plain data that the caller can turn back into individuals.
            evaluations: Dicts with the columns of the table ``evaluations``.
        """
        rows = [
            tuple(json.dumps(e[name]) if name in _JSON_COLUMNS else e[name] for name in _EVALUATION)
            for e in evaluations
        ]
        with self._db:
            self._db.executemany(f"INSERT INTO evaluations VALUES ({','.join('?' * len(_EVALUATION))})", rows)
            closing = (record["gen"], json.dumps(record), json.dumps(population))
            self._db.execute("INSERT INTO generations VALUES (?, ?, ?)", closing)

    def last_generation(self) -> tuple[dict[str, Any], list[Any]] | None:
        """Record and population of the last closed generation, or None before the first."""
        row = self._db.execute("SELECT record, population FROM generations ORDER BY gen DESC LIMIT 1").fetchone()
        return None if row is None else (json.loads(row[0]), json.loads(row[1]))

    def records(self) -> list[dict[str, Any]]:
        """The records of all closed generations, in order."""
        return [json.loads(row[0]) for row in self._db.execute("SELECT record FROM generations ORDER BY gen")]

    def evaluations(self) -> Iterator[dict[str, Any]]:
        """All evaluations of closed generations, in the order in which they were proposed."""
        query = f"SELECT {', '.join(_EVALUATION)} FROM evaluations ORDER BY gen, place"
        for row in self._db.execute(query):
            item: dict[str, Any] = dict(zip(_EVALUATION, row, strict=True))
            yield item | {name: json.loads(item[name]) for name in _JSON_COLUMNS}


def _require(data: Any, keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if not isinstance(data, dict) or key not in data]
    if missing:
        raise ValueError(f"{missing[0]} is missing")


def versions() -> dict[str, str]:
    """Versions of all that can change a number, and the machine's processor."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for package in ("symevo", "torch", "numpy", "deap", "sympy", "scikit-learn"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found

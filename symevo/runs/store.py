"""The run store: one SQLite file that holds everything a run did.

An outcome is written as soon as it arrives. A generation is closed in one transaction together with the next
population, so a process killed at any moment leaves a file that resumes at the last closed generation.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import IO, Any

from symevo.errors import UserError
from symevo.runs.checks import (
    COLUMNS,
    Evaluation,
    check_conclusion,
    check_facts,
    check_generations,
    check_outcomes,
    one_line,
)
from symevo.settings.model import Settings
from symevo.training.job import OutcomeKey

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

FILE = "run.sqlite"
SCHEMA = 3
"""Schema 2, which is read too, did not know the steps of a training: all had the run's."""
_TRAININGS = """
CREATE TABLE trainings (identity TEXT, task TEXT, seed INTEGER, steps INTEGER, outcome TEXT NOT NULL,
                        PRIMARY KEY (identity, task, seed, steps)) WITHOUT ROWID;
"""
_TABLES = f"""
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
{_TRAININGS}
CREATE TABLE evaluations (gen INTEGER, place INTEGER, genome TEXT NOT NULL, rule TEXT NOT NULL, identity TEXT NOT NULL,
                          fitness REAL NOT NULL, status TEXT NOT NULL, reason TEXT, per_task TEXT NOT NULL,
                          seconds REAL NOT NULL, cached INTEGER NOT NULL, parents TEXT NOT NULL, operator TEXT,
                          PRIMARY KEY (gen, place));
CREATE TABLE generations (gen INTEGER PRIMARY KEY, record TEXT NOT NULL, population TEXT NOT NULL);
"""
_JSON_COLUMNS = frozenset({"genome", "rule", "per_task", "parents"})


class Store:
    """An open run store; use :meth:`create` or :meth:`open`."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection
        self._claim: IO[str] | None = None

    @classmethod
    def create(cls, folder: Path, settings: dict[str, Any]) -> Store:
        """Make the folder and its file, and record settings and versions; UserError where the folder cannot be used."""
        try:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UserError(f"output folder {folder} exists and is not empty: choose another, or --resume {folder}")
            folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(folder / FILE)
            connection.executescript(f"BEGIN;{_TABLES}COMMIT;")
        except UserError:
            raise
        except (OSError, ValueError, sqlite3.Error) as error:
            raise UserError(f"cannot write a run to {folder}: {error}") from None
        store = cls(folder, _for_writing(connection))
        for key, value in {"schema": SCHEMA, "settings": settings, "versions": versions()}.items():
            store._write_about(key, value)
        connection.commit()
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open an existing run for reading and check all of it; :meth:`claim` opens it for writing.

        UserError where it is missing, damaged, inconsistent or of another version.
        """
        path = folder / FILE
        if not os.path.isfile(path):
            raise UserError(f"{folder} is not a run: it holds no {FILE}; give the folder that symevo run made")
        store: Store | None = None
        try:
            store = cls(folder, _reader(path))
            store._check()
        except (OSError, sqlite3.Error, ValueError, KeyError, TypeError) as error:
            if store is not None:
                store.close()
            if isinstance(error, UserError):
                raise
            if isinstance(error, OSError) or "unable to open" in str(error):
                raise UserError(f"cannot read {path}: copy the run to a folder that you may read and write") from None
            raise UserError(
                f"{path} is corrupt or not a run ({one_line(error)}): restore it from a copy, or start anew"
            ) from None
        return store

    def claim(self) -> None:
        """Lock the run for writing until the store is closed or the process ends; UserError where it cannot."""
        try:
            (self.folder / FILE).open("r+b").close()  # before SQLite leaves files beside one that it may not write
            if fcntl is not None:
                self._claim = (self.folder / "run.lock").open("w")
                fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._db.close()
            self._db = _for_writing(sqlite3.connect(_uri(self.folder / FILE, "mode=rw"), uri=True))
            self._modernise()
        except BlockingIOError:
            self.close()
            raise UserError(f"another process is working on {self.folder}: wait for it, or end it") from None
        except (OSError, sqlite3.Error) as error:
            self.close()
            why = f"cannot write to the run in {self.folder}: {getattr(error, 'strerror', None) or error}"
            raise UserError(f"{why}; resume a copy that you may write") from None

    @cached_property
    def _steps(self) -> int:
        """Training steps of the run."""
        return self.about("settings")["search"].get("steps", Settings.model_fields["steps"].default)

    def _read_schema(self) -> None:
        """Let the trainings of a run of schema 2 be read as they would stand now; UserError for a schema unknown."""
        schema = self.about("schema")
        if schema == 2:
            self._db.execute("PRAGMA temp_store=MEMORY")
            own = f"SELECT identity, task, seed, {int(self._steps)} AS steps, outcome FROM main.trainings"
            self._db.execute(f"CREATE TEMP VIEW trainings AS {own}")  # comes before the table of this name
        elif schema != SCHEMA:
            where = self.folder / FILE
            raise UserError(f"{where} has schema {schema!r}; this version of symevo reads schemas 2 and {SCHEMA}")

    def _modernise(self) -> None:
        """Give the trainings of a run of schema 2 their steps, in one transaction."""
        if self.about("schema") == 2:
            copied = f"INSERT INTO trainings SELECT identity, task, seed, {int(self._steps)}, outcome FROM old"
            self._db.executescript(
                f"BEGIN; ALTER TABLE trainings RENAME TO old; {_TRAININGS} {copied}; DROP TABLE old;"
                f"UPDATE about SET value = '{SCHEMA}' WHERE key = 'schema'; COMMIT;"
            )

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._db.close()
        if self._claim is not None:
            self._claim.close()

    def _write_about(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value)))

    def about(self, key: str) -> Any:
        """A recorded fact: ``"settings"``, ``"versions"`` or ``"schema"``; raises KeyError for another."""
        row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(f"{key} is not recorded")
        return json.loads(row[0])

    def moved(self, tasks_from: Sequence[str]) -> None:
        """Record where the user's files are now."""
        settings = self.about("settings")
        settings["search"]["tasks_from"] = list(tasks_from)
        self._write_about("settings", settings)
        self._db.commit()

    def conclude(self, ranking: list[dict[str, Any]], replays: dict[str, list[float | None]]) -> None:
        """Record the last population, best first, and losses of new networks, by what they were trained under."""
        self._write_about("ranking", ranking)
        self._write_about("replays", replays)
        self._db.commit()

    def conclusion(self) -> tuple[list[dict[str, Any]], dict[str, list[float | None]]]:
        """Ranking and replays as :meth:`conclude` recorded them; empty before."""
        query = "SELECT key, value FROM about WHERE key IN ('ranking', 'replays')"
        found = {key: json.loads(value) for key, value in self._db.execute(query)}
        return found.get("ranking", []), found.get("replays", {})

    def _check(self) -> None:
        """Read everything once; raises ValueError, KeyError, TypeError or sqlite3.Error for what cannot be."""
        if self._db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise ValueError("its pages are damaged")
        self._read_schema()
        settings = check_facts(self.about("settings"))
        check_outcomes(json.loads(row[0]) for row in self._db.execute("SELECT outcome FROM trainings"))
        query = "SELECT gen, record, population FROM generations ORDER BY gen"
        closed = [(gen, json.loads(record), json.loads(people)) for gen, record, people in self._db.execute(query)]
        check_generations(settings, closed, self.evaluations())
        self._check_trained(settings)
        check_conclusion(*self.conclusion(), {one.identity for one in self.evaluations() if one.status == "ok"})

    def _check_trained(self, settings: Settings) -> None:
        """Raise ValueError where a candidate was evaluated without one of the trainings that this takes."""
        missing = (
            "SELECT 1 FROM evaluations AS one WHERE NOT EXISTS (SELECT 1 FROM trainings AS made "
            "WHERE made.identity = one.identity AND made.task = ? AND made.seed = ? AND made.steps = ?) LIMIT 1"
        )
        for task, seed in product(settings.tasks, range(settings.seeds)):
            if self._db.execute(missing, (task, seed, settings.steps)).fetchone():
                raise ValueError(f"an evaluation has no training on {task} with seed {seed}")

    # trainings: one candidate, one task, one training seed, so many steps

    def save_trainings(self, trainings: Iterable[tuple[OutcomeKey, dict[str, Any]]]) -> None:
        """Write outcomes at once; they survive a kill from here on."""
        rows = [(*key, json.dumps(outcome)) for key, outcome in trainings]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO trainings VALUES (?, ?, ?, ?, ?)", rows)

    def training(self, identity: str, task: str, seed: int, steps: int | None = None) -> dict[str, Any] | None:
        """The stored outcome of a training of so many steps, by default the run's, or None."""
        query = "SELECT outcome FROM trainings WHERE identity = ? AND task = ? AND seed = ? AND steps = ?"
        row = self._db.execute(query, (identity, task, seed, self._steps if steps is None else steps)).fetchone()
        return None if row is None else json.loads(row[0])

    def outcomes(self) -> dict[tuple[str, str, int], str]:
        """All stored outcomes of the run's number of steps by identity, task and seed, as JSON text."""
        query = "SELECT identity, task, seed, outcome FROM trainings WHERE steps = ?"
        found = self._db.execute(query, (self._steps,))
        return {(identity, task, seed): outcome for identity, task, seed, outcome in found}

    # generations

    def close_generation(
        self, record: dict[str, Any], population: list[Any], evaluations: Iterable[Mapping[str, Any]]
    ) -> None:
        """Write a generation: its evaluations, its record and the population that the next one starts from."""
        rows = [
            tuple(json.dumps(e[name]) if name in _JSON_COLUMNS else e[name] for name in COLUMNS) for e in evaluations
        ]
        with self._db:
            self._db.executemany(f"INSERT INTO evaluations VALUES ({','.join('?' * len(COLUMNS))})", rows)
            closing = (record["gen"], json.dumps(record), json.dumps(population))
            self._db.execute("INSERT INTO generations VALUES (?, ?, ?)", closing)

    def last_generation(self) -> tuple[dict[str, Any], list[Any]] | None:
        """Record and population of the last closed generation, or None before the first."""
        row = self._db.execute("SELECT record, population FROM generations ORDER BY gen DESC LIMIT 1").fetchone()
        return None if row is None else (json.loads(row[0]), json.loads(row[1]))

    def records(self, first: int = 0) -> list[dict[str, Any]]:
        """The records of closed generations, in order, from the ``first`` on."""
        query = "SELECT record FROM generations WHERE gen >= ? ORDER BY gen"
        return [json.loads(row[0]) for row in self._db.execute(query, (first,))]

    def evaluations(self, gen: int | None = None) -> Iterator[Evaluation]:
        """Evaluations of a closed generation, or of all, in the order in which they were proposed."""
        where, which = ("", ()) if gen is None else ("WHERE gen = ?", (gen,))
        query = f"SELECT {', '.join(COLUMNS)} FROM evaluations {where} ORDER BY gen, place"
        for row in self._db.execute(query, which):
            item: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
            yield Evaluation(**item | {name: json.loads(item[name]) for name in _JSON_COLUMNS})


def _uri(path: Path, options: str) -> str:
    return f"{path.absolute().as_uri()}?{options}"


def _reader(path: Path) -> sqlite3.Connection:
    """Open a file for reading only; without a write-ahead log nothing is made beside it, nor need it be writable."""
    log = path.with_name(f"{path.name}-wal")
    quiet = not (log.exists() and log.stat().st_size)
    return sqlite3.connect(_uri(path, "mode=ro&immutable=1" if quiet else "mode=ro"), uri=True)


def _for_writing(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Set up a connection that writes; raises sqlite3.Error if it may not."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.rollback()
    return connection


def versions() -> dict[str, str]:
    """Versions of all that can change a number, and the machine's processor."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for package in ("symevo", "torch", "numpy", "deap", "sympy", "scikit-learn"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found

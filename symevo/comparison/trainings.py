"""Trainings of a comparison: side by side in guarded worker processes, as a search's, and kept on disk until it ends.

An outcome depends on the rule, the task, the training seed and what :func:`scope` hashes, and on nothing else; so what
is found here is what would be trained again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from symevo.comparison.protocol import effort
from symevo.engines import make_engine
from symevo.engines.base import Engine
from symevo.errors import RunFailed, UserError
from symevo.evolution.evaluator import WARM, Evaluator, Plan, TaskPlan
from symevo.evolution.planning import common_of
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule
from symevo.runs import versions
from symevo.runs.checks import check_outcomes
from symevo.settings.model import Settings
from symevo.training.fitness import FITNESS, judge
from symevo.training.job import OutcomeKey

_TABLE = """CREATE TABLE IF NOT EXISTS trainings (
    scope TEXT, identity TEXT, task TEXT, seed TEXT, outcome TEXT, PRIMARY KEY (scope, identity, task, seed))"""
_WAIT = 60  # seconds that another comparison of the same run may write


class Progress(Protocol):
    """What a comparison reports to: steps that are to be made, steps that were made, and lines for the user."""

    def more(self, steps: int) -> object: ...
    def advance(self, steps: int) -> object: ...
    def message(self, text: str) -> object: ...


class Silent:
    """Says nothing; see :class:`Progress`."""

    def more(self, steps: int) -> None: ...
    def advance(self, steps: int) -> None: ...
    def message(self, text: str) -> None: ...


class Count:
    """Turn trainings that are made into training steps, for an evaluator's ``advance``."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress, self._steps, self._made = progress, steps, 0

    def __call__(self, made: int, total: int) -> None:
        """So many of ``total`` trainings are made."""
        self._progress.advance((made - self._made) * self._steps)
        self._made = made


class Memory(AbstractContextManager["Memory"]):
    """Outcomes of trainings, in a file that is made; without one, all is forgotten with the process.

    Raises:
        UserError: The file is something else, is damaged, or may not be written.
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
        """An outcome, or None."""
        query = "SELECT outcome FROM trainings WHERE scope = ? AND identity = ? AND task = ? AND seed = ?"
        try:
            row = self._db.execute(query, (*key[:3], str(key[3]))).fetchone()
            found = None if row is None else json.loads(row[0])
            check_outcomes([] if found is None else [found])
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._damaged(error) from None
        return found

    def save(self, rows: Iterable[tuple[str, str, str, int, dict[str, Any]]]) -> None:
        """Keep outcomes (scope, identity, task, seed, outcome)."""
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
    """The :class:`symevo.evolution.evaluator.Memory` of trainings made in one way."""

    folder = Path()

    def __init__(self, memory: Memory, scope: str) -> None:
        self._memory, self._scope = memory, scope

    def training(self, identity: str, task: str, seed: int, steps: int) -> dict[str, Any] | None:
        """The outcome of a training, or None; the scope has its steps."""
        return self._memory.training((self._scope, identity, task, seed))

    def save_trainings(self, trainings: Iterable[tuple[OutcomeKey, dict[str, Any]]]) -> None:
        """Keep outcomes."""
        self._memory.save((self._scope, *key[:3], outcome) for key, outcome in trainings)


def scope(common: Mapping[str, Any], files: Iterable[str]) -> str:
    """A hash of all that decides an outcome besides rule, task and seed: plain data, and what the user's files hold."""
    contents = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files]
    text = json.dumps([common, contents, versions()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


SCORE = FITNESS.get("default")
"""How a training is scored, on validation and on test: accuracy + 0.05·exp(−loss), or progress."""


class Result(NamedTuple):
    """One training's score, and what else is known of it."""

    score: float
    outcome: Mapping[str, Any]


class Trainings(AbstractContextManager["Trainings"]):
    """The engine of a comparison, and all that its trainings share; ``engine`` replaces the one of the settings."""

    def __init__(
        self, how: Settings, tasks: Sequence[TaskPlan], prints: Mapping[str, Any], *, steps: Mapping[str, int],
        memory: Memory, progress: Progress, engine: str | None = None,
    ) -> None:  # fmt: skip
        self._how, self._tasks, self._prints, self._steps = how, tasks, prints, steps
        self._memory, self._progress = memory, progress
        self._name = engine or how.engine
        self._engine: Engine | None = None
        self.done = 0

    def run(
        self, task: TaskPlan, jobs: Sequence[tuple[Rule, int]], *, split: str, expected: bool = True
    ) -> list[Result]:
        """Train each rule from its training seed; the score is on ``split``.

        Trainings that are not ``expected`` are announced first. Raises RunFailed where no worker could train.
        """
        cost = self._steps[task.name] * effort(task.rows)
        advance = Count(self._progress, cost)
        if not expected:
            self._progress.more(len(jobs) * cost)
        evaluator = self._evaluator(task, jobs, split, advance)
        pairs: list[tuple[Any, int]] = list(jobs)
        try:
            outcomes = evaluator.each(pairs)
        except RunFailed as error:
            raise RunFailed(str(error).partition("; go on with")[0]) from None
        advance(len(jobs), len(jobs))  # equal ones are trained once, and those in memory not again
        self.done += len(jobs)
        return [Result(judge(SCORE, {task.name: [one]}).fitness, one) for one in outcomes]

    def __exit__(self, *exc: object) -> None:
        if self._engine is not None:
            self._engine.close()

    def _evaluator(
        self, task: TaskPlan, jobs: Sequence[tuple[Rule, int]], split: str, advance: Callable[[int, int], None]
    ) -> Evaluator:
        together = max((sum(seed == other for _, other in jobs) for seed in {seed for _, seed in jobs}), default=1)
        rows = ceil(together / ceil(together / task.rows))  # even shares: a stack that is not full is padded
        how, steps = self._how, self._steps[task.name]
        plan = Plan((replace(task, rows=rows),), (0,), steps, common_of(how, {}, split=split))
        decisive = {**plan.common, "steps": steps, "prints": self._prints}
        return Evaluator(
            lambda rule: rule, plan, fitness=SCORE, store=self._memory.under(scope(decisive, how.tasks_from)),
            make_engine=lambda setup: self._made(), advance=advance, timeout=how.eval_timeout,
        )  # fmt: skip

    def _made(self) -> Engine:
        """The one engine of all tasks."""
        if self._engine is None:
            how, common = self._how, common_of(self._how, self._prints, split="validation")
            first: Any = CLASSICS.get("sgd")
            warm = [Plan((task,), (0,), 2, common).job(task, 0, [first]) for task in self._tasks]
            workers = how.workers if self._name == how.engine else None
            self._engine = make_engine(
                self._name, workers=workers, setup=(WARM, warm), threads=how.threads, imports=how.tasks_from
            )
        return self._engine

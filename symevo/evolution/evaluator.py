"""Evaluation of a generation: from individuals to fitness, through cache, chunks and an engine.

::

    individuals → candidates → those never seen → (task, seed) × chunks of one program → engine → outcomes → fitness

An outcome depends on the candidate, the task, the seed, the steps and the settings of the plan alone: neither chunks
nor workers leave a trace in the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from symevo.engines.base import SETUP_FAILED, Engine, Reply
from symevo.errors import RunFailed
from symevo.rules.backends.base import MIXING
from symevo.training.fitness import Fitness, Verdict, judge
from symevo.training.job import Outcome, OutcomeKey, Trainee, TrainingJob

TRAIN = "symevo.training.worker:train_chunk"
WARM = "symevo.training.worker:warm"
BARREN_ROUNDS = 3
"""So often all trainings that wait are sent once more although none of them got a worker that lived."""
_OURS = f"{RunFailed.__name__}: "
"""How an exception begins that is no candidate's fault."""
Advance = Callable[[int, int], None]


class Memory(Protocol):
    """Where outcomes are kept: a :class:`symevo.runs.Store`, or what stands before one."""

    @property
    def folder(self) -> Path: ...
    def training(self, identity: str, task: str, seed: int, steps: int) -> dict[str, Any] | None: ...
    def save_trainings(self, trainings: Iterable[tuple[OutcomeKey, dict[str, Any]]]) -> None: ...


@dataclass(frozen=True)
class TaskPlan:
    """How a task is trained in this run: recorded, and the same for every chunk, of ``rows`` rows or padded to that."""

    name: str
    stacking: str
    rows: int


@dataclass(frozen=True)
class Plan:
    """What decides an outcome, besides the candidate: tasks, training seeds, steps.

    ``common`` is what all jobs share of the fields of :class:`symevo.training.job.TrainingJob`.
    """

    tasks: tuple[TaskPlan, ...]
    seeds: tuple[int, ...]
    steps: int
    common: dict[str, Any]

    def job(self, task: TaskPlan, seed: int, candidates: Sequence[Trainee]) -> TrainingJob:
        """What a worker gets."""
        return TrainingJob.of(
            candidates, task=task.name, stacking=task.stacking, rows=task.rows, seed=seed, steps=self.steps,
            **self.common,
        )  # fmt: skip

    @property
    def mixed(self) -> bool:
        """Whether candidates of different programs are trained in one stack."""
        return self.common.get("backend") in MIXING

    def trainings(self) -> Iterator[tuple[TaskPlan, int]]:
        """Every (task, seed) that a candidate is trained on."""
        return ((task, seed) for task in self.tasks for seed in self.seeds)


class _Chunk(NamedTuple):
    task: TaskPlan
    seed: int
    candidates: tuple[Trainee, ...]


class Evaluator:
    """Give individuals their fitness; a DEAP ``evaluate`` that trains many at once.

    ``advance`` is called with (trained, total) trainings; ``timeout`` is in seconds for one chunk, None for no limit.
    """

    def __init__(
        self,
        express: Callable[[Any], Trainee],
        plan: Plan,
        *,
        fitness: Fitness,
        store: Memory,
        make_engine: Callable[[tuple[str, Any]], Engine],
        advance: Advance = lambda trained, total: None,
        timeout: float | None = None,
        identify: Callable[[Any], str] = attrgetter("identity"),
    ) -> None:
        self.express, self.plan, self.fitness, self.store = express, plan, fitness, store
        self.identify = identify
        self.timeout = timeout
        self._make_engine, self._advance = make_engine, advance
        self._engine: Engine | None = None
        self.verdicts: dict[str, Verdict] = {}
        self.seconds: dict[str, float] = {}

    def __call__(self, individual: Any) -> tuple[float, ...]:
        """The fitness of one individual."""
        return self.many([individual])[0]

    def many(self, individuals: Sequence[Any]) -> list[tuple[float, ...]]:
        """The fitness of each individual; equal candidates are trained once, and never again."""
        candidates = [self.express(individual) for individual in individuals]
        identities = [self.identify(one) for one in candidates]
        fresh: dict[str, Trainee] = {}
        for identity, one in zip(identities, candidates, strict=True):
            if identity not in self.verdicts:
                fresh.setdefault(identity, one)
        outcomes = self._outcomes((task, seed, fresh) for task, seed in self.plan.trainings())
        for identity in fresh:
            rows = {
                task.name: [outcomes[self._key(identity, task, seed)] for seed in self.plan.seeds]
                for task in self.plan.tasks
            }
            self.verdicts[identity] = judge(self.fitness, rows)
            self.seconds[identity] = sum(row.seconds or 0.0 for group in rows.values() for row in group)
        return [(self.verdicts[identity].fitness,) for identity in identities]

    def more(self, trainees: Sequence[Trainee], seeds: Sequence[int]) -> list[list[Outcome]]:
        """For each candidate one outcome for each of these training seeds, on the plan's first task."""
        found = self.each([(one, seed) for seed in seeds for one in trainees])
        return [found[at :: len(trainees)] for at in range(len(trainees))]

    def each(self, pairs: Sequence[tuple[Trainee, int]]) -> list[Outcome]:
        """Outcomes of candidates, each under a training seed of its own, on the plan's first task."""
        task, groups = self.plan.tasks[0], dict[int, dict[str, Trainee]]()
        for one, seed in pairs:
            groups.setdefault(seed, {}).setdefault(self.identify(one), one)
        found = self._outcomes((task, seed, named) for seed, named in groups.items())
        return [found[self._key(self.identify(one), task, seed)] for one, seed in pairs]

    def recall(self, identity: str, evaluation: dict[str, Any]) -> None:
        """Take over the verdict of a stored evaluation, so that its candidate is not evaluated again."""
        self.verdicts[identity] = Verdict(**{field.name: evaluation[field.name] for field in fields(Verdict)})
        self.seconds[identity] = evaluation["seconds"]

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _key(self, identity: str, task: TaskPlan, seed: int) -> OutcomeKey:
        return OutcomeKey(identity, task.name, seed, self.plan.steps)

    def _outcomes(self, wanted: Iterable[tuple[TaskPlan, int, dict[str, Trainee]]]) -> dict[OutcomeKey, Outcome]:
        """Outcomes, stored or trained now, of the candidates by identity that stand beside each task and seed."""
        found: dict[OutcomeKey, Outcome] = {}
        chunks: list[_Chunk] = []
        for task, seed, named in wanted:
            waiting: list[Trainee] = []
            for identity, one in named.items():
                key = self._key(identity, task, seed)
                stored = self.store.training(*key)
                if stored is None:
                    waiting.append(one)
                else:
                    found[key] = Outcome.from_json(stored)
            chunks += [_Chunk(task, seed, part) for part in cut(waiting, task.rows, mixed=self.plan.mixed)]
        self._train(chunks, found)
        return found

    def _train(self, chunks: list[_Chunk], found: dict[OutcomeKey, Outcome]) -> None:
        """Train chunks; retry the members of a failed one singly so that only the faulty candidate is penalised."""
        total = sum(len(chunk.candidates) for chunk in chunks)
        done, barren = 0, 0
        self._advance(0, total)
        while chunks:
            again: list[_Chunk] = []
            unborn: list[_Chunk] = []  # their worker was killed while it got ready

            def receive(index: int, reply: Reply, chunks: list[_Chunk] = chunks) -> None:
                nonlocal done
                chunk = chunks[index]
                if reply.status != "ok" and str(reply.value).startswith(SETUP_FAILED):
                    self._no_start(reply, barren)  # noqa: B023
                    unborn.append(chunk)  # noqa: B023
                    return
                if reply.status == "exception" and str(reply.value).startswith(_OURS):
                    raise RunFailed(f"{str(reply.value).removeprefix(_OURS)}; {self._again()}")
                if reply.status != "ok" and len(chunk.candidates) > 1:
                    again.extend(_Chunk(chunk.task, chunk.seed, (one,)) for one in chunk.candidates)  # noqa: B023
                    return
                rows = {self._key(self.identify(one), chunk.task, chunk.seed): row for one, row in _rows(chunk, reply)}
                self.store.save_trainings([(key, row.to_json()) for key, row in rows.items()])
                found.update(rows)
                done += len(rows)
                self._advance(done, total)

            jobs = [self.plan.job(chunk.task, chunk.seed, chunk.candidates) for chunk in chunks]
            engine = self._engine_for(chunks)
            engine.map(TRAIN, jobs, timeout=self.timeout, retries=1, on_result=receive)
            barren = barren + 1 if len(unborn) == len(chunks) else 0
            chunks = unborn + again

    def _no_start(self, reply: Reply, barren: int) -> None:
        """A worker that was killed while it got ready may be started again, for some rounds; else raises RunFailed."""
        if reply.status != "crashed" or barren >= BARREN_ROUNDS:
            raise RunFailed(f"a worker could not start: {reply.value}; {self._again()}")

    def _again(self) -> str:
        return f"go on with: symevo run --resume {self.store.folder}"

    def _engine_for(self, chunks: list[_Chunk]) -> Engine:
        if self._engine is None:
            first = chunks[0].candidates[0]
            warm = [self.plan.job(task, self.plan.seeds[0], [first]) for task in self.plan.tasks]
            self._engine = self._make_engine((WARM, warm))
        return self._engine


def _rows(chunk: _Chunk, reply: Reply) -> Iterable[tuple[Trainee, Outcome]]:
    if reply.status != "ok":
        return [(chunk.candidates[0], Outcome(reply.status, reply.value, seconds=reply.seconds))]
    seconds = reply.seconds / len(chunk.candidates)
    return [(one, replace(row, seconds=seconds)) for one, row in zip(chunk.candidates, reply.value, strict=True)]


def cut(candidates: Sequence[Any], rows: int, *, mixed: bool = False) -> list[tuple[Any, ...]]:
    """Cuts candidates into chunks of at most ``rows``, of one program each unless programs may be mixed."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for one in candidates:
        groups.setdefault(() if mixed else one.program.lines, []).append(one)
    return [tuple(group[at : at + rows]) for group in groups.values() for at in range(0, len(group), rows)]

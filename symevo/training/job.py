"""What crosses the border to a worker: a job of training, and the outcome of each of its candidates.

Kept light: the processes that only hand jobs on load neither torch nor the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple, Protocol


class Trainee(Protocol):
    """What a worker trains: a rule on a new network, a network that goes on, or controllers.

    ``to_json`` is rule JSON, or an object that holds it under ``rule``.
    """

    @property
    def program(self) -> Any: ...
    @property
    def identity(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...


class OutcomeKey(NamedTuple):
    """What tells the outcomes of one run from each other: candidate, task, training seed, training steps."""

    identity: str
    task: str
    seed: int
    steps: int


@dataclass(frozen=True)
class Row:
    """What a candidate of a job has of its own.

    Attributes:
        program: Its program, by its place in the job's.
        hyper: Its numbers.
        schedule: Its learning-rate schedule, as of :meth:`symevo.rules.schedule.Schedule.to_json`.
        more: Besides the rule: what :meth:`symevo.training.continued.Member.to_json` or
            :meth:`symevo.training.controllers.Controlled.to_json` says.
    """

    program: int
    hyper: Mapping[str, float]
    schedule: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """All that decides the outcomes of a chunk of candidates that train in one stack.

    Nothing is taken from a worker's own state, so a job may run anywhere, twice, or again after a crash.

    Attributes:
        task: Its name.
        stacking: How rows are stacked; None: the task's own choice.
        rows: Rows of the stack; those that are not needed are padding.
        seed: Training seed: initial weights, order of the data, masks.
        steps: Training steps.
        programs: The distinct programs of the candidates, each as its lines.
        candidates: One row each.
        split: The split that trained models are scored on.
        device: Where it runs.
        backend: One of :data:`symevo.rules.backends.base.BACKENDS`.
        threads: Threads of torch, on which bits depend.
        run_seed: Seed of the run, from which those of data and models are derived.
        data_dir: Where the user keeps data sets.
        plugins: Names of the modules of the user's files, imported already, whose tasks may be meant.
        weights: The folder of the snapshots of networks that go on, or None.
        prints: Fingerprints that tasks must have, by name, see :mod:`symevo.tasks.fingerprint`.
    """

    task: str
    stacking: str | None
    rows: int
    seed: int
    steps: int
    programs: tuple[tuple[str, ...], ...] = ()
    candidates: tuple[Row, ...] = ()
    split: str = "validation"
    device: str = "cpu"
    backend: str = "compiled"
    threads: int = 1
    run_seed: int = 0
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()
    weights: str | None = None
    prints: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, trainees: Iterable[Trainee], **how: Any) -> TrainingJob:
        """A job for some candidates; a program that several have is sent once."""
        programs: dict[tuple[str, ...], int] = {}
        rows = []
        for one in trainees:
            more = one.to_json()
            rule = more.pop("rule") if "rule" in more else more
            place = programs.setdefault(tuple(rule["program"]), len(programs))
            rows.append(Row(place, rule["hyper"], rule["schedule"], {} if rule is more else more))
        return cls(
            programs=tuple(programs), candidates=tuple(rows), **{**how, "plugins": tuple(how.get("plugins", ()))}
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingJob:
        """Reads :meth:`to_json`'s form, before JSON or after it."""
        lists = {
            "programs": tuple(map(tuple, data["programs"])),
            "candidates": tuple(Row(**row) for row in data["candidates"]),
            "plugins": tuple(data["plugins"]),
        }
        return cls(**{**data, **lists})


@dataclass(frozen=True, eq=False)
class Outcome(Mapping[str, Any]):
    """What became of one training; a mapping of its JSON form too, which fitness functions and reports read.

    Attributes:
        status: ``"ok"``, ``"diverged"``, or how the worker failed: see :class:`symevo.engines.base.Reply`.
        reason: Why, in one line; None where it is ok.
        metric: What the task counts, ``"accuracy"`` or ``"loss"``; None where nothing was trained. Then the JSON form
            has only status, reason and seconds.
        decades: Decades of the loss that count as full progress.
        loss: On the split, at the end; None where it is not finite.
        accuracy: On the split; None where the task has none.
        train_loss: Mean of the last 50 steps; None where the first one failed.
        initial_loss: Of the first batch.
        curve: Training losses, at most 50 of them, means over equal parts.
        probes: Loss and accuracy at each probe of a network that goes on.
        digest: That of its snapshot's file.
        peak: The highest accuracy of a training batch, of controllers.
        seconds: The candidate's share of the time that the job took.
    """

    status: str
    reason: str | None = None
    metric: str | None = None
    decades: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    train_loss: float | None = None
    initial_loss: float | None = None
    curve: tuple[float | None, ...] = ()
    probes: tuple[Mapping[str, float | None], ...] | None = None
    digest: str | None = None
    peak: float | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data; what does not apply is left out."""
        return dict(self._json)

    @cached_property
    def _json(self) -> dict[str, Any]:
        if self.metric is None:
            return {"status": self.status, "reason": self.reason, "seconds": self.seconds}
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        found |= {name: list(found[name]) for name in ("curve", "probes") if found[name] is not None}
        return {name: value for name, value in found.items() if value is not None or name not in _OPTIONAL}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Reads :meth:`to_json`'s form, also that of earlier versions."""
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        return cls(**{**known, **{name: tuple(known[name]) for name in ("curve", "probes") if known.get(name)}})

    def __getitem__(self, name: str) -> Any:
        return self._json[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._json)

    def __len__(self) -> int:
        return len(self._json)


_OPTIONAL = frozenset({"probes", "digest", "peak", "seconds"})

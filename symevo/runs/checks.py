"""What a stored run must look like: types of everything, and generations without a gap."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from symevo.settings.model import Settings


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation(Mapping[str, Any]):
    """One individual's evaluation over all tasks and seeds, as stored; also a mapping of its fields.

    ``status`` is ``"ok"`` or that of the first failed training. ``cached`` is 1 where the outcomes were known before.
    """

    gen: int
    place: int
    genome: Any
    rule: dict[str, Any]
    identity: str
    fitness: float
    status: str
    reason: str | None
    per_task: dict[str, float]
    seconds: float
    cached: int
    parents: list[list[int]]
    operator: str | None

    def __getitem__(self, name: str) -> Any:
        return vars(self)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


COLUMNS = tuple(field.name for field in fields(Evaluation))


class _Row(BaseModel):
    """Stored data, of exactly these types."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Task(_Row):
    name: str
    stacking: str
    rows: int = Field(ge=1)


class _Facts(_Row, extra="allow"):
    search: dict[str, Any]
    execution: dict[str, Any]
    tasks: list[_Task]


class _Outcome(_Row, extra="allow"):
    status: str
    reason: str | None
    seconds: float


class _Member(_Row):
    genome: Any
    fitness: float
    origin: list[int] = Field(min_length=2, max_length=2)


_TYPES: dict[str, Any] = {name: (kind, ...) for name, kind in get_type_hints(Evaluation).items()}
_Evaluation = create_model("_Evaluation", __base__=_Row, **_TYPES)


class _Record(_Row, extra="allow"):
    gen: int
    best: float
    mean: float
    evaluations: int
    cached: int
    seconds: float
    elapsed: float
    dropped: dict[str, int] = {}
    operators: dict[str, dict[str, int]] = {}


class _Scores(_Row, allow_inf_nan=False):
    loss: float | None
    accuracy: float | None = Field(ge=0, le=1)


class _Ranked(_Row):
    identity: str
    origin: list[int] = Field(min_length=2, max_length=2)
    validation: _Scores
    test: _Scores | None
    digest: str


class _Replays(_Row):
    losses: dict[str, list[float | None]]


def check_conclusion(ranking: Any, replays: Any, identities: Container[str]) -> None:
    """Raise ValueError where a ranking is not one of networks that were trained to their end, or replays are none."""
    _Replays.model_validate({"losses": replays})
    if not isinstance(ranking, list):
        raise ValueError("its ranking is no list")
    for one in ranking:
        if _Ranked.model_validate(one).identity not in identities:
            raise ValueError("its ranking names a network that was not evaluated")


def check_facts(data: Any) -> Settings:
    """The settings of a run from what was recorded about it; raises ValueError where that is not such settings."""
    facts = _Facts.model_validate(data)
    settings = Settings.model_validate({**facts.search, **facts.execution})
    if tuple(task.name for task in facts.tasks) != settings.tasks:
        raise ValueError("its tasks are not those of its settings")
    return settings


def check_outcomes(outcomes: Iterable[Any]) -> None:
    """Raise ValueError where the outcome of a training cannot be one."""
    for outcome in outcomes:
        _Outcome.model_validate(outcome)


def check_generations(
    settings: Settings, closed: list[tuple[int, Any, Any]], evaluations: Iterable[Evaluation]
) -> None:
    """Raise ValueError where generations have a gap, or lack an evaluation or an evaluated population."""
    found = list(evaluations)
    for one in found:
        _Evaluation.model_validate(dict(one))
    scored = {gen: list(group) for gen, group in groupby(found, lambda one: one.gen)}
    numbers = list(range(len(closed)))
    if [gen for gen, *_ in closed] != numbers or len(closed) > settings.generations:
        raise ValueError("its generations are not 0, 1, … in a row")
    if not scored.keys() <= set(numbers):
        raise ValueError("its evaluations are not those of its generations")
    scores: dict[tuple[int, int], Any] = {}
    for gen, record, population in closed:
        summary = _Record.model_validate(record)
        if summary.gen != gen:
            raise ValueError(f"the record of generation {gen} is of another one")
        born = scored.get(gen, [])  # none, where nothing new was worth training
        if [one.place for one in born] != list(range(summary.evaluations + summary.cached)):
            raise ValueError(f"generation {gen} has not one evaluation for each of its places")
        if any(set(one.per_task) != set(settings.tasks) for one in born):
            raise ValueError(f"an evaluation of generation {gen} has not one score for each task")
        scores |= {(gen, one.place): (one.genome, one.fitness) for one in born}
        people = [_Member.model_validate(one) for one in population]
        if len(people) != settings.population:
            raise ValueError(f"the population of generation {gen} has {len(people)} members")
        if any(scores.get((one.origin[0], one.origin[1])) != (one.genome, one.fitness) for one in people):
            raise ValueError(f"the population of generation {gen} is not one that was evaluated")


def one_line(error: Exception) -> str:
    """What is wrong, without the lines that pydantic adds."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)

"""What a run found: candidates, best and front, read from its folder in one go."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol

from symevo.errors import RuleError, UserError
from symevo.reporting.measures import operators, proposals
from symevo.reporting.text.tables import run_report
from symevo.rules.rule import Rule
from symevo.runs import FILE, Evaluation, Store
from symevo.runs.candidate import Candidate
from symevo.search.loops import CONTROL
from symevo.search.pareto import pareto_front, pick
from symevo.search.system import SYSTEMS, finds, no_rule
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from symevo.rules.timetable import Timetable

NETWORK = "best.safetensors"
"""The file of the best network's weights, in the folder of a run."""
TIMETABLE = "schedule.json"
"""The file of its numbers over time, where these changed."""


class Run:
    """A run on disk, with at least one closed generation.

    Args:
        path: Its folder.
        store: Its store, where that is open already; else it is opened, checked and closed.

    Attributes:
        path: Its folder.
        settings: All settings, as recorded.
        history: The generations' records.
        evaluations: All evaluations, as stored.
        versions: Of all that can change a number, when the run started.
        ranking: Where candidates are networks and the run has ended: what is left of them, best first.
        replays: Losses of new networks that were trained once more, by what they were trained under.
    """

    ranking: list[dict[str, Any]] = []  # noqa: RUF012  (never changed in place)
    replays: dict[str, list[float | None]] = {}  # noqa: RUF012

    def __init__(self, path: Path, store: Store | None = None) -> None:
        self.path = path
        with closing(Store.open(path)) if store is None else nullcontext(store) as opened:
            about = opened.about("settings")
            self.settings = Settings.model_validate({**about["search"], **about["execution"]})
            self.versions: dict[str, str] = opened.about("versions")
            self.history = opened.records()
            self.ranking, self.replays = opened.conclusion()
            self.evaluations = list(opened.evaluations())
            self._outcomes = opened.outcomes()
        first: dict[str, Evaluation] = {}
        for one in self.evaluations:
            first.setdefault(one.identity, one)
        self._distinct = list(first.values())

    def __str__(self) -> str:
        if not self.candidates:
            return f"{self.path}: no finished candidate yet"
        return (SYSTEMS.get(self.settings.system).report or run_report)(self)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, candidates={len(self.candidates)})"

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every distinct candidate that trained to its end, best first: by fitness, then by complexity, then by age.

        Networks are those that are left at the end, best first by the loss on the whole validation split.
        """
        tried = [one for one in self._distinct if one.status == "ok" and one.operator != CONTROL]
        found = [replace(candidate_of(one), settings=self.settings) for one in tried]
        if self.ranking:
            named = {one.identity: one for one in found}
            return [replace(named[entry["identity"]], network=entry) for entry in self.ranking]
        return sorted(found, key=lambda one: (-one.fitness, one.complexity))

    def training(self, identity: str, task: str, seed: int) -> dict[str, Any] | None:
        """The stored outcome of a training, or None."""
        found = self._outcomes.get((identity, task, seed))
        return None if found is None else json.loads(found)

    @cached_property
    def trials(self) -> list[Trial]:
        """All distinct trials of a search for numbers, best first; equal ones in the order in which they were made."""
        return sorted((_trial(self, one) for one in self._distinct), key=lambda one: -one.fitness)

    def lineage(self) -> list[dict[str, Any]]:
        """The best network's line, see :func:`lineage`."""
        return lineage(self, self.evaluations, self.settings, self.best.identity)

    @cached_property
    def structures(self) -> int:
        """How many different programs were evaluated, whatever their numbers."""
        return len({_rule(one).key for one in self._distinct})

    @property
    def best(self) -> Candidate:
        """The best candidate; UserError where no candidate trained to its end."""
        if not self.candidates:
            raise UserError(f"{self.path} holds no finished candidate yet: go on with symevo run --resume {self.path}")
        return self.candidates[0]

    def as_rule(self) -> Rule:
        """The best rule, as :func:`symevo.rule` takes it; UserError where the run has none."""
        if why := no_rule(self.settings, str(self.path)):
            raise UserError(why)
        return self.best.rule

    @cached_property
    def front(self) -> list[Candidate]:
        """Candidates that none beats in fitness, complexity and memory at once; of networks, the best one."""
        return self.candidates[:1] if self.ranking else pareto_front(self.candidates)

    def weights(self) -> dict[str, Tensor]:
        """The best network's weights by name: ``model.load_state_dict(run.weights())``.

        Of a member that trained one for each of several training seeds, that of the first.

        Raises:
            UserError: The run has no network, or its file is damaged.
        """
        from symevo.training.snapshots import read_tensors

        if not self.ranking:
            more = "it evolves rules" if finds(self.settings) == "rules" else "go on with it"
            raise UserError(f"{self.path} holds no network: {more}")
        return read_tensors(self.path / NETWORK, expected=self.ranking[0]["digest"])

    def timetable(self) -> Timetable:
        """The best network's numbers over time; UserError where they did not evolve, or the file is damaged."""
        from symevo.rules.timetable import Timetable

        if self.settings.mode != "dynamic":
            raise UserError(f"{self.path} holds no timetable: only runs of mode dynamic make one")
        return Timetable.load(self.path / TIMETABLE)

    @property
    def pick(self) -> Candidate | None:
        """The best trade of fitness for complexity in the front, see :func:`symevo.search.pareto.pick`."""
        return pick(self.front)

    def ranked(self, rank: int) -> Candidate:
        """One of the front, 1 the best; UserError where there is no such rank."""
        if not 1 <= rank <= len(self.front):
            self.best  # noqa: B018  (says so where there is none at all)
            raise SettingError("rank", f"{rank} is not in the front: give 1 to {len(self.front)}")
        return self.front[rank - 1]

    def entry(self, rank: int) -> dict[str, Any]:
        """One of the front as the command line's JSON has it."""
        one = self.ranked(rank)
        return {**one.to_json(), "rank": rank, "pick": one is self.pick}

    def summary(self) -> dict[str, Any]:
        """The command line's JSON object."""
        names = ("gen", "best", "mean", "evaluations", "seconds")
        entries = [self.entry(rank) for rank in range(1, len(self.front) + 1)]
        return {
            "system": self.settings.system,
            "run": str(self.path),
            "seed": self.settings.seed,
            "best": {**self.best.to_json(), **(entries[0] if entries else {})},
            "front": entries,
            "evaluations": sum(record["evaluations"] for record in self.history),
            "unique_structures": self.structures,
            "seconds": sum(record["seconds"] for record in self.history),
            "generations": [{name: record[name] for name in names} for record in self.history],
            "proposals": proposals(self.history),
            "operators": operators(self.history),
            **({"ranking": self.ranking} if self.ranking else {}),
            **({"replays": self.replays} if self.replays else {}),
            **({"timetable": self.timetable().to_json()} if (self.path / TIMETABLE).is_file() else {}),
        }


@dataclass(frozen=True)
class Trial:
    """Numbers that were tried, and how well a model learned with them.

    ``per_task`` has the mean loss and accuracy over seeds on the split that selects, None where there is none.
    ``train_loss`` is the mean over tasks and seeds at the end.
    """

    numbers: dict[str, float]
    identity: str
    gen: int
    fitness: float
    per_task: dict[str, tuple[float | None, float | None]]
    train_loss: float | None

    @property
    def loss(self) -> float | None:
        """Mean over tasks; None where a training did not end."""
        return mean([loss for loss, _ in self.per_task.values()])

    @property
    def accuracy(self) -> float | None:
        """Mean over tasks; None where one has none."""
        return mean([accuracy for _, accuracy in self.per_task.values()])


def _trial(run: Run, evaluation: Evaluation) -> Trial:
    identity, settings, ended = evaluation.identity, run.settings, evaluation.status == "ok"
    rows = {
        task: [run.training(identity, task, seed) if ended else None for seed in range(settings.seeds)]
        for task in settings.tasks
    }

    def of(name: str, outcomes: Iterable[Mapping[str, Any] | None]) -> float | None:
        return mean([(outcome or {}).get(name) for outcome in outcomes])

    return Trial(
        numbers=evaluation.genome,
        identity=identity,
        gen=evaluation.gen,
        fitness=evaluation.fitness,
        per_task={task: (of("loss", group), of("accuracy", group)) for task, group in rows.items()},
        train_loss=of("train_loss", chain.from_iterable(rows.values())),
    )


def mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is missing."""
    known = [value for value in values if value is not None]
    return fmean(known) if values and len(known) == len(values) else None


class Trained(Protocol):
    """Where outcomes are looked up: a run, or its store while it is written."""

    def training(self, identity: str, task: str, seed: int) -> dict[str, Any] | None: ...


def lineage(trained: Trained, evaluations: Iterable[Evaluation], settings: Settings, name: str) -> list[dict[str, Any]]:
    """Return a network's ancestors, oldest first, each with ``genome`` and its ``outcomes`` by training seed.

    Of two parents, the line follows the one with the larger share.
    """
    genomes = {one.identity: one.genome for one in evaluations}
    found: list[dict[str, Any]] = []
    before: str | None = name
    while before is not None:
        outcomes = [trained.training(before, settings.tasks[0], seed) for seed in range(settings.seeds)]
        found.append({"genome": genomes[before], "outcomes": outcomes})
        start = genomes[before]["start"]
        before = start["cross"][0 if start["share"] >= 0.5 else 1] if "cross" in start else start.get("copy")
    return found[::-1]


def run_folder(path: str | Path) -> Path:
    """The folder of a run, given as such or as the file in it."""
    path = Path(path)
    return path.parent if path.name == FILE and path.is_file() else path


def candidate_of(evaluation: Evaluation) -> Candidate:
    """Return the candidate of a stored evaluation; UserError where its rule cannot be read."""
    names = ("fitness", "per_task", "identity", "gen", "genome")
    return Candidate(_rule(evaluation), **{name: evaluation[name] for name in names})


def _rule(evaluation: Evaluation) -> Rule:
    """The rule of an evaluation; raises UserError where it cannot be read."""
    try:
        return Rule.from_json(evaluation.rule)
    except RuleError as error:
        made = "unknown function" in str(error)
        more = "; if a file of yours makes it, import that first (--tasks-from FILE.py)" if made else ""
        raise RuleError(f"a rule of the run cannot be read: {error}{more}") from None

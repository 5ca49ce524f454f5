"""What a run found: candidates, best and front, read from its folder."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.errors import RuleError, UserError
from symevo.reporting.measures import operators, proposals
from symevo.reporting.text.tables import run_report
from symevo.rules.rule import Rule
from symevo.runs import FILE, Store
from symevo.runs.candidate import Candidate
from symevo.search.evograd import CONTROL
from symevo.search.pareto import pareto_front, pick
from symevo.search.system import SYSTEMS, no_rule
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

    Attributes:
        path: Its folder.
        settings: All settings, as recorded.
        history: The generations' records.
        ranking: Where candidates are networks and the run has ended: what is left of them, best first.
        replays: Losses of new networks that were trained once more, by what they were trained under.
    """

    ranking: list[dict[str, Any]] = []  # noqa: RUF012  (never changed in place)
    replays: dict[str, list[float | None]] = {}  # noqa: RUF012

    def __init__(self, path: Path) -> None:
        self.path = path
        store = Store.open(path)
        try:
            about = store.about("settings")
            self.settings = Settings.model_validate({**about["search"], **about["execution"]})
            self.history = store.records()
            self.ranking, self.replays = store.conclusion()
            first: dict[str, dict[str, Any]] = {}
            for one in store.evaluations():
                first.setdefault(one["identity"], one)
        finally:
            store.close()
        self._distinct = list(first.values())

    def __str__(self) -> str:
        """The closing report, as ``symevo show`` prints it."""
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
        tried = [one for one in self._distinct if one["status"] == "ok" and one["operator"] != CONTROL]
        found = [replace(candidate_of(one), settings=self.settings) for one in tried]
        if self.ranking:
            named = {one.identity: one for one in found}
            return [replace(named[entry["identity"]], network=entry) for entry in self.ranking]
        return sorted(found, key=lambda one: (-one.fitness, one.complexity))

    @cached_property
    def structures(self) -> int:
        """How many different programs were evaluated, whatever their numbers."""
        return len({_rule(one).key for one in self._distinct})

    @property
    def best(self) -> Candidate:
        """The best candidate.

        Raises:
            UserError: No generation is closed, or no candidate trained to its end.
        """
        if not self.candidates:
            raise UserError(f"{self.path} holds no finished candidate yet: go on with symevo run --resume {self.path}")
        return self.candidates[0]

    def as_rule(self) -> Rule:
        """The best rule, as :func:`symevo.rule` takes it from a run or its folder.

        Raises:
            UserError: The run evolves no rules, or has no finished candidate yet.
        """
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
            more = (
                "it evolves rules" if not SYSTEMS.get(self.settings.system).phases(self.settings) else "go on with it"
            )
            raise UserError(f"{self.path} holds no network: {more}")
        return read_tensors(self.path / NETWORK, expected=self.ranking[0]["digest"])

    def timetable(self) -> Timetable:
        """The best network's numbers over time, where these evolved while it trained.

        Raises:
            UserError: They did not, or the file is damaged.
        """
        from symevo.rules.timetable import Timetable

        if self.settings.mode != "dynamic":
            raise UserError(f"{self.path} holds no timetable: only runs of mode dynamic make one")
        return Timetable.load(self.path / TIMETABLE)

    @property
    def pick(self) -> Candidate | None:
        """The best trade of fitness for complexity in the front, see :func:`symevo.search.pareto.pick`."""
        return pick(self.front)

    def ranked(self, rank: int) -> Candidate:
        """One of the front, 1 the best.

        Raises:
            UserError: The front has no such rank.
        """
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


def run_folder(path: str | Path) -> Path:
    """The folder of a run, given as such or as the file in it."""
    path = Path(path)
    return path.parent if path.name == FILE and path.is_file() else path


def candidate_of(evaluation: dict[str, Any]) -> Candidate:
    """The candidate of a stored evaluation.

    Raises:
        UserError: Its rule cannot be read, perhaps for lack of a primitive of the user's own.
    """
    names = ("fitness", "per_task", "identity", "gen", "genome")
    return Candidate(_rule(evaluation), **{name: evaluation[name] for name in names})


def _rule(evaluation: dict[str, Any]) -> Rule:
    """The rule of an evaluation.

    Raises:
        UserError: It cannot be read, perhaps for lack of a primitive of the user's own.
    """
    try:
        return Rule.from_json(evaluation["rule"])
    except RuleError as error:
        made = "unknown function" in str(error)
        more = "; if a file of yours makes it, import that first (--tasks-from FILE.py)" if made else ""
        raise RuleError(f"a rule of the run cannot be read: {error}{more}") from None

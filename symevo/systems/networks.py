"""What systems of networks share: their loop, the settings that they refuse, and their trainer.

After each generation the folder ``weights`` holds the networks of the population alone, so a killed run resumes from
them. The final population is ranked on whole splits, as scores on batches are noisy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from symevo.errors import RunFailed, UserError
from symevo.files import replace_file
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule
from symevo.rules.schedule import schedule
from symevo.runs import Store
from symevo.runs.run import NETWORK, Run, lineage, mean
from symevo.search.loops import or_infinite
from symevo.search.system import CustomLoop
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings

if TYPE_CHECKING:
    from symevo.tasks import Workload

WHOLE = 2**31 - 1
"""More samples than a split has."""
FOLDER = "weights"
"""Of the snapshots, in the folder of a run."""
REPLAYS = 5
"""New networks that the best line is trained on once more: the best of many is lucky with those that picked it."""


class NetworkLoop(CustomLoop):
    """A search among networks in training; its genome gives each a ``name``, and makes it go ``further``."""

    finds: ClassVar[str] = "networks"

    def stretch(self, phase: int) -> dict[str, Any]:
        """What networks go through in a phase: the fields of :class:`symevo.training.continued.Stretch`."""
        raise NotImplementedError

    def rivals(self, line: list[Any]) -> dict[str, list[Any]]:
        """Lines that are trained once more on new networks in the end, by name; ``line`` is the best network's."""
        return {}

    def trained(self, individual: Any) -> Any:
        from symevo.training.continued import Member, Stretch

        genome, stretch = self.search.genome, Stretch(**self.stretch(individual.phase))
        return Member(genome.name(individual), genome.express(individual), individual.start, individual.order, stretch)

    def rows(self, most: int) -> int:
        """An even share of the population, which is cut in two at least, for two workers."""
        size = self.settings.population
        return -(-size // max(2, -(-size // most)))

    def weights(self) -> str:
        return str((self.search.store.folder / FOLDER).absolute())

    def memory(self) -> Any:
        """The store, as far as the weights that it speaks of are there."""
        return _Kept(self.search.store, self.weights())

    def register(self) -> Any:
        """The toolbox, with what a loop among networks needs: how a network goes on, and what it lost."""
        toolbox = self.search.toolbox
        toolbox.register("further", self.search.genome.further)
        toolbox.register("losses", self.losses)
        return toolbox

    def opened(self, population: list[Any]) -> None:
        """Read the weights of the population, so that a damaged file is found at once."""
        for one in population:
            self._snapshots(one)

    def closed(self, population: list[Any]) -> None:
        """Remove all weights but those of the population."""
        kept = {path for one in population for path in self._files(one)}
        for path in Path(self.weights()).glob("*"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def conclude(self) -> None:
        """Ranks the networks that are left, writes the best, and trains its line once more on new networks."""
        from symevo.tasks.workload import workload_of

        search, plan = self.search, self.search.evaluator.plan
        task, population = plan.tasks[0], search.population()
        if self._concluded(population):
            return
        ranked = self._ranked(workload_of({**plan.common, "task": task.name, "stacking": task.stacking}), population)
        if not ranked:
            reasons = (search.evaluator.verdicts[search.decoded(one).identity].reason for one in population)
            why = next(reasons, None) or "nothing was trained"
            raise RunFailed(f"no network of the last generation trained to its end: {why}")
        replace_file(search.store.folder / NETWORK, ranked[0][1])
        replays = self._replays(ranked[0][0]["identity"])
        self.closed(population)
        search.store.conclude([entry for entry, _ in ranked], replays)

    def losses(self, individual: Any) -> list[float | None]:
        """Losses of a trained member, probe by probe, means over training seeds; None in each where it failed."""
        rows = [[probe["loss"] for probe in one["probes"]] for one in self._outcomes(individual)]
        return [mean(column) for column in zip(*rows, strict=True)] if rows else [None, None]

    def _concluded(self, population: Iterable[Any]) -> bool:
        """Whether this was done before, for this population, and what was written is there."""
        from symevo.training.snapshots import digest

        ranking, _ = self.search.store.conclusion()
        left = {self.search.decoded(one).identity for one in population if self._outcomes(one)}
        best = self.search.store.folder / NETWORK
        whole = bool(ranking) and best.is_file() and digest(best.read_bytes()) == ranking[0]["digest"]
        return whole and left == {one["identity"] for one in ranking}

    def _outcomes(self, individual: Any) -> list[dict[str, Any]]:
        """Outcomes of a member by training seed; none where one of its networks failed."""
        name, task = self.search.decoded(individual).identity, self.settings.tasks[0]
        found = [self.search.store.training(name, task, seed) or {} for seed in range(self.settings.seeds)]
        return found if all(one.get("status") == "ok" for one in found) else []

    def _files(self, individual: Any) -> list[Path]:
        """Where its networks lie, by training seed."""
        from symevo.training.snapshots import named, path_of

        name = self.search.decoded(individual).identity
        return [path_of(self.weights(), named(name, seed)) for seed in range(self.settings.seeds)]

    def _snapshots(self, individual: Any) -> list[Any]:
        """A member's networks by training seed; none where it failed. A missing or damaged file raises UserError."""
        from symevo.training.snapshots import read

        outcomes = self._outcomes(individual)
        files = self._files(individual)[: len(outcomes)]
        return [read(path, expected=one["digest"]) for path, one in zip(files, outcomes, strict=True)]

    def _ranked(self, workload: Workload, population: Iterable[Any]) -> list[tuple[dict[str, Any], bytes]]:
        """Entries of a ranking by the loss on the whole validation split, each with the file of its first network."""
        from symevo.training.continued import scores, state_dict
        from symevo.training.snapshots import digest, packed

        found: dict[str, tuple[dict[str, Any], bytes]] = {}
        for individual in population:
            name, snapshots = self.search.decoded(individual).identity, self._snapshots(individual)
            if snapshots and name not in found:
                rows = [scores(workload, one, threads=self.settings.threads) for one in snapshots]
                file = packed(state_dict(workload, snapshots[0]))
                entry = {"identity": name, "origin": individual.origin, "digest": digest(file), **_means(rows)}
                found[name] = entry, file
        return sorted(found.values(), key=lambda one: or_infinite(one[0]["validation"]["loss"]))

    def _replays(self, best: str) -> dict[str, list[float | None]]:
        """Losses of new networks, trained as the best one's line was and as its rivals are: phase by phase."""
        store, genome, settings = self.search.store, self.search.genome, self.settings
        line = [genome.from_json(one["genome"]) for one in lineage(store, store.evaluations(), settings, best)]
        lines = self.rivals(line)
        seeds = range(settings.seeds, settings.seeds + REPLAYS)
        found: dict[str, list[float | None]] = {}
        for phase in zip(*lines.values(), strict=True):
            outcomes = self.search.evaluator.more([self.trained(one) for one in phase], seeds)
            losses = [[one["loss"] if one["status"] == "ok" else None for one in group] for group in outcomes]
            found = dict(zip(lines, losses, strict=True))
        return found


def _means(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores by split, means over training seeds."""
    return {
        split: None if one is None else {name: mean([row[split][name] for row in found]) for name in one}
        for split, one in found[0].items()
    }


@dataclass(frozen=True)
class _Kept:
    """A store that forgets trainings whose weights are gone or damaged: they are made once more."""

    store: Store
    weights: str

    @property
    def folder(self) -> Path:
        return self.store.folder

    def save_trainings(self, trainings: Iterable[Any]) -> None:
        self.store.save_trainings(trainings)

    def training(self, identity: str, task: str, seed: int, *steps: int) -> dict[str, Any] | None:
        from symevo.training.snapshots import named, path_of, read

        outcome = self.store.training(identity, task, seed, *steps)
        if outcome is not None and "digest" in outcome:
            try:
                read(path_of(self.weights, named(identity, seed)), expected=outcome["digest"])
            except UserError:
                return None
        return outcome


def descent(run: Run) -> tuple[list[int], list[float]]:
    """Training losses along the best network's line: steps, and the mean loss of the stretch that ends there."""
    steps: list[int] = []
    losses: list[float] = []
    for one in run.lineage():
        curve = one["outcomes"][0]["curve"]
        start, length = one["genome"]["phase"] * run.settings.steps, run.settings.steps / len(curve)
        steps += [round(start + (at + 1) * length) for at in range(len(curve))]
        losses += curve
    return steps, losses


def one_task(settings: Settings) -> None:
    """Raise UserError for settings that mean nothing where the individuals are networks in training."""
    if len(settings.tasks) > 1:
        raise SettingError("tasks", f"names {len(settings.tasks)}: networks that go on are trained on one task")
    if settings.islands > 1:
        raise SettingError("islands", "means nothing where networks go on: their population is one; leave it out")
    if settings.fitness != "loss":
        why = f"{settings.fitness} means nothing where networks go on: they compete by their loss"
        raise SettingError("fitness", why)


def trained_by(settings: Settings, default: str) -> Rule:
    """The rule that a system trains with: setting ``rule`` or a classic, under setting ``schedule``."""
    try:
        rule = CLASSICS.get(default) if settings.rule is None else Rule.from_json(settings.rule, finite=True)
    except UserError as error:
        raise SettingError("rule", f": {error}") from None
    return rule if settings.schedule is None else replace(rule, schedule=schedule(settings.schedule))

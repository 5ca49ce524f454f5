"""The driver of a system that has a loop of its own, in which what is trained changes from phase to phase.

The driver of a search among networks in training: their weights are kept beside the store.

After each generation the folder ``weights`` holds the networks of the population, and nothing else; a run killed at any
moment goes on from them. The final population is ranked on whole splits, for scores on batches are noisy.

The driver of a search among controllers, whose scores count within a generation only.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.errors import RunFailed, UserError
from symevo.evolution.driver import Driver
from symevo.evolution.evaluator import Memory
from symevo.genomes.base import Decoded
from symevo.runs import Store
from symevo.runs.history import lineage, mean
from symevo.runs.run import NETWORK
from symevo.search.gadam import or_infinite
from symevo.search.loops import Generation
from symevo.search.system import Phases
from symevo.seeds import seed_for

if TYPE_CHECKING:
    from symevo.tasks import Workload
    from symevo.training.job import Outcome, OutcomeKey
from statistics import fmean

from symevo.runs.saving import controllers_file
from symevo.systems.evograd import FRESH


class PhasedDriver(Driver):
    """A :class:`symevo.evolution.driver.Driver` whose system says how individuals are searched and trained."""

    @property
    def phases(self) -> Phases:
        """What the system adds."""
        found = self.system.phases(self.settings)
        assert found is not None
        return found

    def trainee(self, individual: Any) -> Any:
        """What a worker gets, in the individual's phase."""
        return self.phases.trainee(self.settings, self.genome, individual)

    def decode(self, individual: Any) -> Decoded:
        """It is named as what is trained."""
        trained = self.trainee(individual)
        return Decoded(self.genome.to_json(individual), self.genome.express(individual), trained, trained.identity)

    def enough(self) -> bool:
        """Whether the system's own criterion is met."""
        return self.phases.enough(self.settings, self.store.records())

    def facts(self, generation: Generation) -> dict[str, Any]:
        """What the system notes of a generation."""
        return self.phases.facts(self.toolbox, generation)

    def population(self) -> list[Any]:
        """That of the last closed generation."""
        last = self.store.last_generation()
        return [self._individual(one, one["origin"]) for one in last[1]] if last else []

    def tools(self) -> None:
        """Registers what the system's loop needs in the toolbox."""

    def _generations(self, population: list[Any], past: list[list[Any]]) -> Iterator[Generation]:
        self.tools()
        return self.phases.search(
            self.toolbox,
            population,
            generations=self.settings.generations,
            seed=lambda gen: seed_for(self.settings.seed, "generation", gen),
            start=len(past),
        )

    def _first_population(self) -> list[Any]:
        random.seed(seed_for(self.settings.seed, "population"))  # not that of generation 0, whose children come next
        own = self.genome.seeded() if self.settings.classics else []
        drawn = [self.genome.create() for _ in range(self.settings.population - len(own))]
        for operator, group in (("seed", own), ("random", drawn)):
            for one in group:
                one.birth, one.bar = {"parents": [], "operator": operator}, None
        return [*own, *drawn]


FOLDER = "weights"


class LiveDriver(PhasedDriver):
    """A :class:`symevo.evolution.custom_loop.PhasedDriver` of networks; its genome gives each a ``name``."""

    def weights(self) -> str:
        """The folder of the snapshots."""
        return str((self.store.folder / FOLDER).absolute())

    def memory(self) -> Memory:
        """The store, as far as the weights that it speaks of are there."""
        return _Kept(self.store, self.weights())

    def conclude(self) -> None:
        """Ranks the networks that are left, writes the best, and trains its line once more on new networks.

        Raises:
            RunFailed: None of the last generation trained to its end.
        """
        from symevo.training.worker import workload_of

        plan = self.evaluator.plan
        task, population = plan.tasks[0], self.population()
        if self._concluded(population):
            return
        ranked = self._ranked(workload_of({**plan.common, "task": task.name, "stacking": task.stacking}), population)
        if not ranked:
            raise RunFailed(f"no network of the last generation trained to its end: {self._why(population)}")
        write_best(self.store.folder, ranked[0][1])
        replays = self._replays(ranked[0][0]["identity"])
        self._keep(population)
        self.store.conclude([entry for entry, _ in ranked], replays)

    def _concluded(self, population: Iterable[Any]) -> bool:
        """Whether this was done before, for this population, and what was written is there."""
        from symevo.training.snapshots import digest

        ranking, _ = self.store.conclusion()
        left = {self.genome.name(one) for one in population if self._outcomes(one)}
        best = self.store.folder / NETWORK
        whole = bool(ranking) and best.is_file() and digest(best.read_bytes()) == ranking[0]["digest"]
        return whole and left == {one["identity"] for one in ranking}

    def _why(self, population: Iterable[Any]) -> str:
        reasons = (self.evaluator.verdicts[self.genome.name(one)].reason for one in population)
        return next(reasons, None) or "nothing was trained"

    def losses(self, individual: Any) -> list[float | None]:
        """Losses of a trained member, probe by probe, means over training seeds; None in each where it failed."""
        rows = [[probe["loss"] for probe in one["probes"]] for one in self._outcomes(individual)]
        return [mean(column) for column in zip(*rows, strict=True)] if rows else [None, None]

    def tools(self) -> None:
        """How a network goes on, and what it lost."""
        self.toolbox.register("further", self.genome.further)
        self.toolbox.register("losses", self.losses)

    def _begin(self) -> tuple[list[Any], list[list[Any]], float]:
        """As any search, once the weights of the population have been read."""
        population, past, elapsed = super()._begin()
        for one in population if past else ():
            self._snapshots(one)
        return population, past, elapsed

    def _close(self, generation: Generation, known: set[str], *, seconds: float, elapsed: float) -> dict[str, Any]:
        record = super()._close(generation, known, seconds=seconds, elapsed=elapsed)
        self._keep(generation.population)
        return record

    def _keep(self, population: Iterable[Any]) -> None:
        """Removes all weights but those of a population."""
        kept = {path for one in population for path in self._files(one)}
        for path in Path(self.weights()).glob("*"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _outcomes(self, individual: Any) -> list[dict[str, Any]]:
        """Outcomes of a member by training seed; none where one of its networks failed."""
        name, task = self.genome.name(individual), self.settings.tasks[0]
        found = [self.store.training(name, task, seed) or {} for seed in range(self.settings.seeds)]
        return found if all(one.get("status") == "ok" for one in found) else []

    def _files(self, individual: Any) -> list[Path]:
        """Where its networks lie, by training seed."""
        from symevo.training.snapshots import named, path_of

        name = self.genome.name(individual)
        return [path_of(self.weights(), named(name, seed)) for seed in range(self.settings.seeds)]

    def _snapshots(self, individual: Any) -> list[Any]:
        """A member's networks by training seed; none where it failed.

        Raises:
            UserError: A file is missing or damaged.
        """
        from symevo.training.snapshots import read

        outcomes = self._outcomes(individual)
        files = self._files(individual)[: len(outcomes)]
        return [read(path, expected=one["digest"]) for path, one in zip(files, outcomes, strict=True)]

    def _ranked(self, workload: Workload, population: Iterable[Any]) -> list[tuple[dict[str, Any], bytes]]:
        """Entries of a ranking by the loss on the whole validation split, each with the file of its first network.

        The test split is only noted.
        """
        from symevo.training.continued import scores, state_dict
        from symevo.training.snapshots import digest, packed

        found: dict[str, tuple[dict[str, Any], bytes]] = {}
        for individual in population:
            name, snapshots = self.genome.name(individual), self._snapshots(individual)
            if snapshots and name not in found:
                rows = [scores(workload, one, threads=self.settings.threads) for one in snapshots]
                file = packed(state_dict(workload, snapshots[0]))
                entry = {"identity": name, "origin": individual.origin, "digest": digest(file), **_means(rows)}
                found[name] = entry, file
        return sorted(found.values(), key=lambda one: or_infinite(one[0]["validation"]["loss"]))

    def _replays(self, best: str) -> dict[str, list[float | None]]:
        """Losses of new networks, trained as the best one's line was and as its rivals are: phase by phase."""
        line = [self.genome.from_json(one["genome"]) for one in lineage(self.store, self.settings, best)]
        lines = self.phases.rivals(self.settings, self.genome, line)
        seeds = range(self.settings.seeds, self.settings.seeds + REPLAYS)
        found: dict[str, list[float | None]] = {}
        for phase in zip(*lines.values(), strict=True):
            outcomes = self.evaluator.more([self.trainee(one) for one in phase], seeds)
            losses = [[one["loss"] if one["status"] == "ok" else None for one in group] for group in outcomes]
            found = dict(zip(lines, losses, strict=True))
        return found


REPLAYS = 5
"""New networks that the best line is trained on once more: the best of many is lucky with those that picked it."""


def write_best(folder: Path, data: bytes) -> None:
    """Writes the best network's weights."""
    from symevo.training.snapshots import write_atomically

    write_atomically(folder / NETWORK, data)


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

    def save_trainings(self, trainings: Iterable[tuple[OutcomeKey, dict[str, Any]]]) -> None:
        self.store.save_trainings(trainings)

    def training(self, identity: str, task: str, seed: int, steps: int) -> dict[str, Any] | None:
        from symevo.training.snapshots import named, path_of, read

        outcome = self.store.training(identity, task, seed, steps)
        if outcome is not None and "digest" in outcome:
            try:
                read(path_of(self.weights, named(identity, seed)), expected=outcome["digest"])
            except UserError:
                return None
        return outcome


BEST, CONTROL = "the best controllers", "plain Adam"


class ScoringDriver(PhasedDriver):
    """A :class:`symevo.evolution.custom_loop.PhasedDriver` that ranks its last population on networks drawn anew.

    The best of many is lucky with the networks that picked it. So what is told of it comes from others, which it and
    plain Adam train once more.
    """

    def tools(self) -> None:
        """The individual that does nothing."""
        self.toolbox.register("control", lambda: self.genome.seeded()[0])

    def conclude(self) -> None:
        """Ranks the last population, writes the best controllers, and scores them on networks that did not pick them.

        Raises:
            RunFailed: None of it trained every network to its end.
        """
        from symevo.training.snapshots import digest

        population, end = self.population(), self.settings.generations
        self.progress.message(f"ranking the last population on {FRESH} networks drawn anew")
        scores = self._outcomes(population, range(end, end + FRESH))
        entries: dict[str, tuple[float, dict[str, Any], bytes]] = {}
        for individual, rows in zip(population, scores, strict=True):
            name = self.genome.name(individual)
            if name not in entries and all(row["status"] == "ok" for row in rows):
                file = controllers_file(individual.numbers, self.settings, individual.fitness.values[0])
                means = {key: fmean(row[key] for row in rows) for key in ("loss", "accuracy")}
                entry = {"identity": name, "origin": individual.origin, "digest": digest(file), "validation": means}
                entries[name] = means["accuracy"], {**entry, "test": None}, file
        if not entries:
            raise RunFailed("no controllers of the last generation trained every network to its end")
        ranked = sorted(entries.values(), key=lambda one: -one[0])
        write_best(self.store.folder, ranked[0][2])
        best = next(one for one in population if self.genome.name(one) == ranked[0][1]["identity"])
        self.progress.message(f"scoring the best, beside {CONTROL}, on {FRESH} others")
        rivals = self._outcomes([best, self.genome.seeded()[0]], range(end + FRESH, end + 2 * FRESH))
        replays = {
            name: [row["accuracy"] if row["status"] == "ok" else None for row in rows]
            for name, rows in zip((BEST, CONTROL), rivals, strict=True)
        }
        self.store.conclude([entry for _, entry, _ in ranked], replays)

    def _outcomes(self, individuals: list[Any], phases: range) -> list[list[Outcome]]:
        """Outcomes of individuals on the networks of these phases."""
        found: list[list[Outcome]] = [[] for _ in individuals]
        for phase in phases:
            moved = [self.genome.individual(one.numbers, phase) for one in individuals]
            outcomes = self.evaluator.more([self.trainee(one) for one in moved], [0])
            for rows, (outcome,) in zip(found, outcomes, strict=True):
                rows.append(outcome)
        return found

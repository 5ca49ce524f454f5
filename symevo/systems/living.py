"""The driver of a search among networks in training: their weights are kept beside the store.

After each generation the folder ``weights`` holds the networks of the population, and nothing else; a run killed at any
moment goes on from them. The final population is ranked on whole splits, for scores on batches are noisy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.errors import RunFailed, UserError
from symevo.rules.rule import Rule
from symevo.search.loops import Generation
from symevo.seeds import seed_for
from symevo.store import Store
from symevo.systems.base import Networks
from symevo.systems.driver import Driver
from symevo.systems.evaluation import Memory
from symevo.systems.result import NETWORK
from symevo.systems.trials import mean

if TYPE_CHECKING:
    from symevo.tasks import Workload

FOLDER = "weights"


class LiveDriver(Driver):
    """A :class:`symevo.systems.driver.Driver` of networks; its genome gives each a ``name``."""

    @property
    def networks(self) -> Networks:
        """What the system adds."""
        found = self.system.networks(self.settings)
        assert found is not None
        return found

    def weights(self) -> str:
        """The folder of the snapshots."""
        return str((self.store.folder / FOLDER).absolute())

    def trainee(self, individual: Any) -> Any:
        """The network to be."""
        from symevo.evaluate.growth import Member, Stretch

        stretch = Stretch(**self.networks.stretch(self.settings, individual.phase))
        rule: Rule = self.genome.express(individual)
        return Member(self.genome.name(individual), rule, individual.start, individual.order, stretch)

    def identify(self, trainee: Any) -> str:
        """The name of its weights."""
        return trainee.identity

    def memory(self) -> Memory:
        """The store, as far as the weights that it speaks of are there."""
        return _Kept(self.store, self.weights())

    def run(self) -> None:
        """Runs to the end, ranks the networks that are left, and writes the best."""
        from symevo.evaluate.worker import workload_of

        super().run()
        plan = self.evaluator.plan
        task = plan.tasks[0]
        self._conclude(workload_of({**plan.common, "task": task.name, "stacking": task.stacking}))

    def enough(self) -> bool:
        """Whether the system's own criterion is met."""
        return self.networks.enough(self.settings, self.store.records())

    def facts(self, generation: Generation) -> dict[str, Any]:
        """What the system notes of a generation."""
        return self.networks.facts(self.toolbox, generation)

    def losses(self, individual: Any) -> list[float | None]:
        """Losses of a trained member, probe by probe, means over training seeds; None in each where it failed."""
        rows = [[probe["loss"] for probe in one["probes"]] for one in self._outcomes(individual)]
        return [mean(column) for column in zip(*rows, strict=True)] if rows else [None, None]

    def _generations(self, population: list[Any], past: list[list[Any]]) -> Iterator[Generation]:
        self.toolbox.register("further", self.genome.further)
        self.toolbox.register("losses", self.losses)
        return self.networks.search(
            self.toolbox,
            population,
            generations=self.settings.generations,
            seed=lambda gen: seed_for(self.settings.seed, "generation", gen),
            start=len(past),
        )

    def _begin(self) -> tuple[list[Any], list[list[Any]], float]:
        """As any search, once the weights of the population have been read."""
        population, past, elapsed = super()._begin()
        for one in population if past else ():
            self._snapshots(one)
        return population, past, elapsed

    def _first_population(self) -> list[Any]:
        random.seed(seed_for(self.settings.seed, "generation", 0))
        own = self.genome.seeded() if self.settings.classics else []
        drawn = [self.genome.create() for _ in range(self.settings.population - len(own))]
        for operator, group in (("seed", own), ("random", drawn)):
            for one in group:
                one.birth, one.bar = {"parents": [], "operator": operator}, None
        return [*own, *drawn]

    def _close(self, generation: Generation, known: set[str], *, seconds: float, elapsed: float) -> dict[str, Any]:
        record = super()._close(generation, known, seconds=seconds, elapsed=elapsed)
        kept = {path for one in generation.population for path in self._files(one)}
        for path in Path(self.weights()).glob("*"):
            if path not in kept:
                path.unlink(missing_ok=True)
        return record

    def _outcomes(self, individual: Any) -> list[dict[str, Any]]:
        """Outcomes of a member by training seed; none where one of its networks failed."""
        name, task = self.genome.name(individual), self.settings.tasks[0]
        found = [self.store.training(name, task, seed) or {} for seed in range(self.settings.seeds)]
        return found if all(one.get("status") == "ok" for one in found) else []

    def _files(self, individual: Any) -> list[Path]:
        """Where its networks lie, by training seed."""
        from symevo.evaluate.snapshots import named, path_of

        name = self.genome.name(individual)
        return [path_of(self.weights(), named(name, seed)) for seed in range(self.settings.seeds)]

    def _snapshots(self, individual: Any) -> list[Any]:
        """A member's networks by training seed; none where it failed.

        Raises:
            UserError: A file is missing or damaged.
        """
        from symevo.evaluate.snapshots import read

        outcomes = self._outcomes(individual)
        files = self._files(individual)[: len(outcomes)]
        return [read(path, expected=one["digest"]) for path, one in zip(files, outcomes, strict=True)]

    def _conclude(self, workload: Workload) -> None:
        """Ranks the last population by the loss on the whole validation split; the test split is only noted.

        Raises:
            RunFailed: None of it trained to its end.
        """
        from symevo.evaluate.growth import scores, state_dict
        from symevo.evaluate.snapshots import digest, packed, write_atomically

        ranked: dict[str, tuple[float, dict[str, Any], bytes]] = {}
        last = self.store.last_generation()
        for stored in last[1] if last else ():
            individual = self._individual(stored, stored["origin"])
            name, snapshots = self.genome.name(individual), self._snapshots(individual)
            if not snapshots or name in ranked:
                continue
            found = [scores(workload, one, threads=self.settings.threads) for one in snapshots]
            file = packed(state_dict(workload, snapshots[0]))
            entry = {"identity": name, "origin": stored["origin"], "digest": digest(file), **_means(found)}
            ranked[name] = (entry["validation"]["loss"], entry, file)
        if not ranked:
            raise RunFailed("no network of the last generation trained to its end")
        order = sorted(ranked.values(), key=lambda one: math.inf if one[0] is None else one[0])
        write_atomically(self.store.folder / NETWORK, order[0][2])
        self.store.conclude([entry for _, entry, _ in order])


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

    def save_trainings(self, trainings: Iterable[tuple[str, str, int, dict[str, Any]]]) -> None:
        self.store.save_trainings(trainings)

    def training(self, identity: str, task: str, seed: int) -> dict[str, Any] | None:
        from symevo.evaluate.snapshots import named, path_of, read

        outcome = self.store.training(identity, task, seed)
        if outcome is not None and "digest" in outcome:
            try:
                read(path_of(self.weights, named(identity, seed)), expected=outcome["digest"])
            except UserError:
                return None
        return outcome

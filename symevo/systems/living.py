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
        """Losses of a trained network, probe by probe; None in each where it failed."""
        name = self.genome.name(individual)
        outcome = self.store.training(name, self.settings.tasks[0], 0) or {}
        if outcome.get("status") != "ok":
            return [None, None]
        return [probe["loss"] for probe in outcome["probes"]]

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
            self._snapshot(one)
        return population, past, elapsed

    def _first_population(self) -> list[Any]:
        random.seed(seed_for(self.settings.seed, "generation", 0))
        people = [self.genome.create() for _ in range(self.settings.population)]
        for one in people:
            one.birth, one.bar = {"parents": [], "operator": "random"}, None
        return people

    def _close(self, generation: Generation, known: set[str], *, seconds: float, elapsed: float) -> dict[str, Any]:
        record = super()._close(generation, known, seconds=seconds, elapsed=elapsed)
        kept = {f"{self.genome.name(one)}.safetensors" for one in generation.population}
        for path in (self.store.folder / FOLDER).glob("*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)
        return record

    def _snapshot(self, individual: Any) -> Any:
        """The network's snapshot; None where it failed.

        Raises:
            UserError: Its file is missing or damaged.
        """
        from symevo.evaluate.snapshots import path_of, read

        name = self.genome.name(individual)
        outcome = self.store.training(name, self.settings.tasks[0], 0) or {}
        if outcome.get("status") != "ok":
            return None
        return read(path_of(self.weights(), name), expected=outcome.get("digest"))

    def _conclude(self, workload: Workload) -> None:
        """Ranks the last population by the loss on the whole validation split; the test split is only noted.

        Raises:
            RunFailed: None of it trained to its end.
        """
        from symevo.evaluate.growth import named, scores
        from symevo.evaluate.snapshots import digest, packed, write_atomically

        ranked: list[tuple[float, dict[str, Any], Any]] = []
        last = self.store.last_generation()
        for stored in last[1] if last else ():
            individual = self._individual(stored, stored["origin"])
            name, snapshot = self.genome.name(individual), self._snapshot(individual)
            if snapshot is None or any(entry["identity"] == name for _, entry, _ in ranked):
                continue
            entry = {"identity": name, "origin": stored["origin"]}
            entry |= scores(workload, snapshot, threads=self.settings.threads)
            loss = entry["validation"]["loss"]
            ranked.append((math.inf if loss is None else loss, entry, snapshot))
        if not ranked:
            raise RunFailed("no network of the last generation trained to its end")
        ranked.sort(key=lambda one: one[0])
        files = [packed(named(workload, snapshot)) for _, _, snapshot in ranked]
        write_atomically(self.store.folder / NETWORK, files[0])
        entries = zip(ranked, files, strict=True)
        self.store.conclude([{**entry, "digest": digest(file)} for (_, entry, _), file in entries])


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
        from symevo.evaluate.snapshots import path_of, read

        outcome = self.store.training(identity, task, seed)
        if outcome is not None and "digest" in outcome:
            try:
                read(path_of(self.weights, identity), expected=outcome["digest"])
            except UserError:
                return None
        return outcome

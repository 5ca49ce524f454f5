"""The driver of a search: system + settings + store → generations, stored as they close."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from deap import tools

from symevo.engines import make_engine
from symevo.engines.base import Engine
from symevo.errors import RunFailed
from symevo.evolution.evaluator import Evaluator, Memory, TaskPlan
from symevo.evolution.planning import make_plan, polishing, seeded_individuals
from symevo.genomes.base import Decoded, carried
from symevo.reporting.progress import Progress
from symevo.reporting.text.tables import one_line
from symevo.runs import Store
from symevo.search.cma_es import polish
from symevo.search.islands import Islands
from symevo.search.loops import LOOPS, Gate, Generation, admitted, evolve, newcomer
from symevo.search.system import System
from symevo.search.toolbox import make_toolbox, statistics
from symevo.seeds import seed_for
from symevo.settings.model import Settings
from symevo.training.fitness import FITNESS


class Driver:
    """One search, from its first or its last closed generation to the end.

    Args:
        system: What to run.
        settings: All settings.
        tasks: How each task is trained, as recorded.
        prints: What each task is; a worker that finds another one refuses to train.
        store: Where everything goes, open.
        progress: Who is told.
        engine: Replaces the engine of the settings (a notebook's tasks need ``"inline"``).
    """

    def __init__(
        self,
        system: System,
        settings: Settings,
        *,
        tasks: tuple[TaskPlan, ...],
        prints: Mapping[str, Any],
        store: Store,
        progress: Progress,
        engine: str | None = None,
    ) -> None:
        self.system, self.settings, self.store, self.progress = system, settings, store, progress
        self.genome = system.genome(settings)
        self.engine = engine or settings.engine
        fitness = FITNESS.get(settings.fitness)
        self._identities: dict[str, str] = {}
        self.evaluator = Evaluator(
            lambda individual: self.decoded(individual).trained,
            make_plan(settings, tasks, prints, split=fitness.split, weights=self.weights()),
            fitness=fitness,
            store=self.memory(),
            make_engine=self._make_engine,
            advance=progress.advance,
            timeout=settings.eval_timeout,
            identify=self._identify,
        )
        self.gate = Gate(self.decoded, self.evaluator.verdicts.__contains__)
        self.toolbox = make_toolbox(self.genome, self.evaluator, tournament=settings.tournament)
        self.toolbox.register("accept", self.gate)
        self.toolbox.register("objectives", self._objectives)
        if settings.polish:
            self.toolbox.register("structure", self.genome.structure)
            self.toolbox.register("numbers", self.genome.numbers)
        self.logbook = tools.Logbook()
        self.hall = tools.HallOfFame(10, similar=lambda a, b: self.decoded(a).identity == self.decoded(b).identity)
        self._statistics = statistics()

    def decoded(self, individual: Any) -> Decoded:
        """What an individual stands for, as it carries it."""
        found = carried(self.genome, individual, self.decode)
        self._identities[found.trained.identity] = found.identity
        return found

    def _identify(self, trained: Any) -> str:
        own: str = trained.identity
        return self._identities.get(own, own)

    def decode(self, individual: Any) -> Decoded:
        """The same, made from its genes."""
        return self.genome.decode(individual)

    def weights(self) -> str | None:
        """The folder of the networks that go on, where a system has some."""
        return None

    def memory(self) -> Memory:
        """Where outcomes are looked up."""
        return self.store

    def run(self) -> None:
        """Runs to the end of the generations or of the time budget; every closed generation is stored.

        Raises:
            RunFailed: No candidate of the last generation trained to its end.
        """
        population, past, elapsed = self._begin()
        try:
            self._follow(self._generations(population, past), elapsed)
            self.conclude()
        finally:
            self.evaluator.close()
        if not len(self.hall):
            reasons = sorted({v.reason for v in self.evaluator.verdicts.values() if v.reason})
            raise RunFailed(f"no candidate trained to its end: {reasons[0] if reasons else 'nothing was trained'}")

    def conclude(self) -> None:
        """What is left to do when the last generation is closed."""

    def enough(self) -> bool:
        """Whether the closed generations are all that is needed."""
        return False

    def facts(self, generation: Generation) -> dict[str, Any]:
        """What a generation's record holds besides what all records do."""
        return {}

    def _generations(self, population: list[Any], past: list[list[Any]]) -> Iterator[Generation]:
        """The search, and after it the polishing, from the first generation that is not stored."""
        settings = self.settings
        first = settings.generations - polishing(settings)

        def seed(gen: int) -> int:
            return seed_for(settings.seed, "generation", gen)

        search = evolve(
            self.toolbox,
            population,
            loop=LOOPS.get(settings.loop)(),
            generations=first,
            seed=seed,
            elites=settings.elites,
            start=len(past),
            islands=Islands(settings.islands, settings.migrate_every),
        )
        if first == settings.generations:
            return search
        return polish(
            search, self.toolbox, population, past=past, first=first, generations=settings.generations, seed=seed
        )

    def _follow(self, loop: Iterator[Generation], elapsed: float) -> None:
        known, budget = set(self.evaluator.verdicts), self.settings.time_budget
        began, first = time.perf_counter(), elapsed
        if self.enough():
            return
        for generation in loop:
            now = first + time.perf_counter() - began
            record = self._close(generation, known, seconds=now - elapsed, elapsed=now)
            known = set(self.evaluator.verdicts)
            self.progress.generation(record | {"generations": self.settings.generations - 1})
            last, elapsed = now - elapsed, now
            if budget and elapsed + last > budget and generation.gen + 1 < self.settings.generations:
                self.progress.message(f"time budget of {budget:g} s: stopped after generation {generation.gen}")
                return
            if self.enough():
                self.progress.message(f"nothing changes any more: stopped after generation {generation.gen}")
                return

    def _begin(self) -> tuple[list[Any], list[list[Any]], float]:
        """Population, for each stored generation what polishing must know of it, and seconds spent so far."""
        last = self.store.last_generation()
        if last is None:
            return self._first_population(), [], 0.0
        record, population = last
        past: list[list[Any]] = [[] for _ in range(record["gen"] + 1)]
        for evaluation in self.store.evaluations():
            individual = self._individual(evaluation, [evaluation["gen"], evaluation["place"]])
            individual.birth = {"parents": evaluation["parents"], "operator": evaluation["operator"]}
            if polishing(self.settings):  # nothing else looks back
                past[evaluation["gen"]].append(individual)
            self.evaluator.recall(self.decoded(individual).identity, evaluation)
            if evaluation["status"] == "ok":
                self.hall.update([individual])
        return [self._individual(one, one["origin"]) for one in population], past, record["elapsed"]

    def _first_population(self) -> list[Any]:
        """The user's rules, the genome's own, and random individuals."""
        size = self.settings.population
        random.seed(seed_for(self.settings.seed, "generation", 0))
        own = self.genome.seeded() if self.settings.classics else []
        people = [*seeded_individuals(self.genome, self.settings), *own][:size]
        for one in people:
            one.birth, one.bar = {"parents": [], "operator": "seed"}, None
            self.gate(one)  # so that no newcomer repeats it
        while len(people) < size:
            people.append(admitted(self.toolbox, partial(newcomer, self.toolbox)) or newcomer(self.toolbox))
        return people

    def _individual(self, stored: Mapping[str, Any], origin: list[int]) -> Any:
        individual = self.genome.from_json(stored["genome"])
        individual.fitness.values = (stored["fitness"],)
        individual.origin = origin
        return individual

    def _objectives(self, individual: Any) -> tuple[float, float, float]:
        """Fitness, complexity and states; what did not train to its end is as large as can be."""
        fitness = individual.fitness.values[0]
        if fitness <= 0:
            return fitness, math.inf, math.inf
        rule = self.decoded(individual).rule
        return fitness, rule.complexity, len(rule.states)

    def _close(self, generation: Generation, known: set[str], *, seconds: float, elapsed: float) -> dict[str, Any]:
        gen, population, evaluated = generation
        rows = [self._evaluation(gen, one, known) for one in evaluated]
        self.hall.update([one for one, row in zip(evaluated, rows, strict=True) if row["status"] == "ok"])
        new = {row["identity"] for row in rows} - known
        record = {
            "gen": gen,
            **self._statistics.compile(population),
            "evaluations": len(new),
            "cached": len(rows) - len(new),
            "failed": sum(self.evaluator.verdicts[identity].status != "ok" for identity in new),
            "dropped": dict(sorted(self.gate.dropped.items())),
            "operators": self._operators(evaluated),
            "seconds": seconds,
            "elapsed": elapsed,
            **self.facts(generation),
        }
        self.gate.open()
        self.logbook.record(**record)
        people = [
            {"genome": self.decoded(one).genes, "fitness": one.fitness.values[0], "origin": one.origin}
            for one in population
        ]
        self.store.close_generation(record, people, rows)
        if not self.system.equations:
            return record
        best = one_line(self.decoded(self.hall[0]).rule, numbers=True) if len(self.hall) else "none yet"
        return record | {"rule": best}

    def _operators(self, evaluated: list[Any]) -> dict[str, dict[str, int]]:
        """How many children each operator made, how many were worth training, and how many beat their parents."""
        beats = [one for one in evaluated if one.bar is not None and one.bar < one.fitness.values[0]]
        better = Counter(one.birth["operator"] for one in beats)
        return {
            name: {"tried": tried, "valid": valid, "improved": better[name]}
            for name, (tried, valid) in sorted(self.gate.operators.items())
        }

    def _evaluation(self, gen: int, individual: Any, known: set[str]) -> dict[str, Any]:
        decoded = self.decoded(individual)
        identity = decoded.identity
        verdict = self.evaluator.verdicts[identity]
        return {
            "gen": gen,
            "place": individual.origin[1],
            "genome": decoded.genes,
            "rule": decoded.rule.to_json(),
            "identity": identity,
            "fitness": verdict.fitness,
            "status": verdict.status,
            "reason": verdict.reason,
            "per_task": verdict.per_task,
            "seconds": self.evaluator.seconds[identity],
            "cached": int(identity in known),
            "parents": individual.birth["parents"],
            "operator": individual.birth["operator"],
        }

    def _make_engine(self, setup: tuple[str, Any]) -> Engine:
        settings = self.settings
        workers = settings.workers if self.engine == settings.engine else None
        return make_engine(
            self.engine, workers=workers, setup=setup, threads=settings.threads, imports=settings.tasks_from
        )

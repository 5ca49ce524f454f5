"""The driver of a search: system + settings + store → generations, stored as they close."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from deap import tools

from symevo.engines import make_engine
from symevo.engines.base import Engine
from symevo.errors import RunFailed
from symevo.evolution.evaluator import Evaluator, TaskPlan
from symevo.evolution.planning import make_plan
from symevo.genomes.base import Decoded, carried
from symevo.reporting.progress import Progress
from symevo.reporting.text.tables import one_line
from symevo.runs import Evaluation, Store
from symevo.search.loops import Generation, OffspringFilter, make_toolbox, statistics
from symevo.search.system import System, polishing
from symevo.settings.model import Settings
from symevo.training.fitness import FITNESS


class Driver:
    """One search, from its first or its last closed generation to the end.

    ``tasks`` and ``prints`` are how each task is trained and what it is, as recorded; a worker that finds another task
    refuses to train. ``engine`` replaces that of the settings (a notebook's tasks need ``"inline"``).
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
        self.loop = system.loop(settings)
        self.loop.search = self
        fitness = FITNESS.get(settings.fitness)
        self._identities: dict[str, str] = {}
        self.evaluator = Evaluator(
            lambda individual: self.decoded(individual).trained,
            make_plan(settings, tasks, prints, split=fitness.split, weights=self.loop.weights()),
            fitness=fitness,
            store=self.loop.memory(),
            make_engine=self._make_engine,
            advance=progress.advance,
            timeout=settings.eval_timeout,
            identify=self._identify,
        )
        self.filter = OffspringFilter(self.decoded, self.evaluator.verdicts.__contains__)
        self.toolbox = make_toolbox(self.genome, self.evaluator, tournament=settings.tournament)
        self.toolbox.register("accept", self.filter)
        self.toolbox.register("objectives", self._objectives)
        if settings.polish:
            self.toolbox.register("structure", self.genome.structure)
            self.toolbox.register("numbers", self.genome.numbers)
        self.logbook = tools.Logbook()
        self.hall = tools.HallOfFame(10, similar=lambda a, b: self.decoded(a).identity == self.decoded(b).identity)
        self._statistics = statistics()

    def decoded(self, individual: Any) -> Decoded:
        """What an individual stands for, as it carries it."""
        found = carried(self.genome, individual, self.loop.decode)
        self._identities[found.trained.identity] = found.identity
        return found

    def _identify(self, trained: Any) -> str:
        own: str = trained.identity
        return self._identities.get(own, own)

    def population(self) -> list[Any]:
        """That of the last closed generation."""
        last = self.store.last_generation()
        return [self._individual(one, one["origin"]) for one in last[1]] if last else []

    def run(self) -> None:
        """Run to the end of the generations or of the time budget; RunFailed where no candidate trained to its end."""
        population, past, elapsed = self._begin()
        try:
            self._follow(self.loop.generations(population, past), elapsed)
            self.loop.conclude()
        finally:
            self.evaluator.close()
        if not len(self.hall):
            reasons = sorted({v.reason for v in self.evaluator.verdicts.values() if v.reason})
            raise RunFailed(f"no candidate trained to its end: {reasons[0] if reasons else 'nothing was trained'}")

    def _follow(self, loop: Iterator[Generation], elapsed: float) -> None:
        known, budget = set(self.evaluator.verdicts), self.settings.time_budget
        began, first = time.perf_counter(), elapsed
        records = self.store.records()
        if self.loop.enough(records):
            return
        for generation in loop:
            now = first + time.perf_counter() - began
            record = self._close(generation, known, seconds=now - elapsed, elapsed=now)
            records.append(record)
            known = set(self.evaluator.verdicts)
            self.progress.generation(record | {"generations": self.settings.generations - 1})
            last, elapsed = now - elapsed, now
            if budget and elapsed + last > budget and generation.gen + 1 < self.settings.generations:
                self.progress.message(f"time budget of {budget:g} s: stopped after generation {generation.gen}")
                return
            if self.loop.enough(records):
                self.progress.message(f"nothing changes any more: stopped after generation {generation.gen}")
                return

    def _begin(self) -> tuple[list[Any], list[list[Any]], float]:
        """Population, for each stored generation what polishing must know of it, and seconds spent so far."""
        last = self.store.last_generation()
        if last is None:
            return self.loop.first_population(), [], 0.0
        record, _ = last
        past: list[list[Any]] = [[] for _ in range(record["gen"] + 1)]
        for evaluation in self.store.evaluations():
            individual = self._individual(evaluation, [evaluation.gen, evaluation.place])
            individual.birth = {"parents": evaluation.parents, "operator": evaluation.operator}
            if polishing(self.settings):  # nothing else looks back
                past[evaluation.gen].append(individual)
            self.evaluator.recall(self.decoded(individual).identity, dict(evaluation))
            if evaluation.status == "ok":
                self.hall.update([individual])
        people = self.population()
        self.loop.opened(people)
        return people, past, record["elapsed"]

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
        self.hall.update([one for one, row in zip(evaluated, rows, strict=True) if row.status == "ok"])
        new = {row.identity for row in rows} - known
        record = {
            "gen": gen,
            **self._statistics.compile(population),
            "evaluations": len(new),
            "cached": len(rows) - len(new),
            "failed": sum(self.evaluator.verdicts[identity].status != "ok" for identity in new),
            "dropped": dict(sorted(self.filter.dropped.items())),
            "operators": self._operators(evaluated),
            "seconds": seconds,
            "elapsed": elapsed,
            **self.loop.facts(generation),
        }
        self.filter.open()
        self.logbook.record(**record)
        people = [
            {"genome": self.decoded(one).genes, "fitness": one.fitness.values[0], "origin": one.origin}
            for one in population
        ]
        self.store.close_generation(record, people, rows)
        self.loop.closed(population)
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
            for name, (tried, valid) in sorted(self.filter.operators.items())
        }

    def _evaluation(self, gen: int, individual: Any, known: set[str]) -> Evaluation:
        decoded = self.decoded(individual)
        return Evaluation(
            gen=gen,
            place=individual.origin[1],
            genome=decoded.genes,
            rule=decoded.rule.to_json(),
            identity=decoded.identity,
            **vars(self.evaluator.verdicts[decoded.identity]),
            seconds=self.evaluator.seconds[decoded.identity],
            cached=int(decoded.identity in known),
            **individual.birth,
        )

    def _make_engine(self, setup: tuple[str, Any]) -> Engine:
        settings = self.settings
        workers = settings.workers if self.engine == settings.engine else None
        return make_engine(
            self.engine, workers=workers, setup=setup, threads=settings.threads, imports=settings.tasks_from
        )

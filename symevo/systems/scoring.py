"""The driver of a search among controllers, whose scores count within a generation only."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from symevo.errors import RunFailed
from symevo.systems.evograd import FRESH
from symevo.systems.living import write_best
from symevo.systems.phased import PhasedDriver
from symevo.systems.saving import controllers_file

BEST, CONTROL = "the best controllers", "plain Adam"


class ScoringDriver(PhasedDriver):
    """A :class:`symevo.systems.phased.PhasedDriver` that ranks its last population on networks drawn anew.

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
        from symevo.evaluate.snapshots import digest

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

    def _outcomes(self, individuals: list[Any], phases: range) -> list[list[dict[str, Any]]]:
        """Outcomes of individuals on the networks of these phases."""
        found: list[list[dict[str, Any]]] = [[] for _ in individuals]
        for phase in phases:
            moved = [self.genome.individual(one.numbers, phase) for one in individuals]
            outcomes = self.evaluator.more([self.trainee(one) for one in moved], [0])
            for rows, (outcome,) in zip(found, outcomes, strict=True):
                rows.append(outcome)
        return found

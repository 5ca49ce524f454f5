"""The driver of a search among controllers, whose scores count within a generation only."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from symevo.errors import RunFailed
from symevo.systems.living import write_best
from symevo.systems.phased import PhasedDriver
from symevo.systems.saving import controllers_file

FRESH = 4
"""Phases beyond the last generation's in which the last population is scored once more, beside the control."""
BEST, CONTROL = "the best controllers", "plain Adam"


class ScoringDriver(PhasedDriver):
    """A :class:`symevo.systems.phased.PhasedDriver` that ranks its last population on networks drawn anew."""

    def tools(self) -> None:
        """The individual that does nothing."""
        self.toolbox.register("control", lambda: self.genome.seeded()[0])

    def conclude(self) -> None:
        """Ranks the last population, and writes the best controllers.

        Raises:
            RunFailed: None of it trained every network to its end.
        """
        from symevo.evaluate.snapshots import digest

        population = self.population()
        *scores, control = self._fresh([*population, self.genome.seeded()[0]])
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
        best = next(rows for one, rows in zip(population, scores, strict=True)
                    if self.genome.name(one) == ranked[0][1]["identity"])  # fmt: skip
        replays = {BEST: [row["accuracy"] for row in best], CONTROL: [row["accuracy"] for row in control]}
        self.store.conclude([entry for _, entry, _ in ranked], replays)

    def _fresh(self, individuals: list[Any]) -> list[list[dict[str, Any]]]:
        """Outcomes of individuals on networks that no generation saw."""
        found: list[list[dict[str, Any]]] = [[] for _ in individuals]
        for phase in range(self.settings.generations, self.settings.generations + FRESH):
            moved = [self.genome.individual(one.numbers, phase) for one in individuals]
            outcomes = self.evaluator.more([self.trainee(one) for one in moved], [0])
            for rows, (outcome,) in zip(found, outcomes, strict=True):
                rows.append(outcome)
        return found

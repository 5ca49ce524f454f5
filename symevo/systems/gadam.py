"""``gadam``: a population of networks that train, mate and compete (Zhang & Gouza, arXiv 1805.07500).

::

    for gen in 0, 1, …:
        train each network; score them on a batch V, and on another, V′
        P = softmax(−L̂), L̂ the losses on V normalised to [0, 1]
        children = [mutate(mate(i, j)) for pairs i, j drawn by P, with replacement]
        train the children; score them on V′
        networks = the best of networks + children on V′

A generation costs two stretches of training for each network of the population. What evolves is weights
(:mod:`symevo.genomes.weights`), and any rule trains them (setting ``rule``). The result is a network:
``best.safetensors`` in the run's folder holds its weights under the names of the user's model.

The paper leaves open how long networks train between two selections (``steps``), how losses are normalised (by their
range), θ (``stop_below``), the size of its batches for scoring (``score_batch``), what of Adam's state a child inherits
(``inherit``), and how a negative mutation rate is meant (as 0). It scores on samples of the training set and mutates
weights to draws from U(0, 1): so does preset ``paper``. Preset ``default`` scores on the validation split and mutates
by small Gaussian noise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from symevo.errors import UserError
from symevo.genomes.weights import PRESETS, Weights
from symevo.reporting.text.runs import networks_report
from symevo.runs.run import Run
from symevo.search.loops import Generation, born, child_of, evaluate, or_infinite, random_individual
from symevo.search.system import SYSTEMS, Say, System
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.systems.networks import WHOLE, NetworkLoop, descent, one_task, trained_by


def genome(settings: Settings) -> Weights:
    """The genome of a run; raises UserError for a setting that networks cannot have, or a rule that is none."""
    one_task(settings)
    if settings.seeds > 1:
        raise SettingError("seeds", "means nothing to gadam: its population is one of networks; leave it out")
    preset = "paper" if settings.preset == "paper" else "default"
    said = {"mutation": settings.mutation, "noise": settings.noise, "scale": settings.noise_scale,
            "inherit": settings.inherit}  # fmt: skip
    crossover = replace(PRESETS[preset], **{name: value for name, value in said.items() if value is not None})
    return Weights(preset, rule=trained_by(settings, "adam"), crossover=crossover)


class GadamLoop(NetworkLoop):
    """The networks of a generation, then their children."""

    @property
    def individuals(self) -> int:
        return 2 * self.settings.population

    def stretch(self, phase: int) -> dict[str, Any]:
        """The older networks go through the even phases, their children through the odd ones."""
        settings, gen = self.settings, phase // 2
        split, size = settings.score_split, settings.score_batch or WHOLE
        drawn = [(split, size, seed_for("probe", which, gen) % 2**31) for which in ("selection", "survival")]
        return {
            "seed": seed_for("stretch", phase) % 2**31,
            "first": 0,
            "clock": phase * settings.steps,
            "total": 2 * settings.generations * settings.steps,
            "probes": tuple(drawn if phase % 2 == 0 else drawn[1:]),
        }

    def generation(self, population: list[Any], gen: int) -> Generation:
        return gadam(self.register(), population, gen)

    def facts(self, generation: Generation) -> dict[str, Any]:
        return facts(self.search.toolbox, generation)

    def enough(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the summed loss changed by no more than θ (``stop_below``) in the last generation (equation 13)."""
        threshold = self.settings.stop_below
        if threshold is None or len(records) < 2:
            return False
        before, now = (record["summed_loss"] for record in records[-2:])
        return None not in (before, now) and abs(now - before) <= threshold


def normalised(losses: Sequence[float | None]) -> list[float]:
    """L̂: losses scaled to [0, 1] over the population, the best 0; infinite for networks that failed (None)."""
    good = [loss for loss in losses if loss is not None]
    low, high = (min(good), max(good)) if good else (0.0, 0.0)
    return [math.inf if one is None else (one - low) / (high - low) if high > low else 0.0 for one in losses]


def chances(normal: Sequence[float]) -> list[float]:
    """P(i) = e^(−L̂ᵢ) / Σⱼ e^(−L̂ⱼ) (equation 8); 0 for networks that failed, and for all where all did."""
    weights = [math.exp(-loss) for loss in normal]
    total = math.fsum(weights)
    return [weight / (total or 1.0) for weight in weights]


def gadam(toolbox: Any, population: list[Any], gen: int) -> Generation:
    """Make a generation of new networks, or of those that the last one left.

    The toolbox has ``individual`` (a new network), ``further`` (the network that goes on from a trained one, in a
    phase), ``losses`` (of a trained one, by probe: V where it was scored there, V′ last; None: it failed), ``mate``,
    ``mutate``, ``clone``, ``map`` and ``evaluate``.
    """
    elders = [_elder(toolbox, one, 2 * gen) for one in population] if gen else population
    evaluate(toolbox, elders, gen)
    normal = normalised([toolbox.losses(one)[0] for one in elders])
    for one, loss, chance in zip(elders, normal, chances(normal), strict=True):
        one.loss, one.chance = loss, chance
    children = [_child(toolbox, elders, 2 * gen + 1) for _ in elders if min(normal) < math.inf]
    evaluate(toolbox, children, gen, place=len(elders))
    population = sorted([*elders, *children], key=lambda one: or_infinite(toolbox.losses(one)[-1]))[: len(elders)]
    return Generation(gen, population, [*elders, *children])


def facts(toolbox: Any, generation: Generation) -> dict[str, Any]:
    """Return a generation's record of how children fared, with losses on V′.

    ``adopted`` is the share of survivors that are children; ``summed_loss`` is None where one failed;
    ``elders`` and ``children`` are the lowest and the mean loss of each.
    """
    _, population, evaluated = generation
    grown, born = evaluated[: len(population)], evaluated[len(population) :]
    newborn = {id(one) for one in born}
    losses = [toolbox.losses(one)[-1] for one in population]
    return {
        "adopted": sum(id(one) in newborn for one in population) / len(population),
        "summed_loss": None if None in losses else math.fsum(losses),
        "elders": _lowest_and_mean(toolbox, grown),
        "children": _lowest_and_mean(toolbox, born),
    }


def _elder(toolbox: Any, one: Any, phase: int) -> Any:
    """The network that goes on; a new one in the place of one that failed."""
    failed = toolbox.losses(one)[-1] is None
    found = random_individual(toolbox) if failed else born(toolbox.further(one, phase), "train", one)
    found.phase = phase
    return found


def _child(toolbox: Any, elders: Sequence[Any], phase: int) -> Any:
    child = child_of(toolbox, *random.choices(elders, [one.chance for one in elders], k=2), progress=0.0)
    child.phase = phase
    return child


def _lowest_and_mean(toolbox: Any, individuals: Sequence[Any]) -> list[float | None]:
    losses = [loss for one in individuals if (loss := toolbox.losses(one)[-1]) is not None]
    return [min(losses), math.fsum(losses) / len(losses)] if losses else [None, None]


def finish(run: Run, say: Say) -> None:
    """Draw the figures of the paper: loss by step, score by generation, the share of children that survive."""
    from symevo.reporting.figures import by_generation, by_step, shares

    folder, title = run.path / "figures", f"{run.settings.system} on {run.settings.tasks[0]}"
    losses = {
        f"{kind}, {how}": [record[key][at] for record in run.history]
        for kind, key in (("parents", "elders"), ("children", "children"))
        for at, how in enumerate(("best", "mean"))
    }
    adopted = {"adopted": [record["adopted"] for record in run.history]}
    try:
        by_generation(folder, "scores", losses, ylabel="loss", title=title, logy=True)
        shares(folder, "adopted", adopted, ylabel="children among the survivors", title=title)
        by_step(folder, "loss", {"best network's line": descent(run)}, ylabel="training loss", title=title)
    except (OSError, UserError) as error:  # the run itself is safe
        say(f"cannot draw all figures in {run.path}: {getattr(error, 'strerror', None) or error}")


SYSTEMS.register(
    "gadam",
    System(
        name="gadam",
        description="networks that train, mate and compete; the result is a network's weights",
        genome=genome,
        loop=GadamLoop,
        report=networks_report,
        finish=finish,
    ),
)  # fmt: skip

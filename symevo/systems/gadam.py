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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from symevo.errors import UserError
from symevo.genomes.weights import PRESETS, Weights
from symevo.reporting.text.runs import networks_report
from symevo.runs.run import Run
from symevo.search.loops import Generation, evaluate, or_infinite
from symevo.search.system import SYSTEMS, Say, System
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.systems.networks import WHOLE, NetworkLoop, descent, one_task, trained_by


def genome(settings: Settings) -> Weights:
    """The genome of a run.

    Raises:
        UserError: A setting that a population of networks cannot have, or a rule that is none.
    """
    one_task(settings)
    if settings.seeds > 1:
        raise SettingError("seeds", "means nothing to gadam: its population is one of networks; leave it out")
    preset = "paper" if settings.preset == "paper" else "default"
    said = {"mutation": settings.mutation, "noise": settings.noise, "scale": settings.noise_scale}
    said["inherit"] = settings.inherit
    crossover = replace(PRESETS[preset], **{name: value for name, value in said.items() if value is not None})
    return Weights(preset, rule=trained_by(settings, "adam"), crossover=crossover)


def stretch(settings: Settings, phase: int) -> dict[str, Any]:
    """What the networks of a phase go through: the older ones in the even phases, their children in the odd ones."""
    gen, size = phase // 2, settings.score_batch or WHOLE
    split = settings.score_split
    drawn = [(split, size, seed_for("probe", which, gen) % 2**31) for which in ("selection", "survival")]
    return {
        "seed": seed_for("stretch", phase) % 2**31,
        "first": 0,
        "clock": phase * settings.steps,
        "total": 2 * settings.generations * settings.steps,
        "probes": tuple(drawn if phase % 2 == 0 else drawn[1:]),
    }


class GadamLoop(NetworkLoop):
    """The networks of a generation, then their children."""

    @property
    def individuals(self) -> int:
        """Networks and children."""
        return 2 * self.settings.population

    def stretch(self, phase: int) -> dict[str, Any]:
        """See :func:`stretch`."""
        return stretch(self.settings, phase)

    def generations(self, population: list[Any], past: list[list[Any]]) -> Iterator[Generation]:
        """See :func:`gadam`."""
        count = self.settings.generations
        return gadam(self.register(), population, generations=count, seed=self.seed, start=len(past))

    def facts(self, generation: Generation) -> dict[str, Any]:
        """See :func:`facts`."""
        return facts(self.search.toolbox, generation)

    def enough(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the population has settled, setting ``stop_below``."""
        return settled(records, self.settings.stop_below)


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


def gadam(
    toolbox: Any,
    population: list[Any],
    *,
    generations: int,
    seed: Callable[[int], int],
    start: int = 0,
) -> Iterator[Generation]:
    """Runs the search.

    Args:
        toolbox: With ``individual`` (a new network), ``further`` (the network that goes on from a trained one, in a
            phase), ``losses`` (of a trained one, by probe: V where it was scored there, V′ last; None: it failed),
            ``mate``, ``mutate``, ``clone``, ``map`` and ``evaluate``.
        population: New networks; after a resume those of generation ``start`` − 1.
        generations: How many at most.
        seed: Gives the seed of Python's ``random`` for each generation.
        start: Number of the first generation to make.
    """
    for gen in range(start, generations):
        random.seed(seed(gen))
        elders = [_elder(toolbox, one, 2 * gen) for one in population] if gen else population
        evaluate(toolbox, elders, gen)
        normal = normalised([toolbox.losses(one)[0] for one in elders])
        for one, loss, chance in zip(elders, normal, chances(normal), strict=True):
            one.loss, one.chance = loss, chance
        children = [_child(toolbox, elders, 2 * gen + 1) for _ in elders if min(normal) < math.inf]
        evaluate(toolbox, children, gen, place=len(elders))
        population = sorted([*elders, *children], key=lambda one: or_infinite(toolbox.losses(one)[-1]))[: len(elders)]
        yield Generation(gen, population, [*elders, *children])


def facts(toolbox: Any, generation: Generation) -> dict[str, Any]:
    """What a record of a generation holds besides: how its children fared, and what may stop the search.

    Returns:
        ``adopted``, the share of survivors that are children; ``summed_loss``, that of the survivors on V′, None where
        one failed; ``elders`` and ``children``, the lowest and the mean loss among each on V′.
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


def settled(records: Sequence[Mapping[str, Any]], threshold: float | None) -> bool:
    """Whether the population's summed loss changed by no more than θ in the last generation (equation 13)."""
    if threshold is None or len(records) < 2:
        return False
    before, now = (record["summed_loss"] for record in records[-2:])
    return None not in (before, now) and abs(now - before) <= threshold


def _elder(toolbox: Any, one: Any, phase: int) -> Any:
    """The network that goes on; a new one in the place of one that failed."""
    failed = toolbox.losses(one)[-1] is None
    found = toolbox.individual() if failed else toolbox.further(one, phase)
    found.phase, found.bar = phase, None
    found.birth = {"parents": [], "operator": "random"} if failed else {"parents": [one.origin], "operator": "train"}
    return found


def _child(toolbox: Any, elders: Sequence[Any], phase: int) -> Any:
    first, second = random.choices(elders, [one.chance for one in elders], k=2)
    child, _ = toolbox.mate(toolbox.clone(first), toolbox.clone(second))
    (child,) = toolbox.mutate(child, progress=0.0)
    del child.fitness.values
    child.phase, child.bar = phase, max(first.fitness.values[0], second.fitness.values[0])
    child.birth = {"parents": [first.origin, second.origin], "operator": "mate+mutate"}
    return child


def _lowest_and_mean(toolbox: Any, individuals: Sequence[Any]) -> list[float | None]:
    losses = [loss for one in individuals if (loss := toolbox.losses(one)[-1]) is not None]
    return [min(losses), math.fsum(losses) / len(losses)] if losses else [None, None]


def finish(run: Run, say: Say) -> None:
    """Draws losses by step and by generation, and the share of children that survive."""
    try:
        draw(run.path / "figures", run)
    except (OSError, UserError) as error:  # the run itself is safe
        say(f"cannot draw all figures in {run.path}: {getattr(error, 'strerror', None) or error}")


def draw(folder: Path, run: Run) -> None:
    """The figures of the paper: loss by step, score by generation, adoption rate.

    Raises:
        UserError: A figure cannot be written.
    """
    from symevo.reporting.figures import by_generation, by_step, shares

    title = f"{run.settings.system} on {run.settings.tasks[0]}"
    losses = {
        f"{kind}, {how}": [record[key][at] for record in run.history]
        for kind, key in (("parents", "elders"), ("children", "children"))
        for at, how in enumerate(("best", "mean"))
    }
    by_generation(folder, "scores", losses, ylabel="loss", title=title, logy=True)
    shares(
        folder, "adopted", {"adopted": [record["adopted"] for record in run.history]},
        ylabel="children among the survivors", title=title,
    )  # fmt: skip
    by_step(folder, "loss", {"best network's line": descent(run)}, ylabel="training loss", title=title)


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

"""GADAM: networks that train with a rule, mate, and compete with their children (Zhang & Gouza, arXiv 1805.07500).

::

    for gen in 0, 1, …:
        train each network; score them on a batch V, and on another, V′
        P = softmax(−L̂), L̂ the losses on V normalised to [0, 1]
        children = [mutate(mate(i, j)) for pairs i, j drawn by P, with replacement]
        train the children; score them on V′
        networks = the best of networks + children on V′

A generation costs two stretches of training for each network of the population.

Losses of networks, some of which failed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from symevo.search.loops import Generation, evaluate


def or_infinite(loss: float | None) -> float:
    """The loss; infinite for a network that did not train to its end (None), so that it is last in any order."""
    return math.inf if loss is None else loss


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

"""``gadam``: a population of networks that train, mate and compete (Zhang & Gouza, arXiv 1805.07500).

What evolves is weights (:mod:`symevo.genomes.weights`), any rule trains them (setting ``rule``), the loop is
:mod:`symevo.search.gadam`. The result is a network: ``best.safetensors`` in the run's folder holds its weights under
the names of the user's model.

The paper leaves open how long networks train between two selections (``steps``), how losses are normalised (by their
range), θ (``stop_below``), the size of its batches for scoring (``score_batch``), what of Adam's state a child inherits
(``inherit``), and how a negative mutation rate is meant (as 0). It scores on samples of the training set and mutates
weights to draws from U(0, 1): so does preset ``paper``. Preset ``default`` scores on the validation split and mutates
by small Gaussian noise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from symevo.genomes.weights import PRESETS, Weights
from symevo.reporting.text.runs import networks_report
from symevo.search import gadam as loop
from symevo.search.system import SYSTEMS, Phases, System
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.systems.networks import WHOLE, finish, member, one_task, trained_by


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
    heredity = replace(PRESETS[preset], **{name: value for name, value in said.items() if value is not None})
    return Weights(preset, rule=trained_by(settings, "adam"), heredity=heredity)


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


SYSTEMS.register(
    "gadam",
    System(
        name="gadam",
        description="networks that train, mate and compete; the result is a network's weights",
        genome=genome,
        report=networks_report,
        phases=lambda settings: Phases(
            search=loop.gadam,
            trainee=lambda settings, genome, one: member(genome, one, stretch(settings, one.phase)),
            individuals=lambda settings: 2 * settings.population,
            facts=loop.facts,
            enough=lambda settings, records: loop.settled(records, settings.stop_below),
        ),
        finish=finish,
    ),
)

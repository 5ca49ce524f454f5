"""EvoGrad's controllers as a DEAP individual: 3,375 numbers, evolved and never trained.

Source: "EvoGrad" (its published code fills what the text leaves open). Where numbers lie, and what they do, stands in
:mod:`symevo.evograd.layout`.
"""

from __future__ import annotations

import base64
import binascii
import random
from typing import Any

import numpy as np
from deap import creator

from symevo.errors import UserError
from symevo.evograd.layout import SIZE, SLICES, initial
from symevo.genomes.base import FITNESS, GENOMES, Genes, Genome, check_keys, check_whole
from symevo.registry import nearest
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule

RATE = 0.02
"""Share of a tensor's entries that a mutation changes."""
STRENGTHS = (1.0, 0.001)
"""One of them, each with p = ½, is a mutation's variance (Gaussian noise) or half its reach (triangular)."""
NOISES = ("gaussian", "triangular")
_BYTES = 4 * SIZE


class Controllers(Genes):
    """The genes: float32 numbers ``[3375]``, see :data:`symevo.evograd.layout.SLICES`.

    ``phase`` is the generation whose random task they are scored on.
    """

    def __init__(self, numbers: np.ndarray, phase: int = 0) -> None:
        self.numbers, self.phase = np.array(numbers, np.float32), phase

    def genes(self) -> dict[str, Any]:
        """The numbers as little-endian float32 in base 64, and the phase."""
        return {"numbers": base64.b64encode(self.numbers.astype("<f4").tobytes()).decode(), "phase": self.phase}


creator.create("ControllersIndividual", Controllers, fitness=FITNESS)


@GENOMES.register("controllers")
class ControllersGenome(Genome):
    """Controllers of the update; the presets differ in nothing but what a system makes of them.

    Args:
        preset: ``"default"`` or ``"paper"``.
        noise: ``"gaussian"`` (the paper's) or ``"triangular"``, s·2·(U − U′), as the published code has it.
    """

    individual = creator.ControllersIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time

    def __init__(self, preset: str = "default", *, noise: str = "gaussian") -> None:
        super().__init__(preset)
        if noise not in NOISES:
            raise UserError(f"unknown noise {noise!r}: {nearest(str(noise), list(NOISES))}")
        self.noise = noise
        self.operators = {"mate_entries": self.mate, "mutate_tensor": self.mutate}

    def create(self) -> Any:
        """Linear weights from N(0, 0.02²), their biases 0, the LSTM as torch starts it."""
        return self.individual(initial(random.getrandbits(63)))

    def seeded(self) -> list[Any]:
        """Zeros: plain Adam."""
        return [self.individual(np.zeros(SIZE, np.float32))]

    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Each entry changes places with p = ½."""
        swapped = _generator().random(SIZE) < 0.5
        a.numbers, b.numbers = np.where(swapped, b.numbers, a.numbers), np.where(swapped, a.numbers, b.numbers)
        return a, b

    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        """Add noise to one in fifty entries, and at least one, of one tensor, drawn in proportion to its size."""
        generator = _generator()
        entry = int(generator.integers(SIZE))
        start, stop = next((one.start, one.stop) for one in SLICES if one.start <= entry < one.stop)
        hit = generator.random(stop - start) < RATE
        if not hit.any():
            hit[generator.integers(stop - start)] = True
        strength = STRENGTHS[int(generator.integers(2))]
        individual.numbers[start:stop][hit] += self._drawn(generator, strength, int(hit.sum()))
        return (individual,)

    def express(self, individual: Any) -> Rule:
        """Adam: what the controllers correct. Their corrections are no formula of the rule language."""
        return CLASSICS.get("adam")

    def from_rule(self, rule: Rule) -> Any | None:
        """The controllers that do nothing, where the rule is Adam."""
        return self.seeded()[0] if rule.identity == CLASSICS.get("adam").identity else None

    def from_json(self, data: Any) -> Any:
        check_keys(data, ("numbers", "phase"), "controllers are an object with the keys numbers and phase")
        try:
            raw = base64.b64decode(data["numbers"], validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise UserError("controllers' numbers are float32 in base 64") from None
        if len(raw) != _BYTES:
            raise UserError(f"controllers are {SIZE:,} numbers of four bytes, not {len(raw)} bytes")
        individual = self.individual(np.frombuffer(raw, "<f4"), data["phase"])
        self.validate(individual)
        return individual

    def validate(self, individual: Any) -> None:
        if individual.numbers.shape != (SIZE,) or not np.isfinite(individual.numbers).all():
            raise UserError(f"controllers are {SIZE:,} finite numbers")
        check_whole("phase", individual.phase)

    def _drawn(self, generator: np.random.Generator, strength: float, count: int) -> np.ndarray:
        if self.noise == "gaussian":
            return np.float32(strength**0.5) * generator.standard_normal(count, np.float32)
        return np.float32(2 * strength) * (generator.random(count, np.float32) - generator.random(count, np.float32))


def _generator() -> np.random.Generator:
    """Draw what Python's ``random``, which a search seeds, would take too long to draw."""
    return np.random.default_rng(random.getrandbits(64))

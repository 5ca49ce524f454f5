"""The genes of a term sum, their bounds, and their plain form.

The term sum that arXiv 2512.11853 found, as its code prints it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from symevo.errors import UserError
from symevo.genomes.base import Genes, check_flags, check_number

PUBLISHED: dict[str, Any] = {
    "terms": [4, 4, 3, 3],
    "alphas": [0.41205802174892475, 0.32238621456272765, 2.0030004279455267, 1.6322011630060542],
    "lr": 10**-2.9198932483267144,
    "beta1": 0.8553020861538518,
    "beta2": 0.9357561078635277,
    "eps": 10**-8.26423960220415,
    "weight_decay": 10**-3.0112238437153316,
    "bias_correction": False,
    "use_warmup": True,
    "warmup": 100,
    "cosine": True,
}
"""Genes for ``TermSum("paper").individual(**PUBLISHED)``, a step along 0.7344·sign g + 3.6352·m/(√v + ε)."""


TERMS = ("grad", "momentum", "rms", "adam", "sign", "sqrt", "nesterov")
"""The seven primitive terms; a gene of ``terms`` is an index into this."""

GRAD, MOMENTUM, RMS, ADAM, SIGN, SQRT, NESTEROV = range(len(TERMS))
MAX_TERMS = 4
NUMBERS = ("lr", "beta1", "beta2", "eps", "weight_decay", "clip_value", "warmup")
FLAGS = ("use_m", "use_v", "bias_correction", "use_wd", "clipping", "use_warmup", "cosine")


@dataclass(eq=False)
class TermSumGenes(Genes):
    """A weighted sum of terms with hyperparameters and a schedule; the defaults are the published ones.

    lr, eps and weight_decay are drawn and mutated on a log scale, but kept as they are: 10**log10(x) is not x in
    floating point, and a user's rule must come back with the numbers it came with.

    Attributes:
        terms: Types, indices into :data:`TERMS`, each with its weight in ``alphas``.
        weight_decay: Decoupled, per step as a fraction of lr.
        use_m: Off: m = g.
        use_v: Off: v = g².
        bias_correction: Corrects the states in use.
        use_wd: Whether weights decay at all; always on in the paper preset.
        clipping: Clamps g element-wise to ±clip_value.
        warmup: Linear, if ``use_warmup``: steps (an int, paper preset) or a fraction of all steps (default preset).
        cosine: Cosine decay to 0 over all steps.
    """

    terms: list[int]
    alphas: list[float]
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-4
    use_m: bool = True
    use_v: bool = True
    bias_correction: bool = True
    use_wd: bool = True
    clipping: bool = False
    clip_value: float = 1.0
    use_warmup: bool = False
    warmup: float = 100
    cosine: bool = False

    def genes(self) -> dict[str, Any]:
        """All fields by name; terms by theirs, so that a stored genome can be read."""
        return {**asdict(self), "terms": [TERMS[kind] for kind in self.terms]}


@dataclass(frozen=True)
class Limits:
    """The bounds of a preset; ``steps`` makes warmup a number of steps, ``distinct`` allows each term type once."""

    numbers: Mapping[str, tuple[float, float]]
    steps: bool
    optional_decay: bool
    distinct: bool

    def clamp(self, name: str, value: float) -> float:
        """``value``, or the bound that it passes."""
        low, high = self.numbers[name]
        return min(max(value, low), high)

    def holds(self, name: str, value: float) -> bool:
        low, high = self.numbers[name]
        return low <= value <= high

    def check(self, genes: TermSumGenes) -> None:
        """Raise UserError where a gene is out of bounds; it names the gene, its value and its bounds."""
        self._check_terms(genes.terms, genes.alphas)
        for name in NUMBERS:
            check_number(name, getattr(genes, name), *self.numbers[name])
        check_flags(genes, FLAGS)
        if self.steps and not isinstance(genes.warmup, int):
            raise UserError(f"gene warmup must be a whole number of steps in this preset, not {genes.warmup!r}")
        if not (self.optional_decay or genes.use_wd):
            raise UserError("gene use_wd must be true in this preset: its weight decay cannot be switched off")

    def _check_terms(self, terms: Any, alphas: Any) -> None:
        if not isinstance(terms, list) or not isinstance(alphas, list) or len(terms) != len(alphas):
            raise UserError("genes terms and alphas must be lists of one length")
        if not 1 <= len(terms) <= MAX_TERMS:
            raise UserError(f"a term sum has 1 to {MAX_TERMS} terms, not {len(terms)}")
        for kind in terms:
            if isinstance(kind, bool) or not isinstance(kind, int) or not 0 <= kind < len(TERMS):
                raise UserError(f"a term is a whole number from 0 to {len(TERMS) - 1}, not {kind!r}")
        if self.distinct and len(set(terms)) < len(terms):
            raise UserError("each term type may stand only once in this preset")
        for alpha in alphas:
            check_number("alpha", alpha, *self.numbers["alpha"])


def merged(terms: list[int], alphas: list[float]) -> dict[int, float]:
    """The coefficient of each type, in order of types: equal types are added (and rounded once), zeros dropped."""
    sums = {kind: math.fsum(a for t, a in zip(terms, alphas, strict=True) if t == kind) for kind in sorted(set(terms))}
    return {kind: alpha for kind, alpha in sums.items() if alpha != 0}

"""The recommended operators of the term sum: the published ones with their flaws repaired."""

from __future__ import annotations

import math
import random
from typing import Any

from symevo.genomes.term_sum.genes import ADAM, FLAGS, MAX_TERMS, MOMENTUM, RMS, TERMS, Limits, TermSumGenes
from symevo.genomes.term_sum.paper import PaperOperators


class DefaultOperators(PaperOperators):
    """What it repairs, and how.

    - *An α can never change sign, although 7 in 24 random genomes have only negative ones*, which climb the
      loss: a picked α takes a step of N(0, σ) as often as the published factor, so it can pass through 0
      where that does least harm; and a draw whose every α is negative is turned around.
    - *Weight decay can never be 0*: it has a flag, ``use_wd``, that is drawn with p = ½, flips like the
      others and is off in the seeded SGD, Adam and RMSProp, as their names promise.
    - *Clip value and warmup length never mutate*: both do, within wider bounds.
    - *A warmup of 50 to 200 steps means something else in another budget*: its length is a fraction of all
      steps.
    - *Crossover can never give one term, so genomes bloat to four*: the cuts are uniform over all pairs
      that leave a term, so lengths drift around 2.3 where the
      published ones reach 3.7.
    - *Redundant terms*: each type stands once. Terms are drawn without replacement, added and changed to a
      type that the genome lacks, and after a crossover equal types are averaged (a sum would double α when
      alike parents mate).
    """

    limits = Limits(
        numbers={**PaperOperators.limits.numbers, "clip_value": (0.01, 100.0), "warmup": (0.01, 0.5)},
        steps=False,
        optional_decay=True,
        distinct=True,
    )

    def create(self) -> dict[str, Any]:
        """As published, but for distinct terms, their signs, the decay flag and a warmup in [0.1, 0.4]."""
        genes = super().create()
        count = len(genes["terms"])
        genes["terms"] = random.sample(range(len(TERMS)), count)
        if all(alpha < 0 for alpha in genes["alphas"]):
            genes["alphas"] = [-alpha for alpha in genes["alphas"]]
        genes["use_wd"] = random.random() < 0.5
        genes["warmup"] = random.uniform(0.1, 0.4)  # 50 to 200 of the published 500 steps
        return genes

    def seeds(self) -> list[dict[str, Any]]:
        """SGD with momentum, Adam, AdamW and RMSProp as torch's users know them: only AdamW decays."""
        plain: dict[str, Any] = {"warmup": 0.1, "use_wd": False}
        sgd: dict[str, Any] = {"terms": [MOMENTUM], "lr": 1e-2, "use_v": False, "bias_correction": False}
        rms: dict[str, Any] = {"terms": [RMS], "beta2": 0.99, "use_m": False, "bias_correction": False}
        adam: dict[str, Any] = {"terms": [ADAM]}
        adamw: dict[str, Any] = {"terms": [ADAM], "use_wd": True, "weight_decay": 1e-2}
        return [{**plain, "alphas": [1.0], **seed} for seed in (sgd, adam, adamw, rms)]

    def mate_terms(self, a: TermSumGenes, b: TermSumGenes) -> tuple[Any, Any]:
        """A[:i] + B[j:] with (i, j) uniform over all pairs that leave a term; equal types averaged, cut to 4.

        The second child is the same with the parents exchanged and cuts of its own.
        """
        first, second = _cross(a, b), _cross(b, a)
        (a.terms, a.alphas), (b.terms, b.alphas) = first, second
        return a, b

    def mutate_hyper(self, genes: TermSumGenes, *, progress: float) -> tuple[Any]:
        """As published, and with p = 0.35d each: clip value ·10^N(0, σ), warmup + N(0, 0.2σ); clamped."""
        super().mutate_hyper(genes, progress=progress)
        d = 1 - 0.5 * progress
        if random.random() < 0.35 * d:
            self.move(genes, "clip_value", genes.clip_value * 10 ** random.gauss(0, 0.3 * d))
        if random.random() < 0.35 * d:
            self.move(genes, "warmup", genes.warmup + random.gauss(0, 0.06 * d))
        return (genes,)

    def noisy(self, alpha: float, sigma: float) -> float:
        """The published factor or, as often, a step of N(0, σ) that can change the sign."""
        return super().noisy(alpha, sigma) if random.random() < 0.5 else alpha + random.gauss(0, sigma)

    def free_types(self, genes: TermSumGenes) -> list[int]:
        """Types that the genome lacks."""
        return [kind for kind in range(len(TERMS)) if kind not in genes.terms]

    def flags(self) -> tuple[str, ...]:
        """All seven."""
        return FLAGS


def _cross(a: TermSumGenes, b: TermSumGenes) -> tuple[list[int], list[float]]:
    heads, tails = range(len(a.terms) + 1), range(len(b.terms) + 1)
    head, tail = random.choice([(i, j) for i in heads for j in tails if i or j < len(b.terms)])
    found: dict[int, list[float]] = {}
    for kind, alpha in zip(a.terms[:head] + b.terms[tail:], a.alphas[:head] + b.alphas[tail:], strict=True):
        found.setdefault(kind, []).append(alpha)
    terms = list(found)[:MAX_TERMS]
    return terms, [math.fsum(found[kind]) / len(found[kind]) for kind in terms]

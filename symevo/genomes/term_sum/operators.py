"""The operators of the term sum: the published ones (arXiv 2512.11853 and its code), flaws included, and ours."""

from __future__ import annotations

import math
import random
from typing import Any

from symevo.genomes.base import cross_uniformly, flip
from symevo.genomes.term_sum.genes import ADAM, FLAGS, MAX_TERMS, MOMENTUM, NUMBERS, RMS, TERMS, Limits, TermSumGenes


class PaperOperators:
    """Draws and operators with the published probabilities.

    With d = 1 − 0.5·progress: numbers change with p = 0.35d, the structure with 0.15d, each flag flips with 0.1d, and
    the noise has σ = 0.3d. Clip value and warmup length never mutate: their bounds are those of the draw.
    """

    limits = Limits(
        numbers={
            "alpha": (-5.0, 5.0),
            "lr": (1e-5, 1e-1),
            "beta1": (0.0, 0.999),
            "beta2": (0.0, 0.9999),
            "eps": (1e-10, 1e-4),
            "weight_decay": (1e-6, 1e-2),
            "clip_value": (0.5, 2.0),
            "warmup": (50, 200),
        },
        steps=True,
        optional_decay=False,
        distinct=False,
    )
    flags = tuple(flag for flag in FLAGS if flag != "use_wd")

    def create(self) -> dict[str, Any]:
        """Genes of the initial distribution, as keywords."""
        count = random.randint(1, 3)
        return {
            "terms": [random.randrange(len(TERMS)) for _ in range(count)],
            "alphas": [random.uniform(-1, 1) for _ in range(count)],
            "lr": 10 ** random.uniform(-4, -2),
            "beta1": random.uniform(0.5, 0.99),
            "beta2": random.uniform(0.9, 0.9999),
            "eps": 10 ** random.uniform(-9, -6),
            "weight_decay": 10 ** random.uniform(-5, -3),
            "use_m": random.random() < 0.7,
            "use_v": random.random() < 0.7,
            "bias_correction": random.random() < 0.6,
            "clipping": random.random() < 0.2,
            "clip_value": random.uniform(0.5, 2),
            "use_warmup": random.random() < 0.3,
            "warmup": random.randint(50, 200),
            "cosine": random.random() < 0.3,
        }

    def seeds(self) -> list[dict[str, Any]]:
        """SGD, Adam, AdamW and RMSProp; unstated genes have the published defaults, so all four decay."""
        return [
            {"terms": [MOMENTUM], "alphas": [1.0], "lr": 1e-2, "use_v": False, "bias_correction": False},
            {"terms": [ADAM], "alphas": [1.0]},
            {"terms": [ADAM], "alphas": [1.0], "weight_decay": 1e-2},
            {"terms": [RMS], "alphas": [1.0], "beta2": 0.99, "use_m": False, "bias_correction": False},
        ]

    def mate_terms(self, a: TermSumGenes, b: TermSumGenes) -> tuple[Any, Any]:
        """One-point crossover by :meth:`cross`; for the second child the parents change places."""
        (a.terms, a.alphas), (b.terms, b.alphas) = self.cross(a, b), self.cross(b, a)
        return a, b

    def cross(self, a: TermSumGenes, b: TermSumGenes) -> tuple[list[int], list[float]]:
        """Terms A[:i] + B[j:], i in 1..K_A, j in 0..K_B−1, cut to 4, each with its α."""
        head, tail = random.randint(1, len(a.terms)), random.randint(0, len(b.terms) - 1)
        terms, alphas = a.terms[:head] + b.terms[tail:], a.alphas[:head] + b.alphas[tail:]
        return terms[:MAX_TERMS], alphas[:MAX_TERMS]

    def mate_hyper(self, a: TermSumGenes, b: TermSumGenes) -> tuple[Any, Any]:
        """Uniform crossover: every number and flag changes places with p = ½."""
        return cross_uniformly(a, b, (*NUMBERS, *FLAGS))

    def mutate_hyper(self, genes: TermSumGenes, *, progress: float) -> tuple[Any]:
        """Each with p = 0.35d: lr, eps, weight decay ·10^N(0, σ); β1 + N(0, 0.2σ), β2 + N(0, 0.1σ)."""
        d = 1 - 0.5 * progress
        sigma = 0.3 * d
        for name in ("lr", "eps", "weight_decay"):
            if random.random() < 0.35 * d:
                self.move(genes, name, getattr(genes, name) * 10 ** random.gauss(0, sigma))
        for name, share in (("beta1", 0.2), ("beta2", 0.1)):
            if random.random() < 0.35 * d:
                self.move(genes, name, getattr(genes, name) + random.gauss(0, share * sigma))
        return (genes,)

    def move(self, genes: TermSumGenes, name: str, value: float) -> None:
        """Set a number, clamped to its bounds."""
        setattr(genes, name, self.limits.clamp(name, value))

    def mutate_alphas(self, genes: TermSumGenes, *, progress: float) -> tuple[Any]:
        """Each α ← α·exp(N(0, σ)) with p = 0.35d, clamped; its sign never changes."""
        d = 1 - 0.5 * progress
        genes.alphas = [
            self.limits.clamp("alpha", self.noisy(alpha, 0.3 * d)) if random.random() < 0.35 * d else alpha
            for alpha in genes.alphas
        ]
        return (genes,)

    def noisy(self, alpha: float, sigma: float) -> float:
        """An α that was picked for mutation, changed."""
        return alpha * random.lognormvariate(0, sigma)

    def mutate_terms(self, genes: TermSumGenes, *, progress: float) -> tuple[Any]:
        """With p = 0.15d one of add, remove, change type; what is impossible does nothing."""
        if random.random() < 0.15 * (1 - 0.5 * progress):
            random.choice((self.add_term, self.remove_term, self.change_term))(genes)
        return (genes,)

    def add_term(self, genes: TermSumGenes) -> None:
        """Add a term of a random type with α from U(−1, 1)."""
        if len(genes.terms) < MAX_TERMS:
            genes.terms = [*genes.terms, random.choice(self.free_types(genes))]
            genes.alphas = [*genes.alphas, random.uniform(-1, 1)]

    def remove_term(self, genes: TermSumGenes) -> None:
        """Drop a random term; the last one stays."""
        if len(genes.terms) > 1:
            gone = random.randrange(len(genes.terms))
            genes.terms = [kind for index, kind in enumerate(genes.terms) if index != gone]
            genes.alphas = [alpha for index, alpha in enumerate(genes.alphas) if index != gone]

    def change_term(self, genes: TermSumGenes) -> None:
        """Give a random term a random type and keep its α."""
        index = random.randrange(len(genes.terms))
        genes.terms = [*genes.terms[:index], random.choice(self.free_types(genes)), *genes.terms[index + 1 :]]

    def free_types(self, genes: TermSumGenes) -> list[int]:
        """Types that a new or changed term may take: all, whether the genome has them or not."""
        return list(range(len(TERMS)))

    def mutate_flags(self, genes: TermSumGenes, *, progress: float) -> tuple[Any]:
        """Each of ``flags`` flips with p = 0.1d."""
        flip(genes, self.flags, 0.1 * (1 - 0.5 * progress))
        return (genes,)


class DefaultOperators(PaperOperators):
    """What it repairs, and how.

    - *An α can never change sign, although 7 in 24 random genomes have only negative ones*, which climb the
      loss: a picked α takes a step of N(0, σ) as often as the published factor, so it can pass through 0
      where that does least harm; and a draw whose every α is negative is turned around.
    - *Weight decay can never be 0*: it has a flag, ``use_wd``, that is drawn with p = ½, flips like the
      others and is off in the seeded SGD, Adam and RMSProp, as their names promise.
    - *Clip value and warmup length never mutate*: both do, within wider bounds.
    - *A warmup of 50 to 200 steps means something else in another budget*: its length is a fraction of all steps.
    - *Crossover can never give one term, so genomes bloat to four*: the cuts are uniform over all pairs that leave a
      term, so lengths drift around 2.3 where the published ones reach 3.7.
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
    flags = FLAGS

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

    def cross(self, a: TermSumGenes, b: TermSumGenes) -> tuple[list[int], list[float]]:
        """A[:i] + B[j:] with (i, j) uniform over all pairs that leave a term; equal types averaged, cut to 4."""
        heads, tails = range(len(a.terms) + 1), range(len(b.terms) + 1)
        head, tail = random.choice([(i, j) for i in heads for j in tails if i or j < len(b.terms)])
        found: dict[int, list[float]] = {}
        for kind, alpha in zip(a.terms[:head] + b.terms[tail:], a.alphas[:head] + b.alphas[tail:], strict=True):
            found.setdefault(kind, []).append(alpha)
        terms = list(found)[:MAX_TERMS]
        return terms, [math.fsum(found[kind]) / len(found[kind]) for kind in terms]

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

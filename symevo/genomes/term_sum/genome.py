"""The term sum as a DEAP individual: an optimizer is lr·Σ αₖ·Tₖ with hyperparameters and a schedule.

Source: Marfinetz, "Evolving Deep Learning Optimizers", arXiv 2512.11853 (preset ``paper``). For the preset
``default`` see :class:`symevo.genomes.term_sum.operators.DefaultOperators`. A given rule is converted by proposing
genes from its numbers until one makes the same steps on probe gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
from deap import creator

from symevo.errors import UserError
from symevo.genomes.base import FITNESS, GENOMES, Decoded, Genome, check_keys, schedule_genes
from symevo.genomes.term_sum.genes import GRAD, MOMENTUM, TERMS, Limits, TermSumGenes
from symevo.genomes.term_sum.operators import DefaultOperators, PaperOperators
from symevo.genomes.term_sum.rule import COEFFICIENTS, Form, dense, readable
from symevo.registry import nearest
from symevo.rules.backends.lowering import evaluate
from symevo.rules.expression import Num, walk
from symevo.rules.rule import Rule

creator.create("TermSumIndividual", TermSumGenes, fitness=FITNESS)

_OPERATORS: dict[str, type[PaperOperators]] = {"default": DefaultOperators, "paper": PaperOperators}
_MATE = ("mate_terms", "mate_hyper")
_MUTATE = ("mutate_hyper", "mutate_alphas", "mutate_terms", "mutate_flags")


@GENOMES.register("term-sum")
class TermSum(Genome):
    """Term sums under a preset; see :class:`symevo.genomes.base.Genome`.

    Example:
        >>> genome = TermSum("paper")
        >>> print(genome.express(genome.seeded()[0]).program.text)
        theta = theta*(1 - lr*weight_decay)
        m = beta1*m + (1 - beta1)*g
        theta = theta - lr*m
    """

    presets = tuple(sorted(_OPERATORS))
    individual = creator.TermSumIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time

    def __init__(self, preset: str = "default") -> None:
        super().__init__(preset)
        self._ops = _OPERATORS[preset]()
        self.operators = {name: getattr(self._ops, name) for name in (*_MATE, *_MUTATE)}

    def create(self) -> Any:
        return self.individual(**self._ops.create())

    def seeded(self) -> list[Any]:
        """SGD with momentum, Adam, AdamW and RMSProp."""
        return [self.individual(**genes) for genes in self._ops.seeds()]

    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """One-point crossover of the terms, uniform crossover of all other genes."""
        for name in _MATE:
            self.operators[name](a, b)
        return a, b

    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        """Numbers, then coefficients, then the structure, then flags, as published."""
        for name in _MUTATE:
            self.operators[name](individual, progress=progress)
        return (individual,)

    def express(self, individual: Any) -> Rule:
        return readable(Form.of(individual))

    def candidate(self, individual: Any) -> Rule:
        """The dense program that a whole search shares, with this individual's numbers."""
        return dense(Form.of(individual))

    def decode(self, individual: Any) -> Decoded:
        form = Form.of(individual)
        trained = dense(form)
        return Decoded(self.to_json(individual), readable(form), trained, self.identity(trained))

    def from_rule(self, rule: Rule) -> Any | None:
        """The term sum that makes the same steps (probed in float64 to 1e-11), or None."""
        genes = genes_for(rule, self._ops.limits)
        return None if genes is None else self.individual(**vars(genes))

    def from_json(self, data: Any) -> Any:
        names = [field.name for field in fields(TermSumGenes)]
        check_keys(data, names, f"a term-sum genome is an object with the keys {', '.join(names)}")
        if not isinstance(data["terms"], list) or not isinstance(data["alphas"], list):
            raise UserError("genes terms and alphas must be lists of one length")
        for term in data["terms"]:
            if term not in TERMS:
                raise UserError(f"unknown term {term!r}: {nearest(str(term), list(TERMS))}")
        terms, alphas = [TERMS.index(term) for term in data["terms"]], list(data["alphas"])
        individual = self.individual(**data | {"terms": terms, "alphas": alphas})
        self.validate(individual)
        return individual

    def validate(self, individual: Any) -> None:
        self._ops.limits.check(individual)


_ALIASES = {
    "beta1": ("beta1", "momentum", "mu", "beta"),
    "beta2": ("beta2", "alpha", "rho"),
    "eps": ("eps", "epsilon"),
    "weight_decay": ("weight_decay", "wd"),
    "clip_value": ("clip_value", "c"),
}
"""Names of the genes' numbers in the rules that people write; torch's come first."""

_MAX_LITERALS = 6
_PROBE_STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 40, 1_000, 50_000)
_PROBE_TOTAL = 60_000
_TOLERANCE = 1e-11


def genes_for(rule: Rule, limits: Limits) -> TermSumGenes | None:
    """Genes within ``limits`` whose rule makes the steps of ``rule``, or None.

    torch's sum of gradients (momentum without dampening) becomes m/(1 − β1), with the factor in lr.
    """
    schedule = _schedule_genes(rule, limits)
    if schedule is None or len(rule.program.memory) > 2 * len(TERMS):
        return None
    path = np.stack(list(_steps(rule)))
    if not np.isfinite(path).all():
        return None
    for genes in _proposals(rule, limits, schedule):
        own = readable(Form.of(genes))
        if own.identity == rule.identity or _agrees(own, path):
            return genes
    return None


def _schedule_genes(rule: Rule, limits: Limits) -> dict[str, Any] | None:
    genes, warmup = schedule_genes(rule.schedule), rule.schedule.warmup
    if genes is not None and not warmup:
        low, high = limits.numbers["warmup"]
        return genes | {"warmup": 100 if limits.steps else (low * high) ** 0.5}
    if genes is None or not limits.holds("warmup", warmup) or (limits.steps and warmup != int(warmup)):
        return None
    return genes | {"warmup": int(warmup) if limits.steps else warmup}


def _proposals(rule: Rule, limits: Limits, schedule: Mapping[str, Any]) -> Iterator[TermSumGenes]:
    for beta1, beta2, eps in product(*(_values(rule, name, limits) for name in ("beta1", "beta2", "eps"))):
        numbers: dict[str, Any] = {"beta1": beta1, "beta2": beta2, "eps": eps, **_optional(rule)}
        for terms, alphas, scale in _sums(rule, beta1):
            for use_v, bias_correction in product((True, False), repeat=2):
                genes = TermSumGenes(list(terms), list(alphas), **{**numbers, **schedule})
                genes.use_v, genes.bias_correction = use_v, bias_correction
                if _fit(genes, rule.lr * scale, scale, limits):
                    yield genes


def _values(rule: Rule, gene: str, limits: Limits) -> list[float]:
    """What a gene may be: the hyperparameter of that name, else the literals of the program within bounds."""
    named = [rule.hyper[alias] for alias in _ALIASES[gene] if alias in rule.hyper]
    if named:
        return [value for value in named[:1] if limits.holds(gene, value)]
    numbers = {node.value for _, expr in rule.program.statements for node in walk(expr) if isinstance(node, Num)}
    literals = sorted(value for value in numbers if 0 < value < 1 and limits.holds(gene, value))
    default = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}[gene]
    return literals[:_MAX_LITERALS] or [default]


def _optional(rule: Rule) -> dict[str, Any]:
    """Weight decay and clipping, each off where the rule has no such number."""
    found: dict[str, Any] = {}
    for gene, flag in (("weight_decay", "use_wd"), ("clip_value", "clipping")):
        value = next((rule.hyper[alias] for alias in _ALIASES[gene] if alias in rule.hyper), 0.0)
        found[flag] = value > 0
        if value > 0:
            found[gene] = value
    return found


def _sums(rule: Rule, beta1: float) -> Iterator[tuple[list[int], list[float], float]]:
    """Terms, coefficients, and the factor that they leave to lr."""
    named = [(kind, rule.hyper[name]) for kind, name in enumerate(COEFFICIENTS) if name in rule.hyper]
    if named:
        yield [kind for kind, _ in named], [value for _, value in named], 1.0
        return
    for kind in range(len(TERMS)):
        yield [kind], [1.0], 1.0
    scale = 1 / (1 - beta1)
    dampening = rule.hyper.get("dampening", 0.0)
    yield [MOMENTUM], [1.0], scale * (1 - dampening)
    yield [GRAD, MOMENTUM], [1 - beta1, beta1], scale  # torch's Nesterov: g + μ·Σ


def _fit(genes: TermSumGenes, lr: float, scale: float, limits: Limits) -> bool:
    """Set lr and what hangs on it; an lr above its bound is divided, and the coefficients multiplied."""
    if not 0 < lr < np.inf:
        return False
    over = math.ceil(lr / limits.numbers["lr"][1])
    genes.lr, scale, genes.alphas = lr / over, scale / over, [alpha * over for alpha in genes.alphas]
    if genes.use_wd:
        genes.weight_decay /= scale
    try:
        limits.check(genes)
    except ValueError:
        return False
    return True


def _probes() -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[2·scales]``, half of them 0, and gradients ``[steps, 2·scales]`` of sizes 1e-10 to 1e4, with zeros."""
    random = np.random.default_rng(0)
    scales = np.tile(10.0 ** np.arange(-10, 5), 2)
    theta = np.where(np.arange(len(scales)) < len(scales) // 2, 0.0, random.normal(size=len(scales)))
    gradients = random.normal(size=(len(_PROBE_STEPS), len(scales))) * scales
    gradients[random.random(gradients.shape) < 0.1] = 0.0
    return theta, gradients


_THETA, _GRADIENTS = _probes()


def _agrees(rule: Rule, path: np.ndarray) -> bool:
    """Whether a rule's weights after each probing step are those of ``path``, float64 ``[steps, weights]``."""
    size = np.abs(_THETA)
    for found, wanted in zip(_steps(rule), path, strict=True):
        size = np.maximum(size, np.abs(wanted))
        if not (np.abs(found - wanted) <= _TOLERANCE * size).all():
            return False
    return True


def _steps(rule: Rule) -> Iterator[np.ndarray]:
    """Run the rule without its schedule; the counter leaps, so that dependence on t cannot hide."""
    states = dict.fromkeys(rule.program.memory, np.zeros(len(_THETA)))
    env: dict[str, Any] = {**rule.hyper, **states, "theta": _THETA, "T": np.float64(_PROBE_TOTAL)}
    for t, gradient in zip(_PROBE_STEPS, _GRADIENTS, strict=True):
        env |= {"t": np.float64(t), "g": gradient}
        with np.errstate(all="ignore"):
            for target, expr in rule.program.statements:
                env[target] = evaluate(expr, env)
        yield np.broadcast_to(env["theta"], _THETA.shape)

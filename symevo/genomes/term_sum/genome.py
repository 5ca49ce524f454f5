"""The term sum as a DEAP individual: an optimizer is lr·Σ αₖ·Tₖ with hyperparameters and a schedule.

Source: Marfinetz, "Evolving Deep Learning Optimizers", arXiv 2512.11853 (preset ``paper``). What the preset
``default`` repairs stands in :class:`symevo.genomes.term_sum.operators.DefaultOperators`.
"""

from __future__ import annotations

from typing import Any

from deap import creator

from symevo.genomes.base import FITNESS, GENOMES, Decoded, Genome
from symevo.genomes.term_sum.genes import TermSumGenes, genes_from_json, genes_to_json
from symevo.genomes.term_sum.match import genes_for
from symevo.genomes.term_sum.operators import DefaultOperators
from symevo.genomes.term_sum.paper import PaperOperators
from symevo.genomes.term_sum.rule import Form, dense, readable
from symevo.rules.rule import Rule

creator.create("TermSumIndividual", TermSumGenes, fitness=FITNESS)

_OPERATORS: dict[str, type[PaperOperators]] = {"default": DefaultOperators, "paper": PaperOperators}


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
        ops = self._ops = _OPERATORS[preset]()
        self.operators = {
            "mate_terms": ops.mate_terms,
            "mate_hyper": ops.mate_hyper,
            "mutate_hyper": ops.mutate_hyper,
            "mutate_alphas": ops.mutate_alphas,
            "mutate_terms": ops.mutate_terms,
            "mutate_flags": ops.mutate_flags,
        }

    def create(self) -> Any:
        """A random term sum of the preset's initial distribution."""
        return self.individual(**self._ops.create())

    def seeded(self) -> list[Any]:
        """SGD with momentum, Adam, AdamW and RMSProp."""
        return [self.individual(**genes) for genes in self._ops.seeds()]

    def mate(self, a: Any, b: Any) -> tuple[Any, Any]:
        """One-point crossover of the terms, uniform crossover of all other genes."""
        for name in ("mate_terms", "mate_hyper"):
            self.operators[name](a, b)
        return a, b

    def mutate(self, individual: Any, *, progress: float) -> tuple[Any]:
        """Numbers, then coefficients, then the structure, then flags, as published."""
        for name in ("mutate_hyper", "mutate_alphas", "mutate_terms", "mutate_flags"):
            self.operators[name](individual, progress=progress)
        return (individual,)

    def express(self, individual: Any) -> Rule:
        """The readable rule."""
        return readable(Form.of(individual))

    def candidate(self, individual: Any) -> Rule:
        """The dense program that a whole search shares, with this individual's numbers."""
        return dense(Form.of(individual))

    def decode(self, individual: Any) -> Decoded:
        """Both rules of one form."""
        form = Form.of(individual)
        trained = dense(form)
        return Decoded(self.to_json(individual), readable(form), trained, self.identity(trained))

    def from_rule(self, rule: Rule) -> Any | None:
        """The term sum that makes the same steps (probed in float64 to 1e-11), or None."""
        genes = genes_for(rule, self._ops.limits)
        return None if genes is None else self.individual(**vars(genes))

    def to_json(self, individual: Any) -> dict[str, Any]:
        """The genes; terms by name."""
        return genes_to_json(individual)

    def from_json(self, data: Any) -> Any:
        """Reads :meth:`to_json`'s form and checks it."""
        individual = self.individual(**genes_from_json(data))
        self.validate(individual)
        return individual

    def validate(self, individual: Any) -> None:
        """Checks types and bounds of every gene."""
        self._ops.limits.check(individual)

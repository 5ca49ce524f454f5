"""``term-sum``: optimizers as weighted sums of seven known terms (arXiv 2512.11853).

The genome holds up to four terms with coefficients, six hyperparameters and six flags; evolution is generational, with
tournaments of four and three elites. Preset ``paper`` is the published system, flaws included; preset ``default``
repairs them (see :mod:`symevo.genomes.term_sum.genome` for the genome's, :mod:`symevo.training.fitness` for the
fitness). All candidates share one update program, so a whole search compiles one kernel a task.
"""

from symevo.genomes.term_sum.genome import TermSum
from symevo.search.system import SYSTEMS, System

SYSTEMS.register(
    "term-sum",
    System(
        name="term-sum",
        description="weighted sums of seven update terms with hyperparameters and a schedule",
        genome=lambda settings: TermSum("paper" if settings.preset == "paper" else "default"),
    ),
)

"""``expression``: free-form rules, with the memory that they need.

The genome is a typed tree over the rule language's total primitives and a few forms with memory; NSGA-II keeps quality,
size and states apart, so the result is a front from the shortest rule to the best. A child is trained only if it reads
the gradient, is finite, varies, goes downhill on average, and makes steps that no rule before it has made. Any mix of
rules trains in one stack, in the interpreter: a search compiles nothing. The last generations (setting ``polish``) tune
the numbers of the front's rules by CMA-ES.
"""

from __future__ import annotations

from symevo.genomes.expression.genes import Limits
from symevo.genomes.expression.genome import Expression
from symevo.search.system import SYSTEMS, System
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings


def genome(settings: Settings) -> Expression:
    """The genome of a run; raises UserError for limits that contradict each other, or an unknown primitive."""
    limits = Limits(depth=settings.max_depth, size=settings.max_size, states=settings.max_states)
    found = Expression(limits=limits, primitives=settings.primitives)
    if not limits.states and all(form.update is not None for form in found.grammar.forms.values()):
        raise SettingError(
            "max_states", f"0 contradicts primitives {', '.join(found.grammar.forms)}: each keeps a state; add another"
        )
    return found


SYSTEMS.register(
    "expression",
    System(
        name="expression",
        description="free-form update rules, with memory that evolves",
        genome=genome,
        # An interpreter on a GPU is not there yet; eager kernels compile nothing either.
        backends={"cpu": "interpreter", "cuda": "eager"},
    ),
)

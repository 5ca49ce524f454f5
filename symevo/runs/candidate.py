"""One of what a run evaluated: a rule, a network, or controllers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.errors import UserError
from symevo.evograd.layout import SIZE
from symevo.files import write_file
from symevo.rules.rule import Rule
from symevo.search.system import no_rule
from symevo.settings.model import Settings

if TYPE_CHECKING:
    from torch import nn

FITNESS_OF = "on the network of its generation: not comparable over generations"
"""What the fitness of controllers says."""


@dataclass(frozen=True)
class Candidate:
    """An evaluated rule, network or set of controllers.

    Attributes:
        rule: The rule as printed and shipped; of controllers Adam, whose step they correct.
        fitness: Mean score over tasks.
        per_task: Mean score of each task.
        identity: What it was trained as.
        gen: Generation in which it was first evaluated.
        genome: The genome that it was first expressed by, as stored.
        network: Where candidates are networks and the run has ended: loss and accuracy on the whole ``validation``
            and ``test`` splits.
        settings: Of its run.
    """

    rule: Rule
    fitness: float
    per_task: dict[str, float]
    identity: str
    gen: int
    genome: Any = field(default=None, repr=False, compare=False)
    network: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    settings: Settings | None = field(default=None, repr=False, compare=False)

    @property
    def controllers(self) -> bool:
        """Whether it is a set of evolved controllers, which has no equations; its fitness is that of one network."""
        return isinstance(self.genome, dict) and isinstance(self.genome.get("numbers"), str)

    @property
    def complexity(self) -> int:
        """Numbers, names and operations of the rule's program."""
        return self.rule.complexity

    @property
    def memory(self) -> int:
        """Numbers that the rule keeps per weight."""
        return len(self.rule.states)

    def as_rule(self) -> Rule:
        """The rule that was found; UserError for a network or a set of controllers."""
        if self.settings is not None and (why := no_rule(self.settings, "the candidate")):
            raise UserError(why)
        return self.rule

    def optimizer(self, model: nn.Module, **settings: Any) -> Any:
        """What trains a model as this candidate does.

        Args:
            model: A model of one's own.
            **settings: Of the optimizer, such as ``lr`` or ``total_steps``.

        Returns:
            A :class:`symevo.Optimizer`; of evolved controllers a :class:`symevo.EvoGrad`.

        Raises:
            UserError: A wrong setting, or a model that controllers cannot train.
        """
        if self.controllers:
            from symevo.evograd.trainer import EvoGrad

            return EvoGrad(model, self._numbers(), **settings)
        from symevo.rules.backends.optimizer import Optimizer

        return Optimizer(model.parameters(), self.rule, **settings)

    def save(self, path: str | Path) -> None:
        """Write the candidate to a file, in place of one that is there.

        Controllers become a safetensors file, which :class:`symevo.EvoGrad` reads; a rule becomes JSON, which
        :func:`symevo.rule` reads.

        Raises:
            UserError: It cannot be written.
        """
        if self.controllers and self.settings is not None:
            write_file(Path(path), controllers_file(self._numbers(), self.settings, self.fitness))
            return
        text = json.dumps(self.rule.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        write_file(Path(path), f"{text}\n".encode())

    def _numbers(self) -> Any:
        """Those of evolved controllers, ``[3375]``."""
        from symevo.training.controllers import unpacked

        return unpacked(self.genome["numbers"])

    def __str__(self) -> str:
        if self.controllers:
            return (
                f"fitness {self.fitness:.4f}, {FITNESS_OF}\n"
                f"{SIZE:,} numbers that correct Adam's step; keep them with best.save(path)"
            )
        return f"fitness {self.fitness:.4f}, size {self.complexity}, states {self.memory}\n{self.rule}"

    def __repr__(self) -> str:
        what = "controllers" if self.controllers else f"rule={self.rule!r}"
        return f"Candidate(fitness={self.fitness:.4f}, {what})"

    def to_json(self) -> dict[str, Any]:
        """The candidate in the command line's JSON."""
        return {
            "rule": self.rule.to_json(),
            "fitness": self.fitness,
            "per_task": self.per_task,
            "complexity": self.complexity,
            "states": self.memory,
            **({"controllers": True, "fitness_of": FITNESS_OF} if self.controllers else {}),
            **({"network": self.network} if self.network else {}),
        }


def controllers_file(numbers: Any, settings: Settings, fitness: float) -> bytes:
    """Controllers of a run as the bytes of a safetensors file, see :mod:`symevo.evograd.files`."""
    from symevo.evograd.files import packed

    about = {"task": settings.tasks[0], "scale": settings.scale, "seed": settings.seed}
    return packed(numbers, **about, fitness=fitness, fitness_of=FITNESS_OF)

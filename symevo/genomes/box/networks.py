"""Numbers of a rule together with the network that they train: individuals of population-based training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from deap import creator

from symevo.errors import UserError
from symevo.genomes.base import FITNESS, GENOMES, Genes
from symevo.genomes.box.genome import Box
from symevo.genomes.weights import check_start, name_of, whole_number


class TunedNetwork(Genes, list):  # type: ignore[type-arg]  # DEAP's individuals are plain lists
    """Numbers in the order of their ranges, and the network that they go on with.

    Attributes:
        start: ``{"seed": n}`` or ``{"copy": name}``, see :func:`symevo.training.continued.begin`.
        phase: The interval of training that comes.
        order: None: all networks see the same batches.
    """

    order = None

    def __init__(self, numbers: Iterable[float] = (), start: Mapping[str, Any] | None = None, phase: int = 0) -> None:
        super().__init__(numbers)
        self.start, self.phase = dict(start or {"seed": 0}), phase

    def genes(self) -> tuple[list[float], dict[str, Any], int]:
        """Numbers, start and phase."""
        return list(self), self.start, self.phase


creator.create("TunedNetworkIndividual", TunedNetwork, fitness=FITNESS)


@GENOMES.register("box-networks")
class BoxNetworks(Box):
    """A :class:`symevo.genomes.box.genome.Box` whose individuals carry networks, all begun as training seed 0."""

    individual = creator.TunedNetworkIndividual  # type: ignore[attr-defined]  # DEAP adds it at run time

    def name(self, individual: Any) -> str:
        """What its weights are kept under: equal for those that train alike within a run, and for no others."""
        return name_of(self.express(individual), self.to_json(individual))

    def further(self, individual: Any, phase: int) -> Any:
        """The network that goes on from a trained one, with the same numbers."""
        found = copy.deepcopy(individual)
        del found.fitness.values
        found.start, found.phase = {"copy": self.name(individual)}, phase
        return found

    def to_json(self, individual: Any) -> dict[str, Any]:
        """The numbers by name, the start and the phase."""
        return {"numbers": self.numbers(individual), "start": dict(individual.start), "phase": individual.phase}

    def from_json(self, data: Any) -> Any:
        """Reads :meth:`to_json`'s form and checks it."""
        if not isinstance(data, dict) or set(data) != {"numbers", "start", "phase"}:
            raise UserError("a tuned network is an object with the keys numbers, start and phase")
        if not isinstance(data["start"], dict):
            raise UserError("a tuned network's start is an object with the key seed or copy")
        found = super().from_json(data["numbers"])
        found.start, found.phase = copy.deepcopy(data["start"]), data["phase"]
        self.validate(found)
        return found

    def validate(self, individual: Any) -> None:
        """Checks numbers, start and phase."""
        super().validate(individual)
        check_start(individual.start)
        whole_number("phase", individual.phase)

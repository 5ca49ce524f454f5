"""What the driver tells a loop about an individual."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from symevo.evolution.driver import Driver
from symevo.genomes.base import carried
from symevo.genomes.expression.genome import Expression
from symevo.search.nsga2 import survivors
from symevo.training.fitness import FAILED

GENOME = Expression()


def individual(tree, fitness):
    one = GENOME.from_json({**GENOME.to_json(GENOME.seeded()[0]), "tree": tree})
    one.fitness.values = (fitness,)
    return one


def objectives(one):
    return Driver._objectives(SimpleNamespace(decoded=lambda one: carried(GENOME, one)), one)


def test_an_individual_has_its_fitness_size_and_states():
    adam = individual(["ratio", ["ema_hat", "g", 0.9], ["root", ["ema_hat", ["square", "g"], 0.99]]], 0.9)
    assert objectives(adam) == (0.9, GENOME.express(adam).complexity, 2)


@pytest.mark.parametrize("failed", [0.0, FAILED])
def test_what_did_not_train_to_its_end_never_survives_for_being_small(failed):
    large, small = individual(["ema", ["tanh", "g"], 0.9], 0.5), individual(["sign", "g"], failed)
    assert survivors([small, large], 1, objectives) == [large]
    assert all(one >= other for one, other in zip(objectives(small)[1:], objectives(large)[1:], strict=True))

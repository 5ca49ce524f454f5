"""The numbers of a tree as a vector."""

from __future__ import annotations

import random
from copy import deepcopy as clone

import pytest

from symevo.genomes.expression.genome import Expression

GENOME = Expression()


def drawn(seed: int):
    random.seed(seed)
    return GENOME.create()


@pytest.mark.parametrize("seed", range(30))
def test_any_vector_gives_a_valid_individual_of_the_same_structure(seed):
    one = drawn(seed)
    numbers, states = GENOME.numbers(one), GENOME.express(one).states
    start = numbers.read(one)
    for spread in (0.0, 0.1, 30.0):
        other = clone(one)
        numbers.write(other, [value + random.gauss(0, spread) for value in start])
        GENOME.validate(other)
        assert [node.name for node in other if node.arity] == [node.name for node in one if node.arity]
        assert len(GENOME.express(other).states) <= len(states)
        if spread < 1:
            assert GENOME.structure(other) == GENOME.structure(one)
            assert numbers.read(other) == pytest.approx(start, abs=6 * spread + 1e-9)
    assert numbers.read(one) == start  # the original is as it was


def test_equal_sub_trees_go_on_sharing_their_state():
    ema = ["ema", "g", 0.9]
    data = {**GENOME.to_json(GENOME.seeded()[0]), "tree": ["ratio", ema, ["root", ["square", ema]]]}
    one = GENOME.from_json({**data, "use_wd": True})
    numbers = GENOME.numbers(one)
    assert numbers.read(one) == pytest.approx([-1.0, -1.0, -2.0])  # log10 of 1 − β, of lr 0.1 and of weight decay 0.01
    numbers.write(one, [-2.0, -3.0, -1.0])
    rule = GENOME.express(one)
    assert rule.hyper["beta1"] == pytest.approx(0.99)
    assert rule.hyper["lr"] == pytest.approx(1e-3)
    assert rule.hyper["weight_decay"] == pytest.approx(0.1)
    assert len(rule.states) == 1


def test_structures_differ_in_forms_flags_and_in_which_numbers_are_equal():
    def of(tree, **genes):
        return GENOME.structure(GENOME.from_json({**GENOME.to_json(GENOME.seeded()[0]), "tree": tree, **genes}))

    same = of(["mix", ["ema", "g", 0.9], "g", 0.8], lr=0.5)
    assert same == of(["mix", ["ema", "g", 0.1], "g", 0.2], lr=0.1)
    assert same != of(["mix", ["ema", "g", 0.9], "g", 0.9])
    assert same != of(["mix", ["ema_hat", "g", 0.9], "g", 0.8])
    assert same != of(["mix", ["ema", "g", 0.9], "g", 0.8], use_wd=True)

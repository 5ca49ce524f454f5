"""What every registered genome kind promises, under each of its presets. A new kind needs no change here."""

import json
import pickle
import random
import subprocess
import sys
from copy import deepcopy as clone

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symevo.genomes
from symevo.errors import UserError
from symevo.genomes.base import FITNESS, GENOMES, carried
from symevo.rules.backends.compiled import kernel_for
from symevo.rules.rule import Rule

KINDS = [(name, preset) for name in GENOMES for preset in GENOMES.get(name).presets]
OPERATORS = [(*kind, name) for kind in KINDS for name in GENOMES.get(kind[0])(kind[1]).operators]


@pytest.fixture(params=KINDS, ids="-".join)
def genome(request):
    name, preset = request.param
    return GENOMES.get(name)(preset)


def population(genome, size=30, seed=0):
    """Random individuals, seeded ones, and descendants of both."""
    random.seed(seed)
    found = [genome.create() for _ in range(size)] + genome.seeded()
    for _ in range(size):
        child, other = clone(random.choice(found)), clone(random.choice(found))
        genome.mate(child, other)
        genome.mutate(child, progress=random.random())
        found.append(child)
    return found


def mutable_parts(value, found):
    """Ids of every object in ``value`` that could be changed in place."""
    if isinstance(value, np.ndarray | bytearray):
        found.add(id(value))
    elif isinstance(value, dict | list | tuple | set):
        if not isinstance(value, tuple):
            found.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            mutable_parts(item, found)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        found.add(id(value))
        mutable_parts(vars(value), found)
        if isinstance(value, list):
            mutable_parts(list(value), found)
    return found


def train(rule, steps=3):
    """Runs a rule on random gradients, float64 [1, 7]."""
    kernel = kernel_for(rule.program, (1, 7), dtype=torch.float64, device=torch.device("cpu"), backend="eager")
    lr = rule.lr * np.asarray(rule.schedule.factor(np.arange(steps), steps)).reshape(-1, 1)
    hyper = {name: np.array([value]) for name, value in rule.hyper.items()}
    slots = torch.tensor(kernel.lowered.table(hyper, lr, steps))
    generator = torch.Generator().manual_seed(1)
    theta, *gradients = torch.randn(steps + 1, 1, 7, dtype=torch.float64, generator=generator)
    states = [torch.zeros_like(theta) for _ in kernel.lowered.states]
    for step, gradient in enumerate(gradients):
        kernel(theta, gradient, states, slots[step, :, :, None], torch.tensor([[True]]))
    return theta


def check(genome, individual):
    """Valid, expressible, storable."""
    genome.validate(individual)
    data = genome.to_json(individual)
    back = genome.from_json(json.loads(json.dumps(data, allow_nan=False)))
    assert isinstance(back, genome.individual)
    assert genome.to_json(back) == data
    assert not back.fitness.valid
    for rule in (genome.express(individual), genome.candidate(individual)):
        assert isinstance(rule, Rule)
        assert Rule.from_json(json.loads(json.dumps(rule.to_json()))).identity == rule.identity
    assert genome.express(back).identity == genome.express(individual).identity
    assert genome.candidate(back).identity == genome.candidate(individual).identity


def test_every_kind_has_a_default_preset():
    assert {"term-sum", "expression"} <= set(GENOMES)
    assert all("default" in GENOMES.get(name).presets for name in GENOMES)


def test_unknown_preset_names_the_nearest(genome):
    with pytest.raises(UserError, match=r"unknown preset 'defualt': did you mean 'default'"):
        type(genome)("defualt")


def test_individuals_are_deap_individuals(genome):
    for individual in population(genome, 5):
        assert isinstance(individual, genome.individual)
        assert isinstance(individual.fitness, FITNESS)
        assert individual.fitness.weights == (1.0,)


def test_created_and_bred_individuals_are_valid(genome):
    for individual in population(genome):
        check(genome, individual)


def test_creation_gives_different_individuals_from_the_global_random(genome):
    first, second = population(genome, 20, seed=3), population(genome, 20, seed=3)
    other = population(genome, 20, seed=4)
    assert [genome.to_json(one) for one in first] == [genome.to_json(one) for one in second]
    assert len({json.dumps(genome.to_json(one)) for one in first[:20] + other[:20]}) == 40


def test_seeded_individuals_are_new_each_time(genome):
    first, second = genome.seeded(), genome.seeded()
    assert first
    assert [genome.to_json(a) for a in first] == [genome.to_json(b) for b in second]
    assert mutable_parts(first, set()).isdisjoint(mutable_parts(second, set()))


def test_pickles_and_copies(genome):
    for individual in population(genome, 5):
        individual.fitness.values = (0.5,)
        for other in (pickle.loads(pickle.dumps(individual)), clone(individual)):
            assert genome.to_json(other) == genome.to_json(individual)
            assert other.fitness.values == (0.5,)
            assert mutable_parts(other, set()).isdisjoint(mutable_parts(individual, set()))


@pytest.mark.parametrize(("name", "preset", "operator"), OPERATORS)
def test_each_operator_works_alone_and_in_place(name, preset, operator):
    genome = GENOMES.get(name)(preset)
    function, changed = genome.operators[operator], 0
    assert operator.startswith(("mate_", "mutate_"))
    for seed in range(25):
        a, b = population(genome, 2, seed)[:2]
        before = genome.to_json(a)
        if operator.startswith("mate_"):
            result, given = function(a, b), (a, b)
        else:
            result, given = function(a, progress=0.0), (a,)
        assert isinstance(result, tuple)
        assert all(x is y for x, y in zip(result, given, strict=True))
        check(genome, a)
        check(genome, b)
        changed += genome.to_json(a) != before
    assert changed > 0


def test_mutation_at_both_ends_of_a_run_changes_something(genome):
    for progress in (0.0, 1.0):
        start = population(genome, 40)[:40]
        bred = [genome.mutate(clone(one), progress=progress)[0] for one in start]
        assert any(genome.to_json(a) != genome.to_json(b) for a, b in zip(start, bred, strict=True))


def test_expressed_rules_come_back(genome):
    for individual in population(genome):
        rule = genome.express(individual)
        held = genome.from_rule(rule)
        assert held is not None
        check(genome, held)
        assert genome.express(held).identity == rule.identity


def test_equal_rules_are_equal_candidates(genome):
    for individual in population(genome):
        held = genome.from_rule(genome.express(individual))
        assert genome.candidate(held).identity == genome.candidate(individual).identity


def same(one, other):
    """Whether two decoded individuals are equal, the trained rule's exact numbers included."""
    parts = [(each.genes, each.rule, each.trained, each.identity, each.reason) for each in (one, other)]
    return parts[0] == parts[1] and one.trained.identity == other.trained.identity


def test_what_is_carried_is_made_once_and_passed_on_to_copies(genome):
    for individual in population(genome, 5):
        found = carried(genome, individual)
        assert same(found, genome.decode(individual))
        assert carried(genome, individual) is found
        assert carried(genome, clone(individual)) is found
        assert same(carried(genome, pickle.loads(pickle.dumps(individual))), found)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), steps=st.lists(st.tuples(st.integers(0, 10), st.floats(0, 1)), max_size=8))
def test_nothing_stale_is_carried_whatever_changed_the_genes(kind, seed, steps):
    genome = GENOMES.get(kind[0])(kind[1])
    random.seed(seed)
    pair = [genome.create(), genome.seeded()[0]]
    operators = [genome.mate, genome.mutate, *genome.operators.values()]
    mates = [genome.mate, *(f for name, f in genome.operators.items() if name.startswith("mate_"))]
    for which, progress in steps:
        for one in pair:
            carried(genome, one)
        operator = operators[which % len(operators)]
        pair = [clone(one) for one in pair] if which % 2 else pair
        if operator in mates:
            operator(*pair)
        else:
            operator(pair[0], progress=progress)
        for one in pair:
            assert same(carried(genome, one), genome.decode(genome.from_json(genome.to_json(one))))


@pytest.mark.parametrize("data", [None, [], {}, "sgd", 3, {"no": "gene"}, float("nan")])
def test_bad_json_is_refused(genome, data):
    with pytest.raises(UserError):
        genome.from_json(data)


@pytest.mark.parametrize("bad", [None, "x", [], {}, 1e99, -1e99, float("nan"), float("inf")])
def test_json_with_one_bad_gene_is_refused(genome, bad):
    good = genome.to_json(genome.seeded()[0])
    for key in good:
        with pytest.raises(UserError):
            genome.from_json({**good, key: bad})
    with pytest.raises(UserError):
        genome.from_json({**good, "another": 1})


def test_importing_genomes_does_not_import_torch():
    code = "import sys, symevo.genomes; sys.exit('torch' in sys.modules)"
    assert symevo.genomes.__doc__
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0


STEP = st.tuples(st.integers(0, 10), st.integers(0, 9), st.integers(0, 9), st.floats(0, 1))


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), steps=st.lists(STEP, max_size=25))
def test_closure_under_any_sequence_of_operators(kind, seed, steps):
    genome = GENOMES.get(kind[0])(kind[1])
    random.seed(seed)
    pool = [genome.create() for _ in range(4)] + genome.seeded()
    operators = [genome.mate, genome.mutate, *genome.operators.values()]
    mates = [genome.mate, *(f for name, f in genome.operators.items() if name.startswith("mate_"))]
    for which, i, j, progress in steps:
        operator = operators[which % len(operators)]
        parents = pool[i % len(pool)], pool[j % len(pool)]
        before = [genome.to_json(parent) for parent in parents]
        a, b = map(clone, parents)
        children = operator(a, b) if operator in mates else operator(a, progress=progress)
        for child in children:
            genome.validate(child)
        assert [genome.to_json(parent) for parent in parents] == before
        shared = [mutable_parts(one, set()) for one in (*children, *parents)]
        distinct = shared if parents[0] is not parents[1] else shared[:-1]
        assert sum(map(len, distinct)) == len(set().union(*distinct))
        pool = [*pool[-7:], *children]
    for individual in pool:
        check(genome, individual)
        for rule in (genome.express(individual), genome.candidate(individual)):
            assert train(rule).shape == (1, 7)

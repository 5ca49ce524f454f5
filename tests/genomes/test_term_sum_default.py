"""The default preset repairs the flaws of the published genome, one test a flaw."""

import random
from collections import Counter
from copy import deepcopy as clone
from itertools import product

import pytest
from scipy import stats

from symevo.errors import UserError
from symevo.genomes.term_sum.genome import TermSum

GENOME, PAPER = TermSum("default"), TermSum("paper")
P_LIMIT = 1e-4  # every draw below is seeded, so a test passes or fails for good


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(13)


@pytest.fixture
def created():
    return [GENOME.create() for _ in range(4000)]


def individual(terms=(0,), alphas=(1.0,), **genes):
    return GENOME.individual(terms=list(terms), alphas=list(alphas), **{"warmup": 0.2, **genes})


def drifted(genome, generations=50, size=200):
    """A population bred without selection."""
    pool = [genome.create() for _ in range(size)]
    for generation in range(generations):
        pairs = [(clone(random.choice(pool)), clone(random.choice(pool))) for _ in pool]
        pool = [genome.mutate(genome.mate(a, b)[0], progress=generation / generations)[0] for a, b in pairs]
    return pool


def test_a_coefficient_can_change_sign_by_mutation_alone():
    pool = [individual([0], [0.2]) for _ in range(3000)]
    for one in pool:
        GENOME.operators["mutate_alphas"](one, progress=0.0)
    crossed = sum(one.alphas[0] < 0 for one in pool)
    assert stats.binomtest(crossed, 3000, 0.35 / 2 * stats.norm(0, 0.3).cdf(-0.2)).pvalue > P_LIMIT


def test_no_random_genome_has_only_negative_coefficients(created):
    assert all(max(one.alphas) > 0 for one in created)
    assert any(min(one.alphas) < 0 for one in created)
    sizes = [abs(alpha) for one in created for alpha in one.alphas]
    assert stats.kstest(sizes, stats.uniform(0, 1).cdf).pvalue > P_LIMIT


def test_weight_decay_can_be_nothing(created):
    assert stats.binomtest(sum(one.use_wd for one in created), len(created), 0.5).pvalue > P_LIMIT
    without = next(one for one in created if not one.use_wd)
    assert "weight_decay" not in GENOME.express(without).hyper
    assert GENOME.candidate(without).hyper["weight_decay"] == 0
    flips = 0
    for _ in range(3000):
        one = individual(use_wd=True)
        GENOME.operators["mutate_flags"](one, progress=0.0)
        flips += not one.use_wd
    assert stats.binomtest(flips, 3000, 0.1).pvalue > P_LIMIT
    with pytest.raises(UserError, match="use_wd must be true"):
        PAPER.validate(PAPER.individual(terms=[0], alphas=[1.0], use_wd=False))


@pytest.mark.parametrize(("gene", "start", "low", "high"), [("clip_value", 1.0, 0.01, 100), ("warmup", 0.2, 0.01, 0.5)])
def test_clip_value_and_warmup_mutate_within_bounds(gene, start, low, high):
    assert GENOME._ops.limits.numbers[gene] == (low, high)
    changed, extremes = 0, []
    for bound in (start, low, high):
        for _ in range(1000):
            one = individual(**{gene: bound})
            GENOME.operators["mutate_hyper"](one, progress=0.0)
            GENOME.validate(one)
            changed += bound == start and getattr(one, gene) != start
            extremes.append(getattr(one, gene))
    assert stats.binomtest(changed, 1000, 0.35).pvalue > P_LIMIT
    assert (min(extremes), max(extremes)) == (low, high)


def test_warmup_is_a_fraction(created):
    warmups = [one.warmup for one in created]
    assert stats.kstest(warmups, stats.uniform(0.1, 0.3).cdf).pvalue > P_LIMIT
    with pytest.raises(UserError, match="warmup"):
        GENOME.validate(individual(warmup=100))


def test_crossover_cuts_anywhere_and_can_give_one_term():
    a, b = (0.1, 0.2), (0.3, 0.4, 0.5)
    types = dict(zip(a + b, (0, 1, 2, 3, 4), strict=True))
    cuts = [(i, j) for i, j in product(range(3), range(4)) if i or j < 3]
    wanted = Counter((a[:i] + b[j:])[:4] for i, j in cuts)
    found = Counter()
    for _ in range(4000):
        x = individual([types[alpha] for alpha in a], a)
        y = individual([types[alpha] for alpha in b], b)
        GENOME.operators["mate_terms"](x, y)
        assert x.terms == [types[alpha] for alpha in x.alphas]
        found[tuple(x.alphas)] += 1
    assert set(found) == set(wanted)
    expected = [4000 * n / len(cuts) for n in wanted.values()]
    assert stats.chisquare([found[child] for child in wanted], expected).pvalue > P_LIMIT
    assert {1, 2, 3, 4} == {len(child) for child in wanted}


def test_alike_parents_have_children_of_their_own_scale():
    for _ in range(200):
        a, b = individual([3, 4], [1.0, 0.5]), individual([3, 4], [1.0, 0.5])
        GENOME.operators["mate_terms"](a, b)
        assert set(zip(a.terms, a.alphas, strict=True)) <= {(3, 1.0), (4, 0.5)}
    a, b = individual([3], [1.0]), individual([3], [0.5])
    seen = set()
    for _ in range(200):
        x, y = clone(a), clone(b)
        GENOME.operators["mate_terms"](x, y)
        seen.add(x.alphas[0])
    assert seen == {1.0, 0.5, 0.75}


def test_no_operator_makes_redundant_terms(created):
    pool = [*created, *drifted(GENOME)]
    assert all(len(set(one.terms)) == len(one.terms) for one in pool)
    with pytest.raises(UserError, match="only once"):
        GENOME.validate(individual([3, 3], [1.0, 1.0]))


def test_genomes_do_not_bloat_without_selection():
    ours, published = drifted(GENOME), drifted(PAPER)
    assert sum(len(one.terms) for one in ours) / len(ours) < 2.7
    assert sum(len(one.terms) for one in published) / len(published) > 3.4
    assert sum(len(set(one.terms)) < len(one.terms) for one in published) / len(published) > 0.5


def test_structure_changes_only_to_types_that_are_not_there():
    grown, changed = Counter(), Counter()
    for _ in range(8000):
        one = individual([2, 5], [0.5, -0.5])
        GENOME.operators["mutate_terms"](one, progress=0.0)
        grown.update(one.terms[2:])
        changed.update([tuple(one.terms)] if len(one.terms) == 2 and one.terms != [2, 5] else [])
    free = (0, 1, 3, 4, 6)
    assert set(grown) == set(free)
    assert set(changed) == {pair for kind in free for pair in ((kind, 5), (2, kind))}


def test_seeded_individuals_are_what_they_are_called():
    sgd, adam, adamw, rmsprop = map(GENOME.express, GENOME.seeded())
    assert sgd.program.lines == ("m = beta1*m + (1 - beta1)*g", "theta = theta - lr*m")
    assert rmsprop.hyper == {"beta2": 0.99, "eps": 1e-8, "lr": 1e-3}
    assert adam.hyper == {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "lr": 1e-3}
    assert adamw.hyper == {**adam.hyper, "weight_decay": 1e-2}

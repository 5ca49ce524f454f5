"""The paper preset has the published distributions, probabilities and bounds (systems.md, section 1)."""

import math
import random
from collections import Counter
from copy import deepcopy as clone
from itertools import product

import pytest
from scipy import stats

from symevo.genomes.term_sum.genome import TermSum

GENOME = TermSum("paper")
FLAGS = ("use_m", "use_v", "bias_correction", "clipping", "use_warmup", "cosine")
P_LIMIT = 1e-4  # every draw below is seeded, so a test passes or fails for good


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(7)


def individual(terms=(0,), alphas=(1.0,), **genes):
    return GENOME.individual(terms=list(terms), alphas=list(alphas), **genes)


def same_counts(observed, probabilities):
    """Chi-square of counts against exact probabilities."""
    total = sum(observed.values())
    assert set(+observed) <= set(probabilities)
    if len(probabilities) == 1:
        return
    found = [observed.get(key, 0) for key in probabilities]
    expected = [total * p for p in probabilities.values()]
    assert stats.chisquare(found, expected).pvalue > P_LIMIT


def same_rate(hits, trials, p):
    assert stats.binomtest(hits, trials, p).pvalue > P_LIMIT


def same_normal(values, sigma):
    """Shape by Kolmogorov and Smirnov, spread by the chi-square of the variance: 10 % off is seen."""
    assert stats.kstest(values, stats.norm(0, sigma).cdf).pvalue > P_LIMIT
    squares = stats.chi2(len(values)).cdf(sum(value**2 for value in values) / sigma**2)
    assert P_LIMIT < squares < 1 - P_LIMIT


def uniform(keys):
    keys = list(keys)
    return {key: 1 / len(keys) for key in keys}


@pytest.fixture(scope="module")
def created():
    random.seed(11)
    return [GENOME.create() for _ in range(10_000)]


def test_create_draws_terms_uniformly(created):
    same_counts(Counter(len(one.terms) for one in created), uniform((1, 2, 3)))
    same_counts(Counter(kind for one in created for kind in one.terms), uniform(range(7)))
    pairs = Counter(tuple(one.terms) for one in created if len(one.terms) == 2)
    same_counts(pairs, uniform(product(range(7), repeat=2)))


@pytest.mark.parametrize(
    ("gene", "low", "high", "log"),
    [("lr", -4, -2, True), ("beta1", 0.5, 0.99, False), ("beta2", 0.9, 0.9999, False), ("eps", -9, -6, True),
     ("weight_decay", -5, -3, True), ("clip_value", 0.5, 2, False)],
)  # fmt: skip
def test_create_draws_numbers_uniformly(created, gene, low, high, log):
    values = [math.log10(getattr(one, gene)) if log else getattr(one, gene) for one in created]
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > P_LIMIT


def test_create_draws_alphas_and_warmup(created):
    alphas = [alpha for one in created for alpha in one.alphas]
    assert stats.kstest(alphas, stats.uniform(-1, 2).cdf).pvalue > P_LIMIT
    same_counts(Counter(one.warmup for one in created), uniform(range(50, 201)))
    negative = sum(all(alpha < 0 for alpha in one.alphas) for one in created)
    same_rate(negative, len(created), 7 / 24)


def test_create_draws_flags(created):
    wanted = dict(zip(FLAGS, (0.7, 0.7, 0.6, 0.2, 0.3, 0.3), strict=True))
    for flag, p in wanted.items():
        same_rate(sum(getattr(one, flag) for one in created), len(created), p)
    assert all(one.use_wd for one in created)
    pairs = Counter((one.use_m, one.use_v) for one in created)
    same_counts(pairs, {(a, b): (0.7 if a else 0.3) * (0.7 if b else 0.3) for a in (0, 1) for b in (0, 1)})


def test_seeded_individuals():
    unstated = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 1e-4, "use_m": True,
                "use_v": True, "bias_correction": True, "use_wd": True, "clipping": False, "clip_value": 1.0,
                "use_warmup": False, "warmup": 100, "cosine": False, "alphas": [1.0]}  # fmt: skip
    stated = [
        {"terms": ["momentum"], "lr": 1e-2, "beta1": 0.9, "use_v": False, "bias_correction": False},
        {"terms": ["adam"]},
        {"terms": ["adam"], "weight_decay": 1e-2},
        {"terms": ["rms"], "beta2": 0.99, "use_m": False, "bias_correction": False},
    ]
    assert [GENOME.to_json(one) for one in GENOME.seeded()] == [{**unstated, **genes} for genes in stated]


@pytest.mark.parametrize(("length_a", "length_b"), [(1, 1), (2, 3), (3, 2), (4, 4)])
def test_mate_terms_has_the_published_cut_points(length_a, length_b):
    def children(x, y):
        cuts = [(i, j) for i in range(1, len(x) + 1) for j in range(len(y))]
        return {child: n / len(cuts) for child, n in Counter((x[:i] + y[j:])[:4] for i, j in cuts).items()}

    a = tuple(0.1 * (index + 1) for index in range(length_a))
    b = tuple(-0.1 * (index + 1) for index in range(length_b))
    types = {alpha: index % 7 for index, alpha in enumerate(a + b)}
    found = []
    for _ in range(3000):
        pair = [individual([types[alpha] for alpha in alphas], alphas) for alphas in (a, b)]
        GENOME.operators["mate_terms"](*pair)
        assert all(one.terms == [types[alpha] for alpha in one.alphas] for one in pair)
        found.append(tuple(tuple(one.alphas) for one in pair))
    first, second = children(a, b), children(b, a)
    same_counts(Counter(pair[0] for pair in found), first)
    same_counts(Counter(found), {(x, y): first[x] * second[y] for x, y in product(first, second)})


def test_mate_hyper_takes_every_other_gene_from_either_parent():
    first = {"lr": 1e-2, "beta1": 0.1, "beta2": 0.2, "eps": 1e-5, "weight_decay": 1e-3, "clip_value": 0.6,
             "warmup": 51, **dict.fromkeys(FLAGS, True)}  # fmt: skip
    second = {"lr": 1e-3, "beta1": 0.3, "beta2": 0.4, "eps": 1e-6, "weight_decay": 1e-4, "clip_value": 0.7,
              "warmup": 52, **dict.fromkeys(FLAGS, False)}  # fmt: skip
    counts, trials = Counter(), 4000
    patterns = Counter()
    for _ in range(trials):
        a, b = individual([1], [0.5], **first), individual([2], [0.25], **second)
        GENOME.operators["mate_hyper"](a, b)
        swapped = {name for name in first if getattr(a, name) == second[name]}
        assert all(getattr(b, name) == (first if name in swapped else second)[name] for name in first)
        assert all(getattr(a, name) == (second if name in swapped else first)[name] for name in first)
        assert (a.terms, a.alphas, b.terms, b.alphas) == ([1], [0.5], [2], [0.25])
        counts.update(swapped)
        patterns[tuple(name in swapped for name in ("lr", "eps", "cosine", "warmup"))] += 1
    for name in first:
        same_rate(counts[name], trials, 0.5)
    same_counts(patterns, uniform(product((True, False), repeat=4)))


MIDDLE = {"lr": 1e-3, "beta1": 0.5, "beta2": 0.5, "eps": 1e-7, "weight_decay": 1e-4}


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_mutate_hyper_has_the_published_rate_and_strength(progress):
    d, trials = 1 - 0.5 * progress, 4000
    steps = {name: [] for name in MIDDLE}
    for _ in range(trials):
        one = individual([3], [0.5], **MIDDLE)
        GENOME.operators["mutate_hyper"](one, progress=progress)
        for name, start in MIDDLE.items():
            value = getattr(one, name)
            if value != start:
                steps[name].append(value - start if "beta" in name else math.log10(value / start))
        rest = {**GENOME.to_json(one), **MIDDLE}
        assert rest == GENOME.to_json(individual([3], [0.5], **MIDDLE))
    for name, share in zip(MIDDLE, (1, 0.2, 0.1, 1, 1), strict=True):
        same_rate(len(steps[name]), trials, 0.35 * d)
        same_normal(steps[name], share * 0.3 * d)


BOUNDS = {"lr": (1e-5, 1e-1), "beta1": (0, 0.999), "beta2": (0, 0.9999), "eps": (1e-10, 1e-4),
          "weight_decay": (1e-6, 1e-2)}  # fmt: skip


@pytest.mark.parametrize("gene", BOUNDS)
@pytest.mark.parametrize("side", [0, 1])
def test_mutate_hyper_clamps_at_the_published_bounds(gene, side):
    bound = BOUNDS[gene][side]
    values = []
    for _ in range(2000):
        one = individual([3], [0.5], **{gene: bound})
        GENOME.operators["mutate_hyper"](one, progress=0.0)
        values.append(getattr(one, gene))
    assert (max(values) if side else min(values)) == bound
    same_rate(sum(value != bound for value in values), 2000, 0.35 / 2)  # the other half is clamped


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_mutate_alphas_is_log_normal_and_keeps_signs(progress):
    d, start = 1 - 0.5 * progress, [0.5, -0.5, 1.0, -2.0]
    steps = [[], [], [], []]
    for _ in range(3000):
        one = individual([0, 1, 2, 3], start)
        GENOME.operators["mutate_alphas"](one, progress=progress)
        assert one.terms == [0, 1, 2, 3]
        for found, value, old in zip(steps, one.alphas, start, strict=True):
            assert value * old > 0
            if value != old:
                found.append(math.log(value / old))
    for found in steps:
        same_rate(len(found), 3000, 0.35 * d)
        same_normal(found, 0.3 * d)


def test_mutate_alphas_clamps_at_five():
    pool = [individual([0, 1], [5.0, -5.0]) for _ in range(500)]
    for one in pool:
        GENOME.operators["mutate_alphas"](one, progress=0.0)
    assert max(one.alphas[0] for one in pool) == 5.0
    assert min(one.alphas[1] for one in pool) == -5.0
    same_rate(sum(one.alphas[0] < 5.0 for one in pool), 500, 0.35 / 2)  # the other half is clamped


def structural(start, progress, trials=12_000):
    """Which change mutate_terms made, and the individuals by change."""
    found = {"none": [], "add": [], "remove": [], "change": []}
    for _ in range(trials):
        one = clone(start)
        GENOME.operators["mutate_terms"](one, progress=progress)
        grown = len(one.terms) - len(start.terms)
        name = {1: "add", -1: "remove", 0: "none" if one.terms == start.terms else "change"}[grown]
        found[name].append(one)
    return found


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_mutate_terms_adds_removes_and_changes(progress):
    start = individual([3, 5], [0.75, -0.5])
    found, third = structural(start, progress), 0.15 * (1 - 0.5 * progress) / 3
    same_counts(
        Counter({name: len(ones) for name, ones in found.items()}),
        {"none": 1 - 3 * third + third / 7, "add": third, "remove": third, "change": third * 6 / 7},
    )
    assert all(one.terms[:2] == [3, 5] and one.alphas[:2] == [0.75, -0.5] for one in found["add"])
    same_counts(Counter(one.terms[2] for one in found["add"]), uniform(range(7)))
    alphas = [one.alphas[2] for one in found["add"]]
    assert stats.kstest(alphas, stats.uniform(-1, 2).cdf).pvalue > P_LIMIT
    removed = Counter((*one.terms, *one.alphas) for one in found["remove"])
    same_counts(removed, uniform([(3, 0.75), (5, -0.5)]))
    assert all(one.alphas == [0.75, -0.5] for one in found["change"])
    wanted = [(k, 5) for k in range(7) if k != 3] + [(3, k) for k in range(7) if k != 5]
    same_counts(Counter(tuple(one.terms) for one in found["change"]), uniform(wanted))


def test_impossible_changes_of_structure_do_nothing():
    full, single = individual([0, 1, 2, 3], [1.0] * 4), individual([6], [1.0])
    third = 0.05
    found = structural(full, 0.0)
    same_counts(
        Counter({name: len(ones) for name, ones in found.items()}),
        {"none": 1 - 2 * third + third / 7, "remove": third, "change": third * 6 / 7},
    )
    found = structural(single, 0.0)
    same_counts(
        Counter({name: len(ones) for name, ones in found.items()}),
        {"none": 1 - 2 * third + third / 7, "add": third, "change": third * 6 / 7},
    )


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_mutate_flags_flips_six_flags_and_no_other(progress):
    p, trials = 0.1 * (1 - 0.5 * progress), 8000
    patterns, counts = Counter(), Counter()
    for _ in range(trials):
        one = individual()
        GENOME.operators["mutate_flags"](one, progress=progress)
        flipped = tuple(flag for flag in FLAGS if getattr(one, flag) != getattr(individual(), flag))
        assert one.use_wd
        counts.update(flipped)
        patterns[len(flipped)] += 1
    for flag in FLAGS:
        same_rate(counts[flag], trials, p)
    few = {n: math.comb(6, n) * p**n * (1 - p) ** (6 - n) for n in range(3)}
    grouped = Counter({n: patterns[n] for n in few})
    grouped[3] = trials - sum(grouped.values())
    same_counts(grouped, {**few, 3: 1 - sum(few.values())})


def test_mutate_runs_all_four_operators_and_mate_both():
    def seen(function, start, trials):
        base = GENOME.to_json(start)
        found = Counter()
        for _ in range(trials):
            one = clone(start)
            function(one)
            data = GENOME.to_json(one)
            found.update(name for name in base if data[name] != base[name])
        return found

    start = individual([0, 3], [0.5, -0.5], beta1=0.5, beta2=0.5)
    changed = seen(lambda one: GENOME.mutate(one, progress=0.0), start, 1000)
    assert set(changed) == {"terms", "alphas", *MIDDLE, *FLAGS}  # clip value and warmup never mutate
    other = individual([6], [0.125], lr=1e-4, beta1=0.1, beta2=0.1, eps=1e-9, weight_decay=1e-5,
                       clip_value=0.5, warmup=50, use_m=False, use_v=False, bias_correction=False,
                       clipping=True, use_warmup=True, cosine=True)  # fmt: skip
    mated = seen(lambda one: GENOME.mate(one, clone(other)), start, 200)
    assert set(mated) == set(GENOME.to_json(start)) - {"use_wd"}

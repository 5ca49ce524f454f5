"""Term sums as rules: the published step, the dense program, the readable text."""

import math
import random
from collections import defaultdict
from copy import deepcopy as clone

import numpy as np
import pytest
import torch
from published_step import published_path

from symevo.genomes.term_sum.genes import PUBLISHED, TERMS
from symevo.genomes.term_sum.genome import TermSum
from symevo.genomes.term_sum.rule import DENSE
from symevo.rules.backends.compiled import kernel_for
from symevo.rules.schedule import Schedule

GENOME = TermSum("paper")
STEPS, WEIGHTS, TOTAL = 30, 7, 40
CPU = torch.device("cpu")


def individual(terms=(0,), alphas=(1.0,), **genes):
    return GENOME.individual(terms=list(terms), alphas=list(alphas), **genes)


def rules_path(rules, theta, gradients, *, total=TOTAL, dtype=torch.float64):
    """Weights ``[steps, rows, weights]`` of rules that share one program, a row each."""
    program, steps = rules[0].program, len(gradients)
    assert all(rule.program.lines == program.lines for rule in rules)
    kernel = kernel_for(program, tuple(theta.shape), dtype=dtype, device=CPU, backend="eager")
    ones, s = np.ones(steps), np.arange(steps)
    lr = np.stack([rule.lr * ones * rule.schedule.factor(s, total) for rule in rules], axis=1)
    hyper = {name: np.array([rule.hyper[name] for rule in rules]) for name in rules[0].hyper}
    slots = torch.tensor(kernel.lowered.table(hyper, lr, total)).to(dtype)
    theta = torch.as_tensor(theta).to(dtype).clone()
    states = [torch.zeros_like(theta) for _ in kernel.lowered.states]
    alive = torch.ones(len(rules), 1, dtype=torch.bool)
    path = []
    for step in range(steps):
        kernel(theta, torch.as_tensor(gradients[step]).to(dtype), states, slots[step, :, :, None], alive)
        path.append(theta.clone().numpy())
    return np.stack(path)


def expressed_path(individuals, theta, gradients, **options):
    """The same for expressed rules, each program with all its rows."""
    rules = [GENOME.express(one) for one in individuals]
    rows = defaultdict(list)
    for row, rule in enumerate(rules):
        rows[rule.program.lines].append(row)
    path = np.empty(gradients.shape)
    for group in rows.values():
        found = rules_path([rules[row] for row in group], theta[group], gradients[:, group], **options)
        path[:, group] = found
    return path


def relative_error(found, wanted):
    """Largest error of a weight over the largest size that it had so far; NaN and inf count as inf."""
    with np.errstate(invalid="ignore"):
        error = np.abs(found - wanted) / np.maximum.accumulate(np.abs(wanted))
    return np.where(np.isnan(error), np.inf, error).max()


@pytest.fixture(scope="module")
def crowd():
    """1,000 random genomes, half of them bred, with weights and gradients that hold every hard case."""
    random.seed(5)
    found = [GENOME.create() for _ in range(500)]
    while len(found) < 1000:
        child, other = clone(random.choice(found)), clone(random.choice(found))
        found.append(GENOME.mutate(GENOME.mate(child, other)[0], progress=0.0)[0])
    for one in found[:250]:
        one.warmup = random.choice((7, 50))  # so that warmup ends within 30 steps for some
    generator = np.random.default_rng(5)
    theta = generator.normal(size=(1000, WEIGHTS))
    gradients = generator.normal(size=(STEPS, 1000, WEIGHTS))
    gradients[:, :, 0] *= 1e-9  # around eps
    gradients[:, :, 1] *= 1e4
    gradients[:, :, 2] = np.abs(gradients[:, :, 2]) * np.where(np.arange(STEPS) % 2, 1, -1)[:, None]  # flips
    gradients[generator.random(gradients.shape) < 0.1] = 0.0
    gradients[:, :, 3] = 0.0
    gradients[10:12, :, 4] = 1e200
    gradients[20, :, 5] = -1e200
    wanted = np.empty((STEPS, 1000, WEIGHTS))
    for row, one in enumerate(found):
        genes = GENOME.to_json(one)
        for weight in range(WEIGHTS):
            start, column = float(theta[row, weight]), gradients[:, row, weight].tolist()
            wanted[:, row, weight] = published_path(genes, start, column, TOTAL)
    return found, theta, gradients, wanted


def test_the_crowd_holds_every_case(crowd):
    found, _, _, wanted = crowd
    assert np.isfinite(wanted).all()  # the published step is finite for 1e200, so ours must be
    for flag in ("use_m", "use_v", "bias_correction", "clipping", "use_warmup", "cosine"):
        assert 100 < sum(getattr(one, flag) for one in found) < 900
    assert {kind for one in found for kind in one.terms} == set(range(7))
    assert len({GENOME.express(one).program.lines for one in found}) > 250


@pytest.mark.slow
def test_expressed_rules_take_the_published_step(crowd):
    found, theta, gradients, wanted = crowd
    assert relative_error(expressed_path(found, theta, gradients), wanted) <= 1e-10


def test_dense_candidates_take_the_published_step(crowd):
    found, theta, gradients, wanted = crowd
    dense = rules_path([GENOME.candidate(one) for one in found], theta, gradients)
    assert relative_error(dense, wanted) <= 1e-10


@pytest.mark.slow
def test_dense_equals_expressed_in_float32(crowd):
    """Within rounding: 30 steps, coefficients that nearly cancel aside (99.9 % of all weights)."""
    found, theta, gradients, _ = crowd
    gradients = np.clip(gradients, -1e30, 1e30)  # g² overflows in float32
    expressed = expressed_path(found, theta, gradients, dtype=torch.float32)
    dense = rules_path([GENOME.candidate(one) for one in found], theta, gradients, dtype=torch.float32)
    assert (np.isfinite(dense) == np.isfinite(expressed)).all()
    with np.errstate(invalid="ignore"):
        error = np.abs(dense - expressed) / np.maximum.accumulate(np.abs(expressed))
    assert np.quantile(error[np.isfinite(expressed)], 0.999) < 1e-4


def test_all_candidates_share_one_program(crowd):
    for one in crowd[0]:
        assert GENOME.candidate(one).program is DENSE


@pytest.mark.parametrize("kind", range(7))
@pytest.mark.parametrize("use_m", [True, False])
@pytest.mark.parametrize("use_v", [True, False])
def test_infinite_gradients_where_the_published_step_is_finite(kind, use_m, use_v):
    """Only a sum of signs survives an infinite gradient; both forms agree on what does."""
    one = individual([kind], [0.5], use_m=use_m, use_v=use_v)
    gradients = np.array([1.0, math.inf, -2.0, -math.inf, 1.0]).reshape(5, 1, 1)
    theta = np.ones((1, 1))
    expressed = rules_path([GENOME.express(one)], theta, gradients)
    dense = rules_path([GENOME.candidate(one)], theta, gradients)
    assert np.isfinite(dense[-1]).all() == np.isfinite(expressed[-1]).all() == (TERMS[kind] == "sign")
    if TERMS[kind] == "sign":
        wanted = published_path(GENOME.to_json(one), 1.0, gradients.ravel().tolist(), TOTAL)
        np.testing.assert_allclose(dense.ravel(), wanted, rtol=1e-14)


def test_nan_gradients_stay_nan():
    for kind in range(7):
        for rule in (GENOME.express(individual([kind])), GENOME.candidate(individual([kind]))):
            assert np.isnan(rules_path([rule], np.ones((1, 1)), np.full((1, 1, 1), np.nan))).all()


def test_published_winner():
    rule = GENOME.express(individual(**PUBLISHED))
    assert rule.program.lines == (
        "theta = theta*(1 - lr*weight_decay)",
        "m = beta1*m + (1 - beta1)*g",
        "v = beta2*v + (1 - beta2)*g**2",
        "theta = theta - lr*(a_adam*m/(sqrt(v) + eps) + a_sign*sign(g))",
    )
    assert round(rule.hyper["a_sign"], 4) == 0.7344
    assert round(rule.hyper["a_adam"], 4) == 3.6352
    assert rule.lr == pytest.approx(1.2025599933e-3, rel=1e-10)
    assert rule.schedule == Schedule(warmup=100, decay="cosine")
    assert GENOME.from_rule(rule) is not None
    theta, gradients = np.array([[0.7]]), np.array([1.5, -1e-9, 0.0, 3.0]).reshape(-1, 1, 1)
    path = rules_path([rule], theta, gradients, total=500)
    wanted, m, v = 0.7, 0.0, 0.0
    for s, g in enumerate(gradients.ravel()):
        lr = rule.lr * (s + 1) / 100 * 0.5 * (1 + math.cos(math.pi * s / 500))
        m, v = (
            0.8553020861538518 * m + 0.1446979138461482 * g,
            0.9357561078635277 * v + 0.0642438921364723 * g * g,
        )
        update = 0.7344442363116524 * np.sign(g) + 3.635201590951581 * m / (math.sqrt(v) + rule.hyper["eps"])
        wanted = wanted * (1 - lr * rule.hyper["weight_decay"]) - lr * update
        assert path[s, 0, 0] == pytest.approx(wanted, rel=1e-14)


def test_order_and_splitting_of_terms_do_not_show():
    forms = [individual([3, 4, 3, 3], [0.1, 0.7, 0.2, 0.3]), individual([3, 3, 3, 4], [0.3, 0.2, 0.1, 0.7]),
             individual([4, 3], [0.7, math.fsum([0.1, 0.2, 0.3])])]  # fmt: skip
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    assert len({GENOME.express(one).identity for one in forms}) == 1
    assert len({GENOME.candidate(one).identity for one in forms}) == 1


@pytest.mark.parametrize(
    ("genes", "changed"),
    [
        ({"terms": [0]}, {"beta1": 0.1, "beta2": 0.1, "eps": 1e-5, "bias_correction": False, "use_m": False,
                          "clip_value": 0.7, "warmup": 60, "use_v": False}),
        ({"terms": [1], "use_m": False}, {"terms": [0], "beta1": 0.3}),
        ({"terms": [6], "use_m": False}, {"terms": [0], "beta1": 0.3, "use_v": False}),
        ({"terms": [3], "use_m": False}, {"terms": [2], "use_m": True, "beta1": 0.2}),
        ({"terms": [4]}, {"clipping": True, "clip_value": 0.6, "eps": 1e-5}),
        ({"terms": [1], "beta1": 0.0}, {"use_m": False, "beta1": 0.9, "bias_correction": False}),
        ({"terms": [2], "beta2": 0.0}, {"use_v": False, "beta2": 0.9, "bias_correction": False}),
        ({"terms": [0, 3, 3], "alphas": [1.0, 2.0, -2.0]}, {"terms": [0], "alphas": [1.0], "beta1": 0.2}),
        ({"terms": [5]}, {"beta1": 0.3, "beta2": 0.3, "use_v": False}),
    ],
)  # fmt: skip
def test_genes_that_do_nothing_do_not_show(genes, changed):
    first, second = individual(**genes), individual(**{**genes, **changed})
    assert first != second
    assert GENOME.express(first).identity == GENOME.express(second).identity
    assert GENOME.candidate(first).identity == GENOME.candidate(second).identity


def test_genes_that_do_something_show():
    base = individual([3, 5], [1.0, 0.5], clipping=True, use_warmup=True)
    others = [{"lr": 2e-3}, {"beta1": 0.8}, {"beta2": 0.9}, {"eps": 1e-7}, {"weight_decay": 1e-3},
              {"use_m": False}, {"use_v": False}, {"bias_correction": False}, {"clipping": False},
              {"clip_value": 0.5},
              {"use_warmup": False}, {"warmup": 60}, {"cosine": True}, {"alphas": [1.0, 0.6]},
              {"terms": [3, 2]}]  # fmt: skip
    genes = {name: value for name, value in vars(base).items() if name != "fitness"}
    everyone = [base, *(individual(**{**genes, **other}) for other in others)]
    assert len({GENOME.express(one).identity for one in everyone}) == len(everyone)
    assert len({GENOME.candidate(one).identity for one in everyone}) == len(everyone)


def test_equal_expressions_are_equal_candidates_and_the_reverse(crowd):
    pairs = {(GENOME.express(one).identity, GENOME.candidate(one).identity) for one in crowd[0]}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize(
    ("genes", "lines"),
    [
        ({"terms": [4]}, ["theta = theta - lr*sign(g)"]),
        ({"terms": [4], "alphas": [-1.0]}, ["theta = theta - lr*a_sign*sign(g)"]),
        ({"terms": [2], "use_v": False}, ["theta = theta - lr*g/(sqrt(g**2) + eps)"]),
        ({"terms": [5]}, ["theta = theta - lr*g/(abs(g) + eps)"]),
        ({"terms": [0], "clipping": True}, ["g_clip = clip(g, -clip_value, clip_value)",
                                            "theta = theta - lr*g_clip"]),
        ({"terms": [6]}, ["m = beta1*m + (1 - beta1)*g", "m_hat = m/(1 - beta1**t)",
                          "theta = theta - lr*(m_hat + 0.9*(g - m_hat))"]),
        ({"terms": [0, 0], "alphas": [1.0, -1.0]}, ["theta = theta"]),
    ],
)  # fmt: skip
def test_only_what_is_on_is_written(genes, lines):
    one = individual(**{"alphas": [1.0], **genes}, use_wd=False)
    assert list(GENOME.express(one).program.lines) == lines
    one.use_wd = True
    decayed = list(GENOME.express(one).program.lines)
    decayed.remove("theta = theta*(1 - lr*weight_decay)")
    assert decayed == [line for line in lines if line != "theta = theta"]


@pytest.mark.parametrize(
    ("genes", "schedule"),
    [
        ({}, Schedule()),
        ({"use_warmup": True, "warmup": 60}, Schedule(60)),
        ({"cosine": True}, Schedule(0, "cosine")),
        ({"use_warmup": True, "warmup": 60, "cosine": True}, Schedule(60, "cosine")),
    ],
)
def test_warmup_and_cosine_multiply(genes, schedule):
    one = individual([0], **genes)
    assert GENOME.express(one).schedule == GENOME.candidate(one).schedule == schedule
    # with g = 1 and no decay of weights the steps are the learning rates themselves
    one.use_wd = False
    path = rules_path([GENOME.candidate(one)], np.zeros((1, 1)), np.ones((100, 1, 1)), total=100).ravel()
    for s in (0, 1, 58, 59, 60, 99):
        lr = 1e-3 * (min(1, (s + 1) / 60) if one.use_warmup else 1)
        lr *= 0.5 * (1 + math.cos(math.pi * s / 100)) if one.cosine else 1
        assert -(path[s] - (path[s - 1] if s else 0)) == pytest.approx(lr, rel=1e-9)


def test_default_warmup_is_a_fraction_of_the_run():
    genome = TermSum("default")
    one = genome.seeded()[0]
    one.use_warmup, one.warmup = True, 0.25
    assert genome.express(one).schedule.factor(np.array([0, 24, 99]), 100).tolist() == [0.04, 1, 1]
    assert genome.express(one).schedule.factor(np.array([0, 249]), 1000).tolist() == [0.004, 1]

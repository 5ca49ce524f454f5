"""The box: ranges, what may be said about them, and how the two presets draw and move."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from copy import deepcopy as clone

import pytest
from test_genome_contract import check, population, train

from symevo.errors import UserError
from symevo.genomes.box import PAPER, Box, Range, ranges
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule

ADAMW = CLASSICS.get("adamw")


@pytest.mark.parametrize("one", [Range(-2, 3), Range(1e-6, 0.1, "log"), Range(0, 0.9999, "complement")], ids=str)
def test_a_scale_is_a_line_from_end_to_end(one):
    assert [one.at(0), one.at(1)] == pytest.approx([one.low, one.high], rel=1e-12)
    places = [index / 20 for index in range(21)]
    values = [one.at(place) for place in places]
    assert values == sorted(set(values))
    assert [one.place(value) for value in values] == pytest.approx(places)


def test_what_is_even_on_each_scale():
    assert Range(0, 4).at(0.5) == 2
    assert Range(1e-4, 1, "log").at(0.5) == pytest.approx(1e-2)
    assert Range(0, 0.99, "complement").at(0.5) == pytest.approx(0.9)


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("name", list(CLASSICS))
def test_every_number_of_every_classic_has_a_range(name, paper):
    own = CLASSICS.get(name)
    found = ranges(own, own.hyper, paper=paper)
    assert list(found) == list(own.hyper)
    for key, one in found.items():
        assert one.low <= own.hyper[key] <= one.high or (key == "weight_decay" and one.scale == "log")
        assert not paper or one.scale == "linear"


@pytest.mark.parametrize("preset", Box.presets)
@pytest.mark.parametrize("name", list(CLASSICS))
def test_a_box_of_any_classic_breeds_individuals_that_train(name, preset):
    own = CLASSICS.get(name)
    genome = Box(preset, rule=own, tune=own.hyper)
    for individual in population(genome, 8):
        check(genome, individual)
        held = genome.from_rule(genome.express(individual))
        assert list(held) == list(individual)
        assert train(genome.express(individual)).isfinite().all() or preset == "paper" or name == "radam"


def test_default_ranges_by_name():
    found = ranges(ADAMW)
    assert {name: str(one) for name, one in found.items()} == {
        "lr": "1e-05:1:log",
        "beta1": "0:0.99:complement",
        "beta2": "0.5:0.9999:complement",
        "weight_decay": "1e-06:0.1:log",
    }
    assert str(ranges(ADAMW, ["eps"])["eps"]) == "1e-10:0.001:log"
    assert str(ranges(CLASSICS.get("rmsprop"), ["alpha"])["alpha"]) == "0.9:0.999:complement"
    assert str(ranges(CLASSICS.get("adadelta"), ["lr"])["lr"]) == "1e-05:10:log"
    assert str(ranges(rule("theta = theta - lr*k*g", k=-2.0), ["k"])["k"]) == "-4:0:linear"


def test_the_papers_box_is_the_default_one():
    for preset in Box.presets:
        genome = Box(preset)
        assert genome.rule is CLASSICS.get("momentum")
        assert list(genome.ranges) == ["lr", "momentum", "weight_decay"]
    assert Box("paper").ranges == PAPER
    assert Box("paper").mutation == 0.2


def test_a_stated_range_is_taken():
    said = ranges(ADAMW, ["lr=1e-4:0.1", "weight_decay=0:0.2", "beta1=0.5:0.9:linear", " beta2=0.9:0.999"])
    assert said == {
        "lr": Range(1e-4, 0.1, "log"),
        "weight_decay": Range(0, 0.2),  # no logarithm of 0, and no scale was said
        "beta1": Range(0.5, 0.9),
        "beta2": Range(0.9, 0.999, "complement"),
    }
    assert ranges(ADAMW, ["lr=1e-4:0.1"], paper=True) == {"lr": Range(1e-4, 0.1)}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (["lr=1:0.1"], "lr: 1:0.1 is no range: its low must be less than its high"),
        (["lr=1:1"], "its low must be less than its high"),
        (["weight_decay=0:0.1:log"], "weight_decay: 0:0.1 does not fit scale log: it needs numbers above 0"),
        (["weight_decay=-1:0.1:log"], "weight_decay must not be negative"),  # no optimizer would take it
        (["beta1=0:1.5"], r"beta1 must be at least 0 and less than 1, not 1.5"),
        (["lr=-1:1"], "lr must not be negative"),
        (["weight_decay=0:2:complement"], "needs numbers below 1"),
        (["beta3"], "no hyperparameter 'beta3': did you mean 'beta"),
        (["momentum"], "no hyperparameter 'momentum'"),
        (["lr", "lr=0.1:1"], "names lr twice: name each number once"),
        (["lr=0.1"], r"'lr=0.1' is no range: write NAME, NAME=LOW:HIGH or NAME=LOW:HIGH:SCALE"),
        (["lr=0.1:1:log:x"], "is no range: write NAME"),
        (["lr=a:b"], "LOW and HIGH are numbers"),
        (["lr=nan:1"], "lr must be a finite number"),
        (["lr=0.1:inf"], "lr must be a finite number"),
        (["lr=0.1:1:lgo"], "unknown scale 'lgo': did you mean 'log'"),
        (["", "lr"], "'' is no range"),
        ([], "names no number: give some of beta1, "),
    ],
)
def test_wrong_ranges_are_told_in_one_line(spec, message):
    with pytest.raises(UserError, match=message) as error:
        ranges(ADAMW, spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"), [("-1:0.1:log", "does not fit scale log"), ("-1e308:1e308:linear", "too wide a range")]
)
def test_numbers_of_any_sign_have_ranges_that_their_scale_takes(spec, message):
    momentum = CLASSICS.get("momentum")
    assert ranges(momentum, ["dampening=-1:0.1"])["dampening"] == Range(-1, 0.1)
    with pytest.raises(UserError, match=message):
        ranges(momentum, [f"dampening={spec}"])


def test_seeded_numbers_are_the_rules_own_moved_into_their_ranges():
    genome = Box(rule=ADAMW, tune=["lr=1e-2:1", "beta1"])
    assert genome.to_json(genome.seeded()[0]) == {"lr": 1e-2, "beta1": 0.9}
    assert Box("paper").to_json(Box("paper").seeded()[0]) == {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0}


def test_what_is_not_tuned_stays():
    genome = Box(rule=ADAMW.with_hyper(eps=1e-5), tune=["lr"])
    random.seed(0)
    found = genome.express(genome.create())
    assert found.hyper["eps"] == 1e-5
    assert found.program.lines == ADAMW.program.lines
    assert genome.from_rule(found.with_hyper(eps=1e-6)) is None
    assert genome.from_rule(found.with_hyper(lr=2.0)) is None
    assert genome.from_rule(CLASSICS.get("adam")) is None


def test_the_default_draws_evenly_on_its_scale_and_the_paper_evenly():
    random.seed(0)
    for preset, share in (("default", 3 / 5), ("paper", (1e-2 - 1e-4) / (1 - 1e-4))):
        drawn = [Box(preset).create()[0] for _ in range(2000)]
        assert sum(lr < 1e-2 for lr in drawn) / 2000 == pytest.approx(share, abs=0.04)


def test_crossover_takes_each_number_from_either_parent():
    genome = Box("paper")
    random.seed(0)
    seen = Counter()
    for _ in range(400):
        a, b = genome.individual([0.1, 0.1, 0.01]), genome.individual([0.2, 0.2, 0.02])
        genome.mate(a, b)
        assert sorted([a[0], b[0]]) == [0.1, 0.2]
        seen[tuple(a)] += 1
    assert len(seen) == 8
    assert min(seen.values()) > 25


def test_the_papers_mutation_draws_each_number_anew_with_its_probability():
    random.seed(0)
    for said, expected in ((None, 0.2), (0.05, 0.05)):
        genome, changed = Box("paper", mutation=said), Counter()
        parent = genome.seeded()[0]
        for _ in range(3000):
            child = genome.mutate(clone(parent), progress=0.5)[0]
            changed.update(name for name, a, b in zip(genome.ranges, parent, child, strict=True) if a != b)
        assert [changed[name] / 3000 for name in genome.ranges] == pytest.approx([expected] * 3, abs=0.03)


def test_the_defaults_steps_shrink_and_always_change_something():
    genome = Box()
    one, middle = genome.ranges["lr"], genome.individual([1e-2, 0.5, 1e-4])
    spread = []
    for progress in (0.0, 1.0):
        random.seed(0)
        children = [genome.mutate(clone(middle), progress=progress)[0] for _ in range(2000)]
        assert all(list(child) != list(middle) for child in children)
        moved = sorted(abs(one.place(child[0]) - one.place(1e-2)) for child in children if child[0] != 1e-2)
        spread.append(moved[len(moved) // 2])
    assert spread[0] > 2.5 * spread[1]


def test_steps_beyond_an_end_come_back():
    genome = Box(tune=["lr"])
    random.seed(0)
    edge = genome.individual([genome.ranges["lr"].high])
    children = [genome.mutate(clone(edge), progress=0.0)[0][0] for _ in range(500)]
    assert max(Counter(children).values()) == 1  # nothing piles up at the end
    assert all(genome.ranges["lr"].holds(lr) for lr in children)


def test_json_reads_whole_numbers_as_floats():
    genome = Box("paper")
    back = genome.from_json(json.loads('{"lr": 1, "momentum": 0, "weight_decay": 0}'))
    assert all(isinstance(value, float) for value in back)
    assert math.isclose(genome.express(back).lr, 1)

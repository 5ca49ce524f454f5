"""What DEAP's own tools promise of every registered genome: its algorithms, its hall of fame and its checkpoint."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from deap import algorithms, tools
from hypothesis import given, settings
from hypothesis import strategies as st

import symevo.genomes
from symevo.genomes.base import GENOMES
from symevo.search.loops import make_toolbox, statistics

KINDS = [(name, preset) for name in GENOMES for preset in GENOMES.get(name).presets]
GENERATIONS = 4


class Scores:
    """Fitness of a genome that is a number of its own; keeps how many were scored at once."""

    def __init__(self, genome: Any) -> None:
        self.genome, self.batches = genome, list[int]()

    def __call__(self, individual: Any) -> tuple[float, ...]:
        return self.many([individual])[0]

    def many(self, individuals: Any) -> list[tuple[float, ...]]:
        self.batches.append(len(individuals))
        return [(self.score(one),) for one in individuals]

    def score(self, individual: Any) -> float:
        text = json.dumps(self.genome.to_json(individual), sort_keys=True)
        return int(hashlib.blake2b(text.encode(), digest_size=6).hexdigest(), 16) / 2**48


@pytest.fixture(params=KINDS, ids="-".join)
def genome(request: pytest.FixtureRequest) -> Any:
    assert symevo.genomes.__doc__
    random.seed(1)
    return GENOMES.get(request.param[0])(request.param[1])


def simple(toolbox: Any, **watched: Any) -> Any:
    return algorithms.eaSimple(toolbox.population(n=10), toolbox, 0.7, 0.7, GENERATIONS, verbose=False, **watched)


def plus(toolbox: Any, **watched: Any) -> Any:
    people = toolbox.population(n=10)
    return algorithms.eaMuPlusLambda(people, toolbox, 10, 12, 0.5, 0.5, GENERATIONS, verbose=False, **watched)


def comma(toolbox: Any, **watched: Any) -> Any:
    people = toolbox.population(n=10)
    return algorithms.eaMuCommaLambda(people, toolbox, 10, 12, 0.5, 0.5, GENERATIONS, verbose=False, **watched)


def generate_update(toolbox: Any, **watched: Any) -> Any:
    """The best so far, and what mutation makes of it: a strategy that needs nothing but the toolbox."""
    known: list[Any] = []

    def generate() -> list[Any]:
        return [toolbox.mutate(toolbox.clone(known[0]))[0] for _ in range(10)] if known else toolbox.population(n=10)

    def update(people: list[Any]) -> None:
        known[:] = tools.selBest([*known, *people], 1)

    toolbox.register("generate", generate)
    toolbox.register("update", update)
    return algorithms.eaGenerateUpdate(toolbox, GENERATIONS, verbose=False, **watched)


ALGORITHMS = {"eaSimple": simple, "eaMuPlusLambda": plus, "eaMuCommaLambda": comma, "eaGenerateUpdate": generate_update}


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_its_algorithms_run_on_the_toolbox_as_they_are(genome: Any, name: str) -> None:
    scores, hall = Scores(genome), tools.HallOfFame(5)
    toolbox = make_toolbox(genome, scores, tournament=3)
    final, log = ALGORITHMS[name](toolbox, stats=statistics(), halloffame=hall)
    assert len(scores.batches) == len(log) == GENERATIONS + (name != "eaGenerateUpdate")  # a generation at once
    assert {len(final)} == {10}
    for one in final:
        genome.validate(one)
        assert one.fitness.values == (scores.score(one),)
    assert hall[0].fitness.values[0] >= max(log.select("best"))


def test_a_mutation_of_which_no_progress_is_said_is_one_of_the_start(genome: Any) -> None:
    toolbox = make_toolbox(genome, Scores(genome), tournament=3)
    for name in ("mutate", *(name for name in genome.operators if name.startswith("mutate_"))):
        operator, one, made = getattr(toolbox, name), toolbox.individual(), []
        for progress in ({}, {"progress": 0.0}):
            random.seed(5)
            (changed,) = operator(toolbox.clone(one), **progress)
            genome.validate(changed)
            made.append(genome.to_json(changed))
        assert made[0] == made[1]


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), changes=st.integers(0, 3))
def test_individuals_are_equal_where_their_genes_are(kind: tuple[str, str], seed: int, changes: int) -> None:
    genome = GENOMES.get(kind[0])(kind[1])
    random.seed(seed)
    one, other = genome.create(), genome.create()
    one.fitness.values = (0.5,)
    toolbox = make_toolbox(genome, Scores(genome), tournament=3)
    changed = toolbox.clone(one)
    for _ in range(changes):
        toolbox.mutate(changed)
    copied = pickle.loads(pickle.dumps(one))
    for twin in (toolbox.clone(one), copied, genome.from_json(genome.to_json(one))):
        assert twin == one
    for a in (one, copied):
        for b in (changed, other):
            same = genome.to_json(a) == genome.to_json(b)
            assert (a == b) is (b == a) is same
            assert (a != b) is (b != a) is (not same)
    assert one != genome.to_json(one)
    assert one != "genes"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_after_its_checkpoint_a_hall_of_fame_holds_no_one_twice(genome: Any, tmp_path: Path) -> None:
    """As https://deap.readthedocs.io/en/master/tutorials/advanced/checkpoint.html has it."""
    toolbox, hall = make_toolbox(genome, Scores(genome), tournament=3), tools.HallOfFame(4)
    population, _ = simple(toolbox, halloffame=hall)
    before = [genome.to_json(one) for one in hall]
    kept = {"population": population, "halloffame": hall, "rndstate": random.getstate()}
    (tmp_path / "checkpoint.pkl").write_bytes(pickle.dumps(kept))
    again = pickle.loads((tmp_path / "checkpoint.pkl").read_bytes())
    again["halloffame"].update(population)
    hall.update(again["population"])
    for found in (hall, again["halloffame"]):
        genes = [genome.to_json(one) for one in found]
        assert genes == before
        assert all(genes.count(one) == 1 for one in genes)

"""A genome is turned into its rule, and the rule into its identity, once: when a child is made."""

from __future__ import annotations

from collections import Counter

import pytest

from symevo.evolution import evolve as api  # fills the registries, which a fixture empties of what a test adds
from symevo.genomes.expression import genome as expression
from symevo.genomes.expression.genome import Expression
from symevo.genomes.term_sum import genome as term_sum
from symevo.genomes.term_sum.genome import TermSum
from symevo.settings.resolution import resolve

SETTINGS = {"tasks": ["quadratic"], "population": 12, "generations": 6, "steps": 5, "seed": 3}


@pytest.fixture
def made(monkeypatch):
    """Counts rules by kind, and identities; the classics that a search starts from are matched before it does."""
    found: Counter[str] = Counter()

    def count(owner, name):
        real = getattr(owner, name)

        def counted(*args, **kwargs):
            found[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    for name in ("readable", "dense"):
        count(term_sum, name)
    count(expression, "express")
    for kind in (TermSum, Expression):
        count(kind, "identity")
    return found


@pytest.mark.parametrize(
    ("system", "more", "rules"),
    [
        ("term-sum", {}, ("readable", "dense")),
        ("expression", {"preset": "quick"}, ("express",)),
        ("expression", {"preset": "quick", "loop": "generational", "polish": 2}, ("express",)),
    ],
)
def test_each_individual_is_decoded_once(tmp_path, made, system, more, rules):
    run = api.start(resolve({"system": system, "out": tmp_path / "run", **SETTINGS, **more}), engine="inline")
    offered = sum(sum(record["dropped"].values()) for record in run.history)
    offered += sum(record["evaluations"] + record["cached"] for record in run.history)
    for name in (*rules, "identity"):
        assert 0 < made[name] <= 1.1 * offered, name

"""Hints about unknown names."""

from __future__ import annotations

import pytest

from symevo.errors import UserError
from symevo.registry import Registry, nearest


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("AdamW", ["adam", "adamw"], "did you mean 'adamw'?"),
        ("--Populaton", ["--population", "--seed"], "did you mean '--population'?"),
        ("weight-decay", ["lr", "weight_decay"], "did you mean 'weight_decay'?"),
        ("--foo", ["--json", "--seed"], "known: --json, --seed"),
        ("--node", ["--json", "--seeds"], "known: --json, --seeds"),
        ("sophia", ["sgd", "lion"], "known: sgd, lion"),
        ("", ["sgd", "lion"], "known: sgd, lion"),
    ],
)
def test_only_what_is_close_is_suggested(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint


def test_what_a_python_caller_gives_has_the_name_of_its_type() -> None:
    registry: Registry = Registry("part")
    registry.register("Taken", object)

    class Part:
        pass

    class Taken:
        pass

    first = Part()
    assert (registry.adopt(None), registry.adopt("by-name")) == (None, "by-name")
    assert registry.get(registry.adopt(first))(1, 2) is first
    assert registry.get(registry.adopt(Part)) is Part, "a later one takes its place"
    with pytest.raises(UserError, match="part 'Taken' is registered already"):
        registry.adopt(Taken())

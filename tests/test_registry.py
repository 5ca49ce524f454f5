"""Hints about unknown names."""

from __future__ import annotations

import pytest

from symevo.registry import nearest


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

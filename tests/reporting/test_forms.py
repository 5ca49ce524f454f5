"""Forms in words, and trees as pictures."""

from __future__ import annotations

from symevo.genomes.expression.grammar import all_forms
from symevo.reporting.text.tables import form_lines, tree_picture


def test_every_form_says_what_it_means():
    lines = form_lines(all_forms())
    assert len(lines) == len(all_forms())
    assert lines["ema_hat(x, β)"] == "s_t/(1 - βᵗ), where s_t = β·s_{t-1} + (1 - β)·x"
    assert lines["last(x)"] == "s_{t-1}, where s_t = x"
    assert lines["clamp(x, c)"] == "clip(x, -c, c)"
    assert lines["ratio(x, y)"] == "x/(|y| + 1e-8)"


def test_a_tree_as_a_picture():
    adam = ["ratio", ["ema_hat", "g", 0.9], ["root", ["ema_hat", ["square", "g"], 0.999]]]
    assert tree_picture(adam) == [
        "ratio",
        "├─ ema_hat 0.9",
        "│  └─ g",
        "└─ root",
        "   └─ ema_hat 0.999",
        "      └─ square",
        "         └─ g",
    ]
    assert tree_picture("g") == ["g"]

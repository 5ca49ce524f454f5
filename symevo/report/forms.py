"""Forms of the grammar in words, and trees as text pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from symevo.genomes.expression_grammar import OLD, Form, Number, Rate
from symevo.rules.expression import Expr, Name, replace_names
from symevo.rules.printing import Unicode, rounded


def tree_picture(tree: Any) -> list[str]:
    r"""A tree of nested lists, ``[name, argument, …]``, a node a line; numbers stand behind the name of their node.

    Example:
        >>> print("\n".join(tree_picture(["sign", ["mix", ["last", "g"], "g", 0.9]])))
        sign
        └─ mix 0.9
           ├─ last
           │  └─ g
           └─ g
    """
    if not isinstance(tree, list | tuple):
        return [_word(tree)]
    name, *args = tree
    below = [one for one in args if not _is_number(one)]
    lines = [" ".join([str(name), *(_word(one) for one in args if _is_number(one))])]
    for place, branch in enumerate(below, 1):
        last = place == len(below)
        first, *rest = tree_picture(branch)
        lines += [f"{'└─' if last else '├─'} {first}", *(f"{' ' if last else '│'}  {line}" for line in rest)]
    return lines


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _word(value: Any) -> str:
    return rounded(value, 4) if _is_number(value) else str(value)


LEGEND = (
    "x, y, z: a value for each weight; g, the gradient, is where a tree begins. β: a rate from 0 to 0.9999. "
    "c: a number from 1e-8 to 100. s: a state, kept for each weight, 0 at first."
)


def form_lines(forms: dict[str, Form]) -> dict[str, str]:
    """For each form how it is called, and what it means."""
    return dict(_described(form) for form in forms.values())


def _described(form: Form) -> tuple[str, str]:
    places = dict(zip("xyz", _letters(form), strict=False))
    printer = Unicode(["x", "y", "z", "c", "beta", "s", "t"])

    def text(expr: Expr) -> str:
        return printer.text(replace_names(expr, places))

    call = f"{form.name}({', '.join(printer.name(letter) for letter in places.values())})"
    if form.update is None:
        return call, text(form.value)
    value = replace_names(form.value, {"s": Name("s_{t}"), OLD: Name("s_{t-1}")})
    update = replace_names(form.update, {"s": Name("s_{t-1}")})
    return call, f"{text(value)}, where s_t = {text(update)}"


_NUMBERS = {Rate: "beta", Number: "c"}


def _letters(form: Form) -> Iterator[str]:
    signals = iter("xyz")
    for kind in form.args:
        yield _NUMBERS.get(kind) or next(signals)

"""Validation errors in one line: what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from symevo.errors import UserError
from symevo.registry import nearest

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "dict": "an object",
    "path": "a path",
}


def flag(name: str) -> str:
    """A setting as the command line writes it."""
    return "--" + name.replace("_", "-")


def unknown_setting(name: str, known: Sequence[str], *, where: str = "") -> UserError:
    """The error about a setting that does not exist; it names the nearest that does."""
    return UserError(f"unknown setting {name!r}{where}: {nearest(name, list(known))}")


def explain(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in one line."""
    first = error.errors(include_url=False)[0]
    kind, given, context = first["type"], first.get("input"), first.get("ctx", {})
    name = flag(str(first["loc"][0])) if first["loc"] else "settings"
    if kind == "value_error":
        text = str(context["error"])
        return text if text.startswith("--") or not first["loc"] else f"{name}: {text}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{name} must be {words} {context[bound]:g}, not {given}"
    if kind == "literal_error":
        return f"{name} must be {context['expected']}, not {given!r}"
    if kind == "too_short":
        return f"{name} must name at least one"
    return f"{name} must be {_wanted(kind)}, not {_short(given)}"


def _wanted(kind: str) -> str:
    return next((words for start, words in _KINDS.items() if kind.startswith(start)), "of another kind")


def _short(given: Any) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) <= 60 else text[:57] + "..."

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


class SettingError(UserError):
    """Wrong use of one setting, whose name stands first: its field, or in ``flagged`` its flag."""

    def __init__(self, name: str, complaint: str) -> None:
        gap = "" if complaint.startswith(":") else " "
        super().__init__(f"{name}{gap}{complaint}")
        self.flagged = f"{flag(name)}{gap}{complaint}"


def unknown_setting(name: str, known: Sequence[str], *, where: str = "") -> UserError:
    """The error about a setting that does not exist; it names the nearest that does."""
    return UserError(f"unknown setting {name!r}{where}: {nearest(name, list(known))}")


def explain(error: ValidationError) -> UserError:
    """The first thing that pydantic found wrong, in one line."""
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    if isinstance(context.get("error"), SettingError):
        return context["error"]
    if not first["loc"]:
        return UserError(f"settings: {first['msg']}")
    return SettingError(str(first["loc"][0]), _complaint(first["type"], first.get("input"), context))


def _complaint(kind: str, given: Any, context: dict[str, Any]) -> str:
    if kind == "value_error":
        return f": {context['error']}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"must be {words} {_number(context[bound])}, not {_short(given)}"
    if kind == "literal_error":
        return f"must be {context['expected']}, not {_short(given)}"
    if kind == "too_short":
        return "must name at least one"
    return f"must be {_wanted(kind)}, not {_short(given)}"


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _wanted(kind: str) -> str:
    return next((words for start, words in _KINDS.items() if kind.startswith(start)), "of another kind")


def _short(given: Any) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) <= 60 else text[:57] + "..."

"""Names of an exported file: those of the rule where Python lets it, and readable ones for what has no name."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable

from symevo.rules.expression import Expr, Name, Num, Op
from symevo.rules.primitives import PRIMITIVES

_AMBIGUOUS = frozenset({"l", "O", "I"})
_FILE = frozenset(
    {"torch", "difflib", "math", "warnings", "Tensor", "Any", "Callable", "Iterable", "wide", "numbers", "lists"}
)
RESERVED = _FILE | _AMBIGUOUS | frozenset(dir(builtins)) | frozenset(keyword.kwlist) | frozenset(keyword.softkwlist)
"""Names that mean something else in an exported file, or that a linter complains of."""

GENERAL = frozenset({"k", "holds", "number"})
"""Names that say little, of which there may be many."""


class Names:
    """Gives out names, none twice.

    Args:
        taken: Names that must not be given out.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*taken, *PRIMITIVES, *RESERVED}

    def numbered(self, wanted: str) -> str:
        """``wanted1``, ``wanted2`` and so on."""
        return self.new(next(name for count in range(1, 10**6) if (name := f"{wanted}{count}") not in self._taken))

    def new(self, wanted: str) -> str:
        """``wanted``, with a number where it is taken, or where it is one of :data:`GENERAL`."""
        if wanted in GENERAL:
            return self.numbered(wanted)
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name


def spelled(names: Iterable[str], *, longest: int) -> dict[str, str]:
    """A rule's names as an exported file has them.

    They are themselves, but for one such as ``max``, which becomes ``max_2``, and for names that are too long for a
    line of code to hold several.
    """
    wanted = list(dict.fromkeys(names))
    free = Names(set(wanted))
    return {
        name: name if name not in RESERVED and len(name) <= longest else free.new(name[:longest]) for name in wanted
    }


def scalar_name(expr: Expr) -> str:
    """What a number that has no name of its own may be called."""
    match expr:
        case Num(value):
            return {0.0: "zero", 1.0: "one"}.get(value, "number")
        case Op("-", (Num(1.0), Name(name))):
            return f"one_minus_{name}"
        case Op("-", (Num(1.0), Op("**", (Name(name), Name("t"))))):
            return f"one_minus_{name}_t"
        case Op("/", (Num(1.0), Op("-", (Num(1.0), Op("**", (Name(name), Name("t"))))))):
            return f"{name}_correction"
        case Op("/", (Num(1.0), Name(name))):
            return f"one_over_{name}"
        case Op("neg", (Name(name),)):
            return f"minus_{name}"
        case Op("<=", (Name("t"), Num(1.0))):
            return "first"
        case Op("<" | "<=" | ">" | ">=" | "==" | "!="):
            return "holds"
    return "k"

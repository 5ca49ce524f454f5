"""Names of an exported file: those of the rule where Python lets it, and readable ones for what has no name.

Text as formatters lay it out: one line where there is room, else an item a line.
"""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
from collections.abc import Iterable

from symevo.rules.expression import Expr, Name, Num, Op
from symevo.rules.primitives import PRIMITIVES

LIMIT = 120


def called(start: str, items: Iterable[str], end: str, *, indent: int = 0) -> str:
    """``start(items)end``, as ruff and black break it, from column ``indent`` on; items come without commas."""
    items = list(items)
    space = " " * indent
    line = f"{space}{start}{', '.join(items)}{end}"
    if len(line) <= LIMIT:
        return line
    return "\n".join([f"{space}{start}", *(f"{space}    {item}," for item in items), f"{space}{end}"])


def paragraph(text: str, *, indent: int = 0, hanging: int = 0) -> str:
    """Words in lines of at most 120 columns, once a method's four are put in front of them."""
    space = " " * indent
    return textwrap.fill(
        text, LIMIT - 4, initial_indent=space, subsequent_indent=space + " " * hanging, break_on_hyphens=False
    )


def comment(text: str) -> str:
    """Text as comments; what follows ``# `` on all lines, put together without line breaks, is the text's own."""
    lines: list[str] = []
    for line in text.split("\n"):
        while len(line) > LIMIT - 2:
            cut = len(line[: LIMIT - 2].rstrip())
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return "\n".join(f"# {line}".rstrip() for line in lines)


def class_name(name: str) -> str:
    """A rule's name as a class: ``rmsprop-momentum`` becomes ``RmspropMomentum``."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    found = "".join(word[:1].upper() + word[1:] for word in words)
    return found if found[:1].isalpha() else f"Rule{found}"


_AMBIGUOUS = frozenset({"l", "O", "I"})
_FILE = frozenset(
    {"torch", "difflib", "math", "warnings", "Tensor", "Any", "Callable", "Iterable", "wide", "numbers", "lists"}
)
RESERVED = _FILE | _AMBIGUOUS | frozenset(dir(builtins)) | frozenset(keyword.kwlist) | frozenset(keyword.softkwlist)
"""Names that mean something else in an exported file, or that a linter complains of."""

_LOCAL = frozenset({"self", "group", "update", "device", "dtype", "rows", "param"})
"""Names of the file's own that stand beside the rule's in a function."""

GENERAL = frozenset({"k", "holds", "number"})
"""Names that say little, of which there may be many."""


class Names:
    """Gives out names, none twice and none that is taken."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*taken, *_unusable()}

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
    free, unusable = Names(set(wanted)), _unusable()
    return {
        name: name if name not in unusable and len(name) <= longest else free.new(name[:longest]) for name in wanted
    }


def _unusable() -> frozenset[str]:
    """Names that no variable of a rule can have; primitives may have been made since the rule was read."""
    return RESERVED | _LOCAL | frozenset(PRIMITIVES)


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

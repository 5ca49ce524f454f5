"""A program in the parts that an exported file has: what is computed once a step, and what for every weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from symevo.rules.backends.lowering import Lowered, Slot, lower, with_reciprocals
from symevo.rules.export.names import Names, scalar_name, spelled
from symevo.rules.export.text import written_out
from symevo.rules.expression import Expr, Name, Num, Op, fold, names_in, replace_names
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.program import Program

Statement = tuple[str, Expr]
_LONGEST = 14
"""Characters of a name, so that the longest line of three lists has room."""
_SUMS = frozenset({"+", "-", "*"})
_BOUNDS = frozenset({"maximum", "minimum", "clip"})


@dataclass(frozen=True)
class Parts:
    """A program in Python's names.

    Attributes:
        spelling: The rule's names as Python has them.
        states: Per-weight states, in the rule's names.
        scalar_states: Scalar states, in the rule's names.
        scalars: Lines that are computed once a step, in float64.
        numbers: Names of what the lines for every weight read of these, in order.
        tensors: Lines for every weight. A number that they read is a name of ``numbers``, or a literal.
    """

    spelling: dict[str, str]
    states: tuple[str, ...]
    scalar_states: tuple[str, ...]
    scalars: tuple[Statement, ...]
    numbers: tuple[str, ...]
    tensors: tuple[Statement, ...]

    @classmethod
    def of(cls, program: Program) -> Parts:
        """Splits a program; lines that nothing depends on are left out."""
        names = ["theta", "g", "t", "T", "lr", *program.memory, *program.temporaries, *program.hyper_names]
        lowered, apart = _apart(_in_place_of_quotients(with_reciprocals(lower(program))), names)
        spelling = spelled([*names, *apart], longest=_LONGEST)
        tensors = _live(lowered.tensors, {"theta", *lowered.states})
        slots = _Slots(lowered, spelling)
        lines = tuple((spelling[target], written_out(slots.inside(expr))) for target, expr in tensors)
        ends = {f"${index}" for index in slots.names}
        scalars = _live(lowered.scalars, {*lowered.scalar_states, *ends})
        return cls(
            spelling=spelling,
            states=lowered.states,
            scalar_states=lowered.scalar_states,
            scalars=tuple(slots.statement(target, expr) for target, expr in scalars if not slots.is_plain(target)),
            numbers=tuple(slots.names.values()),
            tensors=lines,
        )

    def reads(self, name: str) -> bool:
        """Whether a line that is computed once a step, or what it hands on, reads a name of the rule."""
        wanted = self.spelling.get(name, name)
        return wanted in self.numbers or any(wanted in names_in(expr) for _, expr in self.scalars)


def _apart(lowered: Lowered, names: Iterable[str]) -> tuple[Lowered, list[str]]:
    """Gives per-weight values other names than numbers, as a step may assign both to one; tells the new names."""
    free, numbers = Names(names), {target for target, _ in lowered.scalars}
    renamed = {target: free.new(target) for target, _ in lowered.tensors if target in numbers}
    tensors = tuple((renamed.get(target, target), replace_names(expr, renamed)) for target, expr in lowered.tensors)
    return replace(lowered, tensors=tensors), list(renamed.values())


def _in_place_of_quotients(lowered: Lowered) -> Lowered:
    """The same with each slot that reads another one computed where that one is, from what that one is made of."""
    made = {target: expr for target, expr in lowered.scalars if target.startswith("$")}
    readers = {target: expr for target, expr in made.items() if any(name in made for name in names_in(expr))}
    scalars: list[Statement] = []
    for target, expr in lowered.scalars:
        if target not in readers:
            more = [(reader, text) for reader, text in readers.items() if target in names_in(text)]
            scalars += [(target, expr), *((reader, replace_names(text, {target: expr})) for reader, text in more)]
    return replace(lowered, scalars=tuple(scalars))


class _Slots:
    """Names for the scalars that per-weight lines read."""

    def __init__(self, lowered: Lowered, spelling: dict[str, str]) -> None:
        self.spelling = spelling
        self.names: dict[int, str] = {}
        self._free = Names(spelling.values())
        self._exprs = {target: expr for target, expr in lowered.scalars if target.startswith("$")}
        self._last = {target: at for at, (target, _) in enumerate(lowered.scalars)}
        self._taken: set[str] = set()

    def expr(self, slot: Slot) -> Expr:
        return self._exprs[f"${slot.index}"]

    def is_plain(self, target: str) -> bool:
        """Whether a slot is a name's value at the end of the step, which needs no line."""
        return target.startswith("$") and self.names[int(target[1:])] in self._taken

    def statement(self, target: str, expr: Expr) -> Statement:
        name = self.names[int(target[1:])] if target.startswith("$") else self.spelling[target]
        return name, written_out(replace_names(fold(expr), self.spelling))

    def name(self, slot: Slot) -> Name:
        """The name of a slot, given out when it is first read."""
        if slot.index not in self.names:
            expr = self.expr(slot)
            if isinstance(expr, Name) and self._last.get(expr.id, -1) < self._last[f"${slot.index}"]:
                self.names[slot.index] = self.spelling[expr.id]
                self._taken.add(self.spelling[expr.id])
            else:
                spelled_out = replace_names(expr, self.spelling)
                wanted = spelled_out.id if isinstance(spelled_out, Name) else scalar_name(spelled_out)
                self.names[slot.index] = self._free.new(wanted)
        return Name(self.names[slot.index])

    def inside(self, expr: Any, *, literal: bool = False) -> Expr:
        """A per-weight expression with names where slots stood, or literals where those are allowed."""
        if isinstance(expr, Slot):
            constant = self._constant(expr)
            return constant if literal and constant is not None else self.name(expr)
        if isinstance(expr, Name):
            return Name(self.spelling[expr.id])
        if not isinstance(expr, Op):
            return expr
        allowed = [self._literal_allowed(expr, at) for at in range(len(expr.args))]
        return Op(expr.name, tuple(self.inside(one, literal=ok) for one, ok in zip(expr.args, allowed, strict=True)))

    def _literal_allowed(self, expr: Op, at: int) -> bool:
        """Where torch takes a literal and gives the same bits as with a tensor of one number."""
        constants = [self._constant(one) for one in expr.args]
        if expr.name == "where":  # two literals alone would have torch's default type
            return at > 0 and None in constants[1:]
        if expr.name in _BOUNDS:  # of 0.0 and -0.0, not all of torch's forms take the same for the larger
            bounds = constants[1:] if expr.name == "clip" else [one for one in constants if one is not None]
            return None not in bounds and Num(0.0) not in bounds and (expr.name != "clip" or at > 0)
        if expr.name == "/":  # a literal over a tensor is a product with its reciprocal
            return at == 1
        return expr.name in _SUMS or PRIMITIVES.get(expr.name).kind == "comparison"

    def _constant(self, expr: Any) -> Expr | None:
        """The number that a slot always holds."""
        found = fold(self.expr(expr)) if isinstance(expr, Slot) else None
        return found if found is not None and _is_literal(found) else None


def _is_literal(expr: Expr) -> bool:
    return isinstance(expr, Num) or (isinstance(expr, Op) and expr.name == "neg" and isinstance(expr.args[0], Num))


def _live(statements: Sequence[tuple[str, Any]], ends: Iterable[str]) -> list[tuple[str, Any]]:
    """Statements that something in ``ends`` depends on; none that assigns a name to itself."""
    live, kept = set(ends), []
    for target, expr in reversed(statements):
        if target in live and expr != Name(target):
            live.discard(target)
            live.update(_names(expr))
            kept.append((target, expr))
    return kept[::-1]


def _names(expr: Any) -> Iterable[str]:
    if isinstance(expr, Name):
        return [expr.id]
    return [name for one in expr.args for name in _names(one)] if isinstance(expr, Op) else []

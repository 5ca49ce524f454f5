"""Instructions: the per-weight part of a program for the interpreter.

::

    Lowered → three-address code, equal sub-expressions once → places in memory or in a few registers

An operand is one of ``("theta",)``, ``("g",)``, ``("state", i)``, ``("slot", i)`` and ``("register", i)``. Slots of
literal numbers follow the slots of the lowered program. No instruction writes where it reads: a loop that does runs on
one number at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from symevo.rules.expression import Name, Num
from symevo.rules.lowering import Lowered, Slot

COPY = "copy"
Operand = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Instruction:
    """``out = name(*args)``; ``name`` is a primitive or :data:`COPY`."""

    name: str
    out: Operand
    args: tuple[Operand, ...]

    @property
    def mask(self) -> tuple[bool, ...]:
        """For each argument whether it has a value for each weight."""
        return tuple(argument[0] != "slot" for argument in self.args)


@dataclass(frozen=True, slots=True)
class Code:
    """A program's instructions.

    Attributes:
        instructions: In order.
        literals: Values of the slots that follow those of the lowered program.
        registers: Number of registers in use.
    """

    instructions: tuple[Instruction, ...]
    literals: tuple[float, ...]
    registers: int


def assemble(lowered: Lowered) -> Code:
    """The instructions of a program."""
    homes = {name: ("state", index) for index, name in enumerate(lowered.states)} | {"theta": ("theta",)}
    writer = _Writer(lowered)
    for target, expr in lowered.tensors:
        value = writer.value(expr)
        if target in homes and value[0] != "value":  # what memory holds now may be overwritten before the step ends
            value = writer.emit(COPY, (value,))
        writer.env[target] = value
    finals = [(home, writer.env[name]) for name, home in homes.items() if writer.env[name] != home]
    return _place(writer.instructions, finals, tuple(writer.literals))


class _Writer:
    """Three-address code in which every value is written once; ``("value", i)`` is that of instruction i."""

    def __init__(self, lowered: Lowered) -> None:
        self.slots = lowered.slots
        self.literals: dict[float, Operand] = {}
        self.instructions: list[Instruction] = []
        self.known: dict[tuple[str, tuple[Operand, ...]], Operand] = {}
        self.env: dict[str, Operand] = {"theta": ("theta",), "g": ("g",)}
        self.env |= {name: ("state", index) for index, name in enumerate(lowered.states)}

    def value(self, expr: Any) -> Operand:
        if isinstance(expr, Slot):
            return ("slot", expr.index)
        if isinstance(expr, Num):
            return self.literals.setdefault(expr.value, ("slot", self.slots + len(self.literals)))
        if isinstance(expr, Name):
            return self.env[expr.id]
        if expr.name == "**" and expr.args[1] == Num(2.0):
            base = self.value(expr.args[0])
            return self.emit("*", (base, base))
        return self.emit(expr.name, tuple(map(self.value, expr.args)))

    def emit(self, name: str, args: tuple[Operand, ...]) -> Operand:
        if (name, args) not in self.known:
            out = self.known[name, args] = ("value", len(self.instructions))
            self.instructions.append(Instruction(name, out, args))
        return self.known[name, args]


def _place(instructions: list[Instruction], finals: list[tuple[Operand, Operand]], literals: tuple[float, ...]) -> Code:
    """Gives every value a place: the memory that it ends up in, where nothing there is needed any more, or a register.

    Args:
        instructions: From the writer.
        finals: Pairs (home in memory, value that it holds after the step).
        literals: Of the code.
    """
    last: dict[Operand, int] = {}
    for index, one in enumerate(instructions):
        last |= dict.fromkeys(one.args, index)
    places: dict[Operand, Operand] = {}
    copies: list[tuple[Operand, Operand]] = []
    for home, value in finals:
        if value not in places and last.get(home, -1) < value[1]:
            places[value] = home
        else:
            copies.append((home, value))
            last[value] = len(instructions)
    idle: list[Operand] = []
    registers = 0
    placed: list[Instruction] = []
    for index, one in enumerate(instructions):
        if one.out not in places:
            if not idle:
                idle.append(("register", registers))
                registers += 1
            places[one.out] = idle.pop()
        placed.append(Instruction(one.name, places[one.out], tuple(places.get(a, a) for a in one.args)))
        ended = [a for a in dict.fromkeys(one.args) if last[a] == index and places.get(a, a)[0] == "register"]
        idle += [places[a] for a in ended]
    placed += [Instruction(COPY, home, (places[value],)) for home, value in copies]
    return Code(tuple(placed), literals, registers)

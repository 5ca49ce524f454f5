"""The interpreter: one kernel for any mix of programs, with nothing to compile for any of them.

::

    for each row, each block of its weights, each instruction of its program: one loop over the block

A block's registers stay in the first-level cache, and the loops are machine code
(:mod:`symevo.rules.backends.interpreter_loops`), so a row costs little more than in a kernel compiled for its program
alone. A row's numbers do not depend on the other rows.

Instructions: the per-weight part of a program for the interpreter.

::

    Lowered → three-address code, equal sub-expressions once → places in memory or in a few registers

An operand is one of ``("theta",)``, ``("g",)``, ``("state", i)``, ``("slot", i)`` and ``("register", i)``. Slots of
literal numbers follow the slots of the lowered program. No instruction writes where it reads: a loop that does runs on
one number at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from numba import types

from symevo.native.cache import CACHE_LINE, array, compiled, pointer
from symevo.rules.backends import interpreter_loops as loops
from symevo.rules.backends.layout import Segment
from symevo.rules.backends.lowering import Lowered, Slot, lower
from symevo.rules.expression import Name, Num
from symevo.rules.program import Program

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


BLOCK = 512
"""Weights in a block: 24 registers of float32 fill a first-level cache of 48 KB. Measured best of 256, 512, 1024."""


@lru_cache(maxsize=4096)
def assembled(program: Program) -> tuple[Lowered, Code]:
    """A program, split and assembled; kept, for generations repeat programs."""
    lowered = lower(program)
    return lowered, assemble(lowered)


class Interpreter:
    """Programs, one for each row.

    Args:
        programs: One a row.
        weights: W, weights of a row.
        dtype: float32 or float64.
        layout: Where the parameters lie in a row, see :class:`symevo.rules.backends.base.Update`.

    Attributes:
        states: Number of state tensors ``[rows, W]`` that a call needs: the most that a program has.
        slots: Slots of a call.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        weights: int,
        dtype: torch.dtype = torch.float32,
        *,
        layout: tuple[Segment, ...] = (),
    ) -> None:
        self.weights, self.dtype, self.layout = weights, dtype, layout
        self._numpy_type = np.dtype(str(dtype).removeprefix("torch."))
        self._parts = [assembled(program) for program in programs]
        self.states = max(len(lowered.states) for lowered, _ in self._parts)
        self.slots = max(lowered.slots + len(code.literals) for lowered, code in self._parts)
        self._registers = _aligned((max(code.registers for _, code in self._parts), BLOCK), self._numpy_type)
        self._layout = _Layout(self.states, self.slots, len(self._registers))
        known = {id(code): self._instructions(code) for _, code in {id(part): part for part in self._parts}.values()}
        rows = [known[id(code)] for _, code in self._parts]
        self._starts = np.cumsum([0, *map(len, rows)], dtype=np.intp)
        self._code = np.concatenate([*rows, np.empty((0, 5), np.intp)])

    def table(self, hypers: Sequence[Mapping[str, float]], lrs: Sequence[np.ndarray], total: int) -> torch.Tensor:
        """All slots of a whole training.

        Args:
            hypers: Hyperparameters of each row.
            lrs: Scheduled learning rate of each row, ``[steps]``.
            total: T.

        Returns:
            float64 ``[steps, slots, rows, 1]``.
        """
        found = np.zeros((len(lrs[0]), self.slots, len(lrs), 1))
        for row, ((lowered, code), hyper, lr) in enumerate(zip(self._parts, hypers, lrs, strict=True)):
            values = {name: np.array([value]) for name, value in hyper.items() if name != "lr"}
            found[:, : lowered.slots, row] = lowered.table(values, lr[:, None], total)
            found[:, lowered.slots : lowered.slots + len(code.literals), row, 0] = code.literals
        return torch.from_numpy(found)

    def __call__(
        self,
        theta: torch.Tensor,
        grad: torch.Tensor,
        states: Sequence[torch.Tensor],
        slots: torch.Tensor,
        alive: torch.Tensor,
    ) -> None:
        """One step, in place; see :meth:`symevo.rules.backends.compiled.Kernel.__call__`.

        Rows not alive keep their states too.
        """
        self.run(theta[None], grad[None], [state[None] for state in states], slots[None], alive)

    def run(
        self,
        theta: torch.Tensor,
        grads: torch.Tensor,
        states: Sequence[torch.Tensor],
        slots: torch.Tensor,
        alive: torch.Tensor,
    ) -> None:
        """Several steps under given gradients, in place.

        Args:
            theta: ``[1, rows, W]``, or ``[steps, rows, W]`` where step s reads and writes ``theta[s]``.
            grads: ``[steps, rows, W]`` or, for the same gradients in every row, ``[steps, 1, W]``.
            states: Tensors ``[1, rows, W]``.
            slots: ``[steps, slots, rows, 1]``.
            alive: bool ``[rows, 1]``.
        """
        memory = [theta, grads, *states]
        for tensor in (*memory, slots):
            dense = tensor.shape[-1] == 1 or tensor.stride(-1) == 1
            if tensor.dtype != self.dtype or tensor.device.type != "cpu" or not dense:
                raise ValueError("the interpreter takes tensors of its type, on the CPU, dense in their last dimension")
        bases = [tensor.data_ptr() for tensor in memory]
        strides = [[_stride(tensor, 0), _stride(tensor, 1), tensor.element_size()] for tensor in memory]
        bases += [slots.data_ptr() + slots.stride(1) * slots.element_size() * slot for slot in range(self.slots)]
        strides += [[_stride(slots, 0), _stride(slots, 2), 0]] * self.slots
        bases += [register.ctypes.data for register in self._registers]
        strides += [[0, 0, 0]] * len(self._registers)
        where, step = np.array(bases, np.intp), np.array(strides, np.intp)
        lives = np.ascontiguousarray(alive.reshape(-1).numpy())
        held = (where, step, self._code, self._starts, lives)
        _kernel()(*[one.ctypes.data for one in held], len(self._starts) - 1, len(slots), self.weights)

    def _instructions(self, code: Code) -> np.ndarray:
        rows = []
        for one in code.instructions:
            places = [self._layout.index(operand) for operand in (one.out, *one.args)]
            machine_code = loops.address(one.name, one.mask, self._numpy_type)
            rows.append([machine_code, *places, *[0] * (loops.MAX_ARITY + 1 - len(places))])
        return np.array(rows, np.intp).reshape(-1, loops.MAX_ARITY + 2)


@dataclass(frozen=True)
class _Layout:
    """Operands as numbers: theta, g, states, slots, registers."""

    states: int
    slots: int
    registers: int

    def index(self, operand: Operand) -> int:
        kind, *number = operand
        first = {"theta": 0, "g": 1, "state": 2, "slot": 2 + self.states, "register": 2 + self.states + self.slots}
        return first[kind] + (number[0] if number else 0)


def _stride(tensor: torch.Tensor, dimension: int) -> int:
    """In bytes; 0 where the dimension repeats one value."""
    return 0 if tensor.shape[dimension] == 1 else tensor.stride(dimension) * tensor.element_size()


def _aligned(shape: tuple[int, int], dtype: np.dtype[Any]) -> np.ndarray:
    size = shape[0] * shape[1] * dtype.itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


@cache
def _kernel() -> Callable[..., None]:
    address = compiled(_run, _SIGNATURE, "interpreter", loops.SOURCES)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * _ARGUMENTS)(address)


_ARGUMENTS = 8
_SIGNATURE = types.void(*[types.intp] * _ARGUMENTS)
_integers, _bytes = pointer(types.intp), pointer(types.uint8)


def _run(
    bases_at: Any, strides_at: Any, code_at: Any, starts_at: Any, alive_at: Any, rows: Any, steps: Any, weights: Any
) -> None:  # fmt: skip
    """Compiled; the first arguments are addresses."""
    bases, strides = array(_integers(bases_at), 1), array(_integers(strides_at), 1)  # as long as it takes
    code, starts = array(_integers(code_at), 1), array(_integers(starts_at), 1)
    alive = array(_bytes(alive_at), rows)
    for row in range(rows):
        if not alive[row]:
            continue
        for step in range(steps):
            for start in range(0, weights, BLOCK):
                count = min(BLOCK, weights - start)
                for line in range(5 * starts[row], 5 * starts[row + 1], 5):
                    o, a, b, c = code[line + 1], code[line + 2], code[line + 3], code[line + 4]
                    loops.call(  # type: ignore[call-arg]  # the first parameter is numba's own
                        code[line],
                        bases[o] + step * strides[3 * o] + row * strides[3 * o + 1] + start * strides[3 * o + 2],
                        bases[a] + step * strides[3 * a] + row * strides[3 * a + 1] + start * strides[3 * a + 2],
                        bases[b] + step * strides[3 * b] + row * strides[3 * b + 1] + start * strides[3 * b + 2],
                        bases[c] + step * strides[3 * c] + row * strides[3 * c + 1] + start * strides[3 * c + 2],
                        count,
                    )

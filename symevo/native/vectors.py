"""Vectors of LLVM: arithmetic that becomes machine code for whatever vectors the processor has.

A loop over numbers becomes vectors only where a compiler sees how, with a remainder computed otherwise. Code written in
vectors is computed alike for each of its numbers, on every processor: split where its vectors are shorter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

# 2ʳ = 1 + r·P(r), |r| ≤ ½, to 1e-7: the least largest relative error, found by reweighted least squares.
_POLYNOMIAL = (0.693146977598717, 0.24022242084635095, 0.05550733743574165, 0.009671512688152317, 0.0013264727247148417)
# What is added to 1.5·2²³ loses its fraction; with 127 more, its last bits are the exponent of a float32.
_WHOLE = 12582912.0 + 127.0


class Vector:
    """A vector under construction: arithmetic appends instructions. Nothing is reordered.

    Args:
        builder: Of llvmlite.
        value: A vector of float32 or float64.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self._builder, self.value = builder, value
        self._kind = value.type
        self.narrow = isinstance(self._kind.element, ir.FloatType)

    def __add__(self, other: Vector | float) -> Vector:
        return self._new(self._builder.fadd(self.value, self._operand(other)))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._new(self._builder.fsub(self.value, self._operand(other)))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._new(self._builder.fmul(self.value, self._operand(other)))

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._new(self._builder.fdiv(self.value, self._operand(other)))

    def times(self, factor: Vector, *, plus: Vector | float) -> Vector:
        """``self · factor + plus``, rounded once on processors that can."""
        return self._call("fmuladd", factor, self._new(self._operand(plus)))

    def sqrt(self) -> Vector:
        return self._call("sqrt")

    def at_least(self, bound: float) -> Vector:
        """The larger of a number and ``bound``; NaN stays NaN."""
        other = self._operand(bound)
        return self._new(self._builder.select(self._builder.fcmp_ordered(">", other, self.value), other, self.value))

    def at_most(self, bound: float) -> Vector:
        """The smaller of a number and ``bound``; NaN stays NaN."""
        other = self._operand(bound)
        return self._new(self._builder.select(self._builder.fcmp_ordered("<", other, self.value), other, self.value))

    def without_denormals(self) -> Vector:
        """0 for what is smaller than normal numbers, with which processors are a hundred times slower."""
        least = np.finfo(np.float32 if self.narrow else np.float64).tiny
        tiny = self._builder.fcmp_ordered("<", self._call("fabs").value, self._operand(float(least)))
        return self._new(self._builder.select(tiny, self._operand(0.0), self.value))

    def exp2_plus_1(self) -> Vector:
        """2ˣ + 1 for −120 ≤ x ≤ 120; NaN stays NaN."""
        if not self.narrow:
            return self._call("exp2") + 1.0
        power, rest, polynomial = self._split()
        return power.times(polynomial.times(rest, plus=1.0), plus=1.0)

    def exp2_minus_plus_1(self) -> tuple[Vector, Vector]:
        """2ˣ − 1, precise near 0 too, and 2ˣ + 1."""
        if not self.narrow:
            value = self._call("exp2")
            return value - 1.0, value + 1.0
        power, rest, polynomial = self._split()
        above = polynomial * rest
        return power.times(above, plus=power - 1.0), power.times(above, plus=power + 1.0)

    def _split(self) -> tuple[Vector, Vector, Vector]:
        """2ⁿ, r and P(r) for x = n + r with n whole."""
        whole = self + _WHOLE
        rest = self - (whole - _WHOLE)
        polynomial = self._new(self._operand(_POLYNOMIAL[-1]))
        for coefficient in _POLYNOMIAL[-2::-1]:
            polynomial = polynomial.times(rest, plus=coefficient)
        integers = ir.VectorType(ir.IntType(32), self._kind.count)
        shift = ir.Constant(integers, [ir.Constant(integers.element, 23)] * integers.count)
        bits = self._builder.shl(self._builder.bitcast(whole.value, integers), shift)
        return self._new(self._builder.bitcast(bits, self._kind)), rest, polynomial

    def _new(self, value: Any) -> Vector:
        return Vector(self._builder, value)

    def _operand(self, other: Vector | float) -> Any:
        if isinstance(other, Vector):
            return other.value
        number = float(np.float32(other)) if self.narrow else other
        return ir.Constant(self._kind, [ir.Constant(self._kind.element, number)] * self._kind.count)

    def _call(self, name: str, *others: Vector) -> Vector:
        full = f"llvm.{name}.v{self._kind.count}f{32 if self.narrow else 64}"
        signature = ir.FunctionType(self._kind, [self._kind] * (1 + len(others)))
        function = self._builder.module.declare_intrinsic(full, (), signature)
        return self._new(self._builder.call(function, [self.value, *(other.value for other in others)]))


class Memory:
    """Numbers in memory, from an address on.

    Args:
        builder: Of llvmlite.
        address: An integer of LLVM.
        kind: A vector of LLVM.
    """

    def __init__(self, builder: Any, address: Any, kind: Any) -> None:
        self._builder, self._kind = builder, kind
        self._vectors = builder.inttoptr(address, kind.as_pointer())
        self._numbers = builder.inttoptr(address, kind.element.as_pointer())
        self._alignment = 4 if isinstance(kind.element, ir.FloatType) else 8

    def load(self, index: int = 0) -> Vector:
        return Vector(self._builder, self._builder.load(self._at(self._vectors, index), align=self._alignment))

    def store(self, vector: Vector, index: int = 0) -> None:
        self._builder.store(vector.value, self._at(self._vectors, index), align=self._alignment)

    def number(self, index: int) -> Vector:
        """One number, in every place of a vector."""
        one = self._builder.load(self._at(self._numbers, index))
        undefined = ir.Constant(self._kind, ir.Undefined)
        places = ir.VectorType(ir.IntType(32), self._kind.count)
        first = self._builder.insert_element(undefined, one, ir.Constant(ir.IntType(32), 0))
        everywhere = self._builder.shuffle_vector(first, undefined, ir.Constant(places, None))
        return Vector(self._builder, everywhere)

    def prefetch(self, index: int) -> None:
        """Has a vector brought into the second-level cache; one that is not there does no harm."""
        bytes_, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [bytes_, number, number, number])
        function = self._builder.module.declare_intrinsic("llvm.prefetch.p0", (), signature)
        place = self._builder.bitcast(self._at(self._vectors, index), bytes_)
        self._builder.call(function, [place, *(ir.Constant(number, option) for option in (0, 2, 1))])

    def _at(self, start: Any, index: int) -> Any:
        return self._builder.gep(start, [ir.Constant(ir.IntType(64), index)])

"""Lowering: splits a program into scalars, computed once a step in float64, and per-weight statements.

A sub-expression without g, theta or a per-weight state is a *scalar*. Each becomes a *slot*: computed outside
the kernel in float64 and rounded once to the kernel's type. Hyperparameters enter a kernel only through
slots, so one kernel serves every value of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from symevo.rules.expression import Expr, Name, Num, Op, names_in
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.program import Program

_LITERALS_STAY_IN = frozenset({"+", "-", "*", "/", "**"})


@dataclass(frozen=True, slots=True)
class Slot:
    """A reference from a per-weight expression to a scalar."""

    index: int


@dataclass(frozen=True)
class Lowered:
    """A program split in two.

    Attributes:
        states: Per-weight states, in order.
        scalar_states: Scalar states, in order.
        scalars: Scalar statements in order, as pairs of target and expression; slot targets are ``"$0"``,
            ``"$1"``, …
        slots: Number of slots.
        tensors: Per-weight statements; their expressions hold :class:`Slot` where a scalar stood.
    """

    states: tuple[str, ...]
    scalar_states: tuple[str, ...]
    scalars: tuple[tuple[str, Expr], ...]
    slots: int
    tensors: tuple[tuple[str, Any], ...]

    def scalar_step(self, env: dict[str, Any]) -> list[Any]:
        """Runs one step's scalars.

        Args:
            env: t, T, lr, hyperparameters and scalar states as float64 numpy values of one broadcastable
                shape; updated in place with the new states.

        Returns:
            The slots' values, in order.
        """
        with np.errstate(all="ignore"):
            for target, expr in self.scalars:
                env[target] = evaluate(expr, env)
        return [env[f"${index}"] for index in range(self.slots)]

    def table(self, hyper: Mapping[str, np.ndarray], lr: np.ndarray, total: int) -> np.ndarray:
        """All slots of a whole training.

        Args:
            hyper: One float64 array ``[rows]`` for each hyperparameter.
            lr: Scheduled learning rate, float64 ``[steps, rows]``.
            total: T.

        Returns:
            float64 ``[steps, slots, rows]``.
        """
        steps, rows = lr.shape
        table = np.empty((steps, self.slots, rows))
        fixed = {**hyper, "T": np.float64(total)}
        if not self.scalar_states:
            t = np.arange(1.0, steps + 1)[:, None]
            for index, value in enumerate(self.scalar_step({**fixed, "t": t, "lr": lr})):
                table[:, index] = value
            return table
        env: dict[str, Any] = {**fixed, **dict.fromkeys(self.scalar_states, np.zeros(rows))}
        for step in range(steps):
            env |= {"t": np.float64(step + 1), "lr": lr[step]}
            for index, value in enumerate(self.scalar_step(env)):
                table[step, index] = value
        return table


def lower(program: Program) -> Lowered:
    """Splits ``program``; see the module's docstring."""
    return _Lowering(program).result()


class _Lowering:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.scalars: list[tuple[str, Expr]] = []
        self.tensors: list[tuple[str, Any]] = []
        self.slots: dict[tuple[Expr, tuple[int, ...]], Slot] = {}
        self.versions: dict[str, int] = {}
        self.is_tensor = {"g": True, "theta": True, **dict.fromkeys(program.states, True)}

    def result(self) -> Lowered:
        for target, expr in self.program.statements:
            if target == "theta" or self.per_weight(expr) or target in self.program.states:
                self.tensors.append((target, self.split(expr)))
                self.is_tensor[target] = True
            else:
                self.scalars.append((target, expr))
                self.versions[target] = self.versions.get(target, 0) + 1
                self.is_tensor[target] = False
        program = self.program
        return Lowered(program.states, program.scalar_states, tuple(self.scalars), len(self.slots), tuple(self.tensors))

    def per_weight(self, expr: Expr) -> bool:
        return any(self.is_tensor.get(name, False) for name in names_in(expr))

    def split(self, expr: Expr) -> Any:
        """``expr`` with each largest scalar part replaced by its slot."""
        if not self.per_weight(expr):
            return self.slot(expr)
        if not isinstance(expr, Op):
            return expr
        keep = expr.name in _LITERALS_STAY_IN  # arithmetic takes a literal as it is; functions need a tensor
        return Op(expr.name, tuple(a if keep and isinstance(a, Num) else self.split(a) for a in expr.args))

    def slot(self, expr: Expr) -> Slot:
        """The slot of a scalar; equal scalars of equal values share one."""
        version = tuple(self.versions.get(name, 0) for name in names_in(expr))
        if (expr, version) not in self.slots:
            self.slots[expr, version] = Slot(len(self.slots))
            self.scalars.append((f"${len(self.slots) - 1}", expr))
        return self.slots[expr, version]


def evaluate(expr: Expr, env: Mapping[str, Any]) -> Any:
    """The value of an expression in float64 numpy, by the primitive table; ``env`` gives every name's value."""
    if isinstance(expr, Num):
        return np.float64(expr.value)
    if isinstance(expr, Name):
        return env[expr.id]
    return PRIMITIVES.get(expr.name).numpy(*(evaluate(argument, env) for argument in expr.args))


_FAST = {"/": operator.truediv, "**": operator.pow}
"""Python's operators on single float64 values of numpy mean the same, in a tenth of the time of numpy's functions."""


class Scalars:
    """Runs a program's scalar statements.

    Attributes:
        lowered: The program. A name that is assigned twice, or remembered from step to step, makes every statement run
            at every step.
    """

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self._statements = [(name, _function(expr), frozenset(names_in(expr))) for name, expr in lowered.scalars]
        targets = [target for target, _ in lowered.scalars]
        self._each_once = not lowered.scalar_states and len(set(targets)) == len(targets)
        self._slots = {f"${index}": index for index in range(lowered.slots)}
        self._values = np.empty(lowered.slots)
        self._given: dict[str, float] = {}
        self._env: dict[str, Any] = {}
        self._all = [(name, value, self._slots.get(name)) for name, value, _ in self._statements]
        self._plans: dict[frozenset[str], list[tuple[str, Any, int | None]]] = {}

    def __call__(self, inputs: Mapping[str, float], dtype: Any) -> tuple[np.ndarray, list[float]]:
        """One step's scalars.

        Args:
            inputs: t, T where it is read, lr, hyperparameters, and scalar states, as floats.
            dtype: numpy's type to round the slots to.

        Returns:
            The slots' values, and the new scalar states, in float64.
        """
        with np.errstate(all="ignore"):
            if self._each_once:
                self._renew(inputs)
                return self._values.astype(dtype), []
            env = {name: np.float64(value) for name, value in inputs.items()}
            slots = np.array(self.lowered.scalar_step(env), dtype=np.float64)
            return slots.astype(dtype), [float(env[name]) for name in self.lowered.scalar_states]

    def _renew(self, inputs: Mapping[str, float]) -> None:
        given, env, values = self._given, self._env, self._values
        changed = [name for name, value in inputs.items() if given.get(name) != value]
        plan = self._plan(frozenset(changed)) if given else self._all
        try:
            for name in changed:
                env[name] = np.float64(inputs[name])
            for target, value, slot in plan:
                found = env[target] = value(env)
                if slot is not None:
                    values[slot] = found
            given.update(inputs)
        except BaseException:
            given.clear()  # so that the next step computes all of them
            raise

    def _plan(self, changed: frozenset[str]) -> list[tuple[str, Any, int | None]]:
        """The statements that read, or read what reads, one of some names."""
        if changed not in self._plans:
            touched, plan = set(changed), []
            for target, value, reads in self._statements:
                if not touched.isdisjoint(reads):
                    touched.add(target)
                    plan.append((target, value, self._slots.get(target)))
            self._plans[changed] = plan
        return self._plans[changed]


def _function(expr: Expr) -> Callable[[Mapping[str, Any]], Any]:
    """What :func:`evaluate` computes, with every look-up of a primitive done before."""
    if isinstance(expr, Num):
        value = np.float64(expr.value)
        return lambda env: value
    if isinstance(expr, Name):
        return operator.itemgetter(expr.id)
    form = _FAST.get(expr.name) or PRIMITIVES.get(expr.name).numpy
    args = [_function(argument) for argument in expr.args]
    if len(args) == 2:
        left, right = args
        return lambda env: form(left(env), right(env))
    return lambda env: form(*[argument(env) for argument in args])


def with_reciprocals(lowered: Lowered) -> Lowered:
    """The same program with each division by a scalar turned into a product with its reciprocal.

    A division takes a processor about as long as four products. The reciprocal is computed in float64 and rounded
    once, so a quotient changes by its last bit at most.
    """
    scalars, inverse = list(lowered.scalars), {}

    def rewritten(expr: Any) -> Any:
        if not isinstance(expr, Op):
            return expr
        args = tuple(map(rewritten, expr.args))
        if expr.name != "/" or not isinstance(args[1], Slot):
            return Op(expr.name, args)
        index = args[1].index
        if index not in inverse:
            inverse[index] = Slot(lowered.slots + len(inverse))
            scalars.append((f"${inverse[index].index}", Op("/", (Num(1.0), Name(f"${index}")))))
        return Op("*", (args[0], inverse[index]))

    tensors = tuple((target, rewritten(expr)) for target, expr in lowered.tensors)
    return replace(lowered, scalars=tuple(scalars), slots=lowered.slots + len(inverse), tensors=tensors)

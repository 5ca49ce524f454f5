"""Scalars of a program, step after step: computed again only where something that they read has changed.

Between two steps of a training mostly t changes, and lr where a scheduler runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from symevo.rules.backends.lowering import Lowered, Slot
from symevo.rules.expression import Expr, Name, Num, Op, names_in
from symevo.rules.primitives import PRIMITIVES

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
    """What :func:`symevo.rules.backends.lowering.evaluate` computes, with every look-up of a primitive done before."""
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

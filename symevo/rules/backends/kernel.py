"""Kernels: a program as one fused torch function over ``[rows, weights]``.

A kernel updates many rows at once; each row is one candidate's weights, laid flat. Numbers of the rules enter
as a tensor of slots, one column a row, so a kernel belongs to a structure and a shape class and to nothing
else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from symevo.errors import UserError
from symevo.rules.backends.inductor import compile_graph
from symevo.rules.backends.layout import Segment
from symevo.rules.backends.lowering import Lowered, Slot, lower
from symevo.rules.expression import Name, Num
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.program import Program

# torch warns on standard error where it finds a CUDA toolkit but no CUDA device, at every first compilation.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

BACKENDS = ("compiled", "eager")
StepFunction = Callable[..., None]
_cache: dict[Any, Kernel] = {}


@dataclass
class Kernel:
    """A program, ready to run on one shape class.

    Attributes:
        lowered: Slots and states that a call needs.
        compilations: How often the function was compiled; 0 for the eager backend, never more than 1
            otherwise.
        layout: Where each parameter lies in a row, see :class:`symevo.rules.backends.base.Update`.
    """

    lowered: Lowered
    function: StepFunction
    compilations: int = 0
    layout: tuple[Segment, ...] = ()

    @property
    def states(self) -> int:
        """Number of state tensors that a call needs."""
        return len(self.lowered.states)

    def table(self, hypers: Sequence[Mapping[str, float]], lrs: Sequence[np.ndarray], total: int) -> torch.Tensor:
        """The scalars of every step, ``[steps, slots, rows, 1]``; see :class:`symevo.rules.backends.base.Update`."""
        values = {name: np.array([hyper[name] for hyper in hypers]) for name in hypers[0] if name != "lr"}
        return torch.from_numpy(self.lowered.table(values, np.stack(lrs, axis=1), total)).unsqueeze(-1)

    def __call__(
        self,
        theta: torch.Tensor,
        grad: torch.Tensor,
        states: Sequence[torch.Tensor],
        slots: torch.Tensor,
        alive: torch.Tensor,
    ) -> None:
        """One step, in place.

        Args:
            theta: Weights, ``[rows, weights]``.
            grad: Gradients, the same shape; not changed.
            states: One tensor of that shape for each of ``lowered.states``; zeros before the first step.
            slots: ``[slots, rows, 1]``, this step's scalars.
            alive: bool ``[rows, 1]``; rows that are not alive keep their weights.
        """
        self.function(theta, grad, *states, slots, alive)


def kernel_for(
    program: Program,
    shape: tuple[int, int],
    *,
    dtype: torch.dtype,
    device: torch.device,
    backend: str = "compiled",
    layout: tuple[Segment, ...] = (),
) -> Kernel:
    """The kernel of a program for one shape class, made once per process.

    Args:
        program: What to run.
        shape: (rows, weights).
        dtype: Of weights, states and slots.
        device: Where it runs.
        backend: One of :data:`BACKENDS`; compiled and eager agree up to rounding, so a run keeps to one.
        layout: Where the parameters lie in a row.
    """
    if backend not in BACKENDS:
        raise UserError(f"unknown kernel backend {backend!r}: known: {', '.join(BACKENDS)}")
    key = (program.lines, shape, dtype, str(device), backend, layout)
    if key not in _cache:
        _cache[key] = _build(program, backend)
        _cache[key].layout = layout
    return _cache[key]


def compilations() -> dict[tuple[int, int], int]:
    """How often this process compiled a kernel, by shape class (rows, weights)."""
    counts: dict[tuple[int, int], int] = {}
    for (_, shape, *_), kernel in _cache.items():
        counts[shape] = counts.get(shape, 0) + kernel.compilations
    return {shape: count for shape, count in counts.items() if count}


def step_graph(
    lowered: Lowered, *, masked: bool = True, form: Callable[[str], Callable[..., Any]] | None = None
) -> torch.fx.GraphModule:
    """The update as a torch.fx graph that writes in place.

    Args:
        lowered: What to run.
        masked: With the mask ``alive``, or without.
        form: A primitive's function, by its name; by default :func:`torch_form`.

    Returns:
        A module whose inputs are theta, g, the states, slots and, if masked, alive. All tensors but slots and
        alive have one shape; ``slots[i]`` and alive broadcast to it.
    """
    graph = torch.fx.Graph()
    inputs = {name: graph.placeholder(name) for name in ("theta", "g")}
    inputs |= {name: graph.placeholder(f"state_{name}") for name in lowered.states}
    slots = graph.placeholder("slots")
    columns = [graph.call_method("select", (slots, 0, index)) for index in range(lowered.slots)]
    emit = _Emitter(graph, columns, dict(inputs), form or torch_form)
    for target, expr in lowered.tensors:
        emit.env[target] = emit.value(expr)
    results = {name: emit.env[name] for name in lowered.states}
    results["theta"] = emit.env["theta"]
    if masked:
        alive = graph.placeholder("alive")
        results["theta"] = graph.call_function(torch.where, (alive, results["theta"], inputs["theta"]))
    for name, value in results.items():
        if value in inputs.values() and value is not inputs[name]:
            results[name] = graph.call_method("clone", (value,))  # read before any copy below overwrites it
    for name, value in results.items():
        if value is not inputs[name]:
            graph.call_method("copy_", (inputs[name], value))
    graph.output(None)
    graph.lint()
    return torch.fx.GraphModule(torch.nn.Module(), graph)


class _Emitter:
    """Writes expressions into a graph; equal sub-expressions are left to the compiler."""

    def __init__(
        self, graph: torch.fx.Graph, columns: list[Any], env: dict[str, Any], form: Callable[[str], Callable[..., Any]]
    ) -> None:
        self.graph, self.columns, self.env, self.form = graph, columns, env, form

    def value(self, expr: Any) -> Any:
        if isinstance(expr, Num):
            return expr.value
        if isinstance(expr, Slot):
            return self.columns[expr.index]
        if isinstance(expr, Name):
            return self.env[expr.id]
        if expr.name == "where" and isinstance(expr.args[0], Slot):
            # a condition on scalars alone was decided in float64, outside; its slot holds 0 or 1
            condition = self.graph.call_function(torch.ne, (self.value(expr.args[0]), 0))
            return self.graph.call_function(torch.where, (condition, *map(self.value, expr.args[1:])))
        if expr.name == "**" and isinstance(expr.args[1], Num) and expr.args[1].value == 2:
            base = self.value(expr.args[0])
            return self.graph.call_function(torch.mul, (base, base))
        return self.graph.call_function(self.form(expr.name), tuple(map(self.value, expr.args)))


def torch_form(name: str) -> Callable[..., Any]:
    """The function that a primitive's torch column names."""
    form = PRIMITIVES.get(name).torch
    return getattr(torch, form.removeprefix("torch.")) if isinstance(form, str) else form


def _build(program: Program, backend: str) -> Kernel:
    lowered = lower(program)
    module = step_graph(lowered)
    if backend == "eager":
        return Kernel(lowered, torch.no_grad()(module.forward))
    kernel = Kernel(lowered, module.forward)

    def counted(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> Callable[..., Any]:
        kernel.compilations += 1
        return compile_graph(graph, example)

    kernel.function = torch.no_grad()(torch.compile(module, backend=counted, dynamic=False, fullgraph=True))
    return kernel

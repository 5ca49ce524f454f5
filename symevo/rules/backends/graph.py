"""A program's update as a graph of torch's operations: run as it is, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from symevo.rules.backends.lowering import Lowered, Slot
from symevo.rules.expression import Name, Num
from symevo.rules.primitives import PRIMITIVES


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

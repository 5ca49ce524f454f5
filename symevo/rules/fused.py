"""One function that updates many tensors by one program, each with scalars of its own.

Scalars enter as a table, so a function belongs to a program and to the shapes of the tensors, and to no
number: a new learning rate, weight decay or step count compiles nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from symevo.rules.kernel import step_graph
from symevo.rules.lowering import Lowered, lower
from symevo.rules.program import Program

MAX_LAYOUTS = 64
"""Sets of shapes that one program is compiled for; where parameters take turns, further sets run eagerly."""

_NO_COMPILER = "torch.compile does not work here; the optimizer runs without it"
_HALF = frozenset({torch.float16, torch.bfloat16})
_cache: dict[tuple[str, ...], FusedUpdate] = {}
_warned: set[str] = set()


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of a parameter's states and arithmetic: float32 for half precision, else its own."""
    return torch.float32 if dtype in _HALF else dtype


class FusedUpdate:
    """A program over lists of tensors.

    Attributes:
        lowered: The program's scalars and per-weight statements.
        compilations: How often this process compiled it, over all layouts.
    """

    def __init__(self, program: Program) -> None:
        self.lowered: Lowered = lower(program)
        self.compilations = 0
        self._step = step_graph(self.lowered, masked=False)
        self._compiled: dict[Any, Callable[..., None]] = {}

    @torch.no_grad()
    def __call__(
        self,
        params: Sequence[torch.Tensor],
        grads: Sequence[torch.Tensor],
        states: Sequence[Sequence[torch.Tensor]],
        table: torch.Tensor,
        *,
        compile: bool = True,
    ) -> None:
        """One step, in place.

        Args:
            params: Weights, of any shapes, on one device.
            grads: Gradients of the same shapes and strides; not changed.
            states: For each parameter one tensor of its shape per state, of :func:`compute_dtype`.
            table: ``[parameters, slots]`` of the same compute type on the same device.
            compile: One compiled function for all tensors, or torch's own operations one by one.
        """
        if not compile:
            return self._update(params, grads, states, table)
        key = (params[0].device, *[(tuple(p.shape), p.stride(), g.stride(), p.dtype, g.dtype)
                                   for p, g in zip(params, grads, strict=True)])  # fmt: skip
        run = self._compiled.get(key) or self._new_layout(key)
        try:
            run(params, grads, states, table)
        except TorchDynamoException as error:  # raised while tracing, before anything has run
            _warn_once(_NO_COMPILER, error)
            self._compiled[key] = self._update
            self._update(params, grads, states, table)

    def _update(self, params: Any, grads: Any, states: Any, table: torch.Tensor) -> None:
        for param, grad, state, slots in zip(params, grads, states, table.unbind(0), strict=True):
            if param.dtype in _HALF:
                wide = param.float()
                self._step(wide, grad.float(), *state, slots)
                param.copy_(wide)
            else:
                self._step(param, grad, *state, slots)

    def _new_layout(self, key: Any) -> Callable[..., None]:
        if len(self._compiled) >= MAX_LAYOUTS:
            _warn_once("the set of parameters with gradients keeps changing; further sets run without compiling")
            return self._update
        self._compiled[key] = self._compile()
        return self._compiled[key]

    def _compile(self) -> Callable[..., None]:
        def backend(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> Callable[..., Any]:
            try:
                from torch._inductor.compile_fx import compile_fx

                self.compilations += 1
                return compile_fx(graph, example)  # type: ignore[return-value]
            except Exception as error:  # noqa: BLE001 - no compiler, no Triton, an unknown device: no common class
                self.compilations -= 1
                _warn_once(_NO_COMPILER, error)
                return graph.forward

        def update(params: Any, grads: Any, states: Any, table: torch.Tensor) -> None:
            self._update(params, grads, states, table)

        # a code object of its own for each layout, so that layouts share no recompile limit
        update.__code__ = update.__code__.replace(co_name=f"update_{len(self._compiled)}")
        try:
            return torch.compile(update, backend=backend, dynamic=False, fullgraph=True)
        except RuntimeError as error:  # this Python version is not supported
            _warn_once(_NO_COMPILER, error)
            return self._update


def fused_update(program: Program) -> FusedUpdate:
    """The update function of a program, made once per process."""
    if program.lines not in _cache:
        _cache[program.lines] = FusedUpdate(program)
    return _cache[program.lines]


def _warn_once(message: str, error: Exception | None = None) -> None:
    if message not in _warned:
        _warned.add(message)
        reason = f" ({type(error).__name__}: {str(error).strip()[:120]})" if error else ""
        warnings.warn(" ".join((message + reason).split()), RuntimeWarning, stacklevel=2)

"""A program's graph, compiled by torch's inductor.

Scalars enter as tensors, so compiled code belongs to a program and to no number: a new learning rate, weight decay or
step count compiles nothing. How the tensors lie is a layout of its own:

- :class:`Kernel`, for searches: rows of weights, ``[rows, weights]``, compiled for that shape.
- :class:`TensorUpdate`, for optimizers: any list of tensors. On a CPU compiled code belongs to no shape either: one
  loop serves every tensor, now and later, of a type (:mod:`symevo.native.inductor`). Elsewhere one function updates
  all tensors of a set of shapes.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch

from symevo.errors import UserError
from symevo.native.fast_math import FAST
from symevo.native.inductor import (
    CompileError,
    ShapeGuard,
    compile_graph,
    flat_kernel,
    fused_multiply_add,
    is_flat,
)
from symevo.rules.backends.graph import step_graph, torch_form
from symevo.rules.backends.layout import Segment
from symevo.rules.backends.lowering import Lowered, lower, with_reciprocals
from symevo.rules.program import Program

# torch warns on standard error where it finds a CUDA toolkit but no CUDA device, at every first compilation.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

BACKENDS = ("compiled", "eager")
MAX_LAYOUTS = 64
"""Sets of shapes that one program is compiled for; where parameters take turns, further sets run eagerly."""

_NO_COMPILER = "torch.compile does not work here; the optimizer runs without it"
_SHARED_FROM = 1 << 15
"""Minimum number of weights for several threads."""
_HALF = frozenset({torch.float16, torch.bfloat16})

Item = tuple[list[torch.Tensor], torch.Tensor]
"""Weights, gradient and states, of one shape; and the program's slots, ``[slots]``, of the type of its arithmetic."""

Loop = tuple[int, Callable[[list[Any]], Any] | None]
"""A number of weights, and the function that updates as many; None where they do not lie as it expects."""

_kernels: dict[Any, Kernel] = {}
_updates: dict[tuple[str, ...], TensorUpdate] = {}
_warned: set[str] = set()


class Compiled:
    """A program that torch compiles.

    Attributes:
        lowered: The program's scalars and per-weight statements.
        compilations: How often this process compiled it.
        seconds: How long that took; little where the disk holds what was compiled before.
    """

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.compilations = 0
        self.seconds = 0.0

    def compiled(self, function: Callable[..., Any], *, optional: bool) -> Callable[..., Any]:
        """Compile a function when it is first called; if ``optional``, run it as it is where there is no compiler."""

        def backend(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> Callable[..., Any]:
            begin = time.perf_counter()
            try:
                found = compile_graph(graph, example)
            except Exception as error:  # no compiler, no Triton, an unknown device: no common class
                if not optional:
                    raise
                _warn_once(_NO_COMPILER, error)
                return graph.forward
            self.compilations += 1
            self.seconds += time.perf_counter() - begin
            return found

        return torch.compile(function, backend=backend, dynamic=False, fullgraph=True)


class Kernel(Compiled):
    """A program on rows of weights, ``[rows, weights]``, each with numbers of its own.

    Args:
        program: What to run.
        backend: One of :data:`BACKENDS`. The eager one never compiles, the other once for a shape.
        layout: Where each parameter lies in a row, see :class:`symevo.rules.backends.base.Update`.
    """

    def __init__(self, program: Program, backend: str, layout: tuple[Segment, ...] = ()) -> None:
        super().__init__(lower(program))
        self.layout = layout
        graph = step_graph(self.lowered)
        run = graph.forward if backend == "eager" else self.compiled(graph, optional=False)
        self._function = torch.no_grad()(run)

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
        self._function(theta, grad, *states, slots, alive)


def kernel_for(
    program: Program,
    shape: tuple[int, int],
    *,
    dtype: torch.dtype,
    device: torch.device,
    backend: str = "compiled",
    layout: tuple[Segment, ...] = (),
) -> Kernel:
    """The kernel of a program for one shape class (rows, weights), made once per process.

    Compiled and eager agree up to rounding, so a run keeps to one.
    """
    if backend not in BACKENDS:
        raise UserError(f"unknown kernel backend {backend!r}: known: {', '.join(BACKENDS)}")
    key = (program.lines, shape, dtype, str(device), backend, layout)
    if key not in _kernels:
        _kernels[key] = Kernel(program, backend, layout)
    return _kernels[key]


def compilations() -> dict[tuple[int, int], int]:
    """How often this process compiled a kernel, by shape class (rows, weights)."""
    counts: dict[tuple[int, int], int] = {}
    for (_, shape, *_), kernel in _kernels.items():
        counts[shape] = counts.get(shape, 0) + kernel.compilations
    return {shape: count for shape, count in counts.items() if count}


def fast_form(name: str) -> Callable[..., Any]:
    """The torch form of a primitive; in float32 a fast one, if there is one."""
    plain, fast = torch_form(name), FAST[name].torch if name in FAST else None
    if fast is None or fused_multiply_add() is None:
        return plain

    @wraps(fast)
    def form(x: torch.Tensor) -> torch.Tensor:
        return fast(x) if x.dtype is torch.float32 else plain(x)

    return form


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of a parameter's states and arithmetic: float32 for half precision, else its own."""
    return torch.float32 if dtype in _HALF else dtype


class TensorUpdate(Compiled):
    """A program over lists of tensors."""

    def __init__(self, program: Program) -> None:
        super().__init__(with_reciprocals(lower(program)))
        self._one = _widened(step_graph(self.lowered, masked=False))
        self._flat: dict[Any, Callable[[list[Any]], Any] | None] = {}
        self._compiled: dict[Any, Callable[..., None]] = {}

    def __call__(self, work: Sequence[Item], *, compile: bool = True, checked: ShapeGuard | None = None) -> None:
        """One step, in place; ``checked`` holds what the last step of these parameters found about them."""
        if not compile:
            with torch.no_grad():
                for tensors, slots in work:
                    self._one(*tensors, slots)
        elif all(slots.is_cpu for _, slots in work):
            self._run_loops(work, checked or ShapeGuard())
        else:
            with torch.no_grad():
                for bucket in _buckets([item for item in work if item[0][0].numel()]):
                    self._update_layout(bucket)

    def _run_loops(self, work: Sequence[Item], checked: ShapeGuard) -> None:
        threads = torch.get_num_threads()
        everything = [x for tensors, _ in work for x in tensors]
        if not checked.holds(everything, threads):
            checked.keep(everything, threads, [self._loop(*item, threads) for item in work])
        for (tensors, slots), (count, kernel) in zip(work, checked.found, strict=True):
            if kernel:
                kernel([count, *tensors, slots])
            else:
                self._apart(tensors, slots, threads)
        torch.autograd.graph.increment_version([tensors[0] for tensors, _ in work])

    def _loop(self, tensors: list[Any], slots: torch.Tensor, threads: int) -> Loop:
        count = tensors[0].numel()
        if not is_flat(tensors):
            return count, None
        key = (threads if count >= _SHARED_FROM else 1, *[x.dtype for x in tensors])
        return count, self._flat[key] if key in self._flat else self._new_flat(key, slots)

    @torch.no_grad()
    def _apart(self, tensors: list[Any], slots: torch.Tensor, threads: int) -> None:
        """Updates copies without gaps, where that is the reason, and copies back."""
        copies = [x.contiguous() for x in tensors]
        count, kernel = self._loop(copies, slots, threads)
        if kernel is None:
            self._one(*tensors, slots)
            return
        kernel([count, *copies, slots])
        for index, (own, copy) in enumerate(zip(tensors, copies, strict=True)):
            if own is not copy and index != 1:  # the gradient stays
                own.copy_(copy)

    def _new_flat(self, key: Any, slots: torch.Tensor) -> Callable[[list[Any]], Any] | None:
        begin = time.perf_counter()
        try:
            update = _widened(step_graph(self.lowered, masked=False, form=fast_form))
            self._flat[key] = flat_kernel(update, key[1:], slots, threads=key[0])
            self.compilations += 1
        except Exception as error:  # noqa: BLE001 - no compiler, an unsupported Python: no common class
            _warn_once(_NO_COMPILER, error)
            self._flat[key] = None
        self.seconds += time.perf_counter() - begin
        return self._flat[key]

    def _update(self, work: Any, table: torch.Tensor) -> None:
        for tensors, slots in zip(work, table.unbind(0), strict=True):
            self._one(*tensors, slots)

    def _update_layout(self, bucket: list[Item]) -> None:
        work = [
            [_listed(x.detach()) for x in (param, _like(grad, param), *states)] for (param, grad, *states), _ in bucket
        ]
        table = torch.stack([slots for _, slots in bucket])
        key = (table.device, *[(tuple(x.shape), x.stride(), x.dtype) for tensors in work for x in tensors])
        run = self._compiled.get(key) or self._new_layout(key)
        try:
            run(work, table)
        except CompileError as error:  # raised while tracing, before anything has run
            _warn_once(_NO_COMPILER, error)
            self._compiled[key] = self._update
            self._update(work, table)

    def _new_layout(self, key: Any) -> Callable[..., None]:
        if len(self._compiled) >= MAX_LAYOUTS:
            _warn_once("the set of parameters with gradients keeps changing; further sets run without compiling")
            return self._update
        self._compiled[key] = self._compile()
        return self._compiled[key]

    def _compile(self) -> Callable[..., None]:
        def update(work: Any, table: torch.Tensor) -> None:
            self._update(work, table)

        # a code object of its own for each layout, so that layouts share no recompile limit
        update.__code__ = update.__code__.replace(co_name=f"update_{len(self._compiled)}")
        try:
            return self.compiled(update, optional=True)
        except RuntimeError as error:  # this Python version is not supported
            _warn_once(_NO_COMPILER, error)
            return self._update


def tensor_update(program: Program) -> TensorUpdate:
    """The update function of a program, made once per process."""
    if program.lines not in _updates:
        _updates[program.lines] = TensorUpdate(program)
    return _updates[program.lines]


def _widened(step: Callable[..., Any]) -> Callable[..., None]:
    """The same step, which takes weights and gradients of half precision too."""

    def one(param: Any, grad: Any, *rest: Any) -> None:
        if param.dtype in _HALF:
            wide = param.float()
            step(wide, grad.float(), *rest)
            param.copy_(wide)
        else:
            step(param, grad, *rest)

    return one


def _buckets(work: list[Item]) -> list[list[Item]]:
    """What one function can update: of one device and one type of arithmetic."""
    buckets: dict[Any, list[Item]] = {}
    for item in work:
        buckets.setdefault((item[1].device, item[1].dtype), []).append(item)
    return list(buckets.values())


def _like(grad: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
    """``grad`` in the parameter's layout, so that layouts do not multiply."""
    return grad if grad.stride() == param.stride() else torch.empty_like(param, dtype=grad.dtype).copy_(grad)


def _listed(x: torch.Tensor) -> torch.Tensor:
    """A number as a list of one: torch.compile takes float64 numbers for constants and gives up."""
    return x if x.dim() else x.view(1)


def _warn_once(message: str, error: Exception | None = None) -> None:
    if message not in _warned:
        _warned.add(message)
        reason = f" ({type(error).__name__}: {str(error).strip()[:120]})" if error else ""
        warnings.warn(" ".join((message + reason).split()), RuntimeWarning, stacklevel=2)

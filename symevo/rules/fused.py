"""A program over many tensors, each with scalars of its own.

Scalars enter as tensors, so compiled code belongs to a program and to no number: a new learning rate, weight decay or
step count compiles nothing. On a CPU it does not belong to shapes either, see :mod:`symevo.rules.flat`: one function
serves every tensor, now and later, of a type. Elsewhere one function updates all tensors of a set of shapes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from symevo.rules.fast_forms import fast_form
from symevo.rules.flat import Checked, flat_kernel, is_flat
from symevo.rules.inductor import compile_graph
from symevo.rules.kernel import step_graph
from symevo.rules.lowering import Lowered, lower
from symevo.rules.program import Program
from symevo.rules.scalars import with_reciprocals

MAX_LAYOUTS = 64
"""Sets of shapes that one program is compiled for; where parameters take turns, further sets run eagerly."""

_NO_COMPILER = "torch.compile does not work here; the optimizer runs without it"
_SHARED_FROM = 1 << 15
"""So many weights are worth the start of several threads."""
_HALF = frozenset({torch.float16, torch.bfloat16})

Item = tuple[list[torch.Tensor], torch.Tensor]
"""Weights, gradient and states, of one shape; and the program's slots, ``[slots]``, of the type of its arithmetic."""

Lane = tuple[int, Callable[[list[Any]], Any] | None]

_cache: dict[tuple[str, ...], FusedUpdate] = {}
_warned: set[str] = set()


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of a parameter's states and arithmetic: float32 for half precision, else its own."""
    return torch.float32 if dtype in _HALF else dtype


class FusedUpdate:
    """A program over lists of tensors.

    Attributes:
        lowered: The program's scalars and per-weight statements.
        compilations: How often this process compiled it.
        seconds: How long that took; little where the disk holds what was compiled before.
    """

    def __init__(self, program: Program) -> None:
        self.lowered: Lowered = with_reciprocals(lower(program))
        self.compilations = 0
        self.seconds = 0.0
        self._one = _widened(step_graph(self.lowered, masked=False))
        self._flat: dict[Any, Callable[[list[Any]], Any] | None] = {}
        self._compiled: dict[Any, Callable[..., None]] = {}

    def __call__(self, work: Sequence[Item], *, compile: bool = True, checked: Checked | None = None) -> None:
        """One step, in place.

        Args:
            work: For each parameter its tensors and its scalars.
            compile: Compiled code, or torch's own operations one by one.
            checked: What the last step of these parameters found about them.
        """
        if not compile:
            with torch.no_grad():
                for tensors, slots in work:
                    self._one(*tensors, slots)
        elif all(slots.is_cpu for _, slots in work):
            self._flatly(work, checked or Checked())
        else:
            with torch.no_grad():
                for bucket in _buckets([item for item in work if item[0][0].numel()]):
                    self._update_layout(bucket)

    def _flatly(self, work: Sequence[Item], checked: Checked) -> None:
        threads = torch.get_num_threads()
        everything = [x for tensors, _ in work for x in tensors]
        if not checked.holds(everything, threads):
            checked.keep(everything, threads, [self._lane(*item, threads) for item in work])
        for (tensors, slots), (count, kernel) in zip(work, checked.found, strict=True):
            if kernel:
                kernel([count, *tensors, slots])
            else:
                self._apart(tensors, slots, threads)
        torch.autograd.graph.increment_version([tensors[0] for tensors, _ in work])

    def _lane(self, tensors: list[Any], slots: torch.Tensor, threads: int) -> Lane:
        """How many weights, and the function that updates them; None if they do not lie as it expects."""
        count = tensors[0].numel()
        if not is_flat(tensors):
            return count, None
        key = (threads if count >= _SHARED_FROM else 1, *[x.dtype for x in tensors])
        return count, self._flat[key] if key in self._flat else self._new_flat(key, slots)

    @torch.no_grad()
    def _apart(self, tensors: list[Any], slots: torch.Tensor, threads: int) -> None:
        """Updates copies without gaps, where that is the reason, and copies back."""
        copies = [x.contiguous() for x in tensors]
        count, kernel = self._lane(copies, slots, threads)
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
        except TorchDynamoException as error:  # raised while tracing, before anything has run
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
        def backend(graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> Callable[..., Any]:
            try:
                self.compilations += 1
                begin = time.perf_counter()
                compiled = compile_graph(graph, example)
                self.seconds += time.perf_counter() - begin
                return compiled
            except Exception as error:  # noqa: BLE001 - no compiler, no Triton, an unknown device: no common class
                self.compilations -= 1
                _warn_once(_NO_COMPILER, error)
                return graph.forward

        def update(work: Any, table: torch.Tensor) -> None:
            self._update(work, table)

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

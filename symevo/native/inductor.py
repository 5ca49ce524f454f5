"""torch's private parts, which it promises to nobody: all in this module, each behind a fallback of its caller.

Machine code for an update of n weights in a row, n being free: compiled once, for tensors of every shape. An update is
element-wise, so one function serves all tensors whose weights, gradients and states lie in memory in the same order and
without gaps. torch's inductor writes it (one loop, every buffer read once and written once), and it is called directly,
which takes less than a microsecond: there are no guards of dynamo and no wrappers of AOTAutograd between. So who calls
must have asked :func:`is_flat` first, and must count the change in place (``torch.autograd.graph.increment_version``).

What inductor makes is kept on disk, in ``$TORCHINDUCTOR_CACHE_DIR`` or ``torchinductor_USER`` in the folder of
temporary files, and read from there by later processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch

try:
    from torch._dynamo.exc import TorchDynamoException as CompileError
except ImportError:
    CompileError = RuntimeError


def compile_graph(
    graph: Any, inputs: Any, inner: Callable[..., Any] | None = None, settings: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Compile a graph, or take what an earlier process compiled for vectors of the same width.

    The loops that inductor writes take one vector of the processor at a time, but the key of what it keeps on disk
    names no processor: a loop that was written for AVX-512 and is read under AVX2 leaves half of the weights as they
    were. The width becomes part of the key when it is set by name. It is the one that inductor takes anyway, so no
    code changes.

    Args:
        graph: What to compile.
        inputs: Its example inputs.
        inner: What compiles the graph once it is functional; None: inductor's own.
        settings: More settings of inductor, by name.
    """
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    with config.patch({"cpp.simdlen": pick_vec_isa().bit_width(), **(settings or {})}):
        return compile_fx(graph, inputs, *([inner] if inner else []))  # type: ignore[return-value]


def fused_multiply_add() -> Callable[..., Any] | None:
    """Inductor's fused multiply-add, which it does not promise to anybody; None in a torch that has none."""
    from torch._inductor import inductor_prims

    return getattr(inductor_prims, "fma", None)


_EXAMPLE = 1 << 16
"""The n that inductor sees: large enough that it makes use of several threads, where it may."""

_PLAIN = (torch.nn.Parameter, torch.Tensor)


def flat_kernel(
    update: Callable[..., Any], dtypes: Sequence[torch.dtype], slots: torch.Tensor, *, threads: int
) -> Callable[[list[Any]], Any]:
    """Compiles an update.

    Args:
        update: Function of tensors of types ``dtypes`` and equal shape, and of the scalars, that changes tensors in
            place by torch's operations.
        dtypes: Types of weights, gradients, and states.
        slots: Scalars as they will be: one-dimensional, their number and type count.
        threads: How many threads share the work of a call.

    Returns:
        Function of one list ``[n, *tensors, slots]``, which it empties. It checks nothing.
    """
    from torch._functorch import config as functorch
    from torch._inductor.compile_fx import compile_fx_inner
    from torch.fx.experimental.proxy_tensor import make_fx

    tensors = [torch.zeros(_EXAMPLE, dtype=dtype) for dtype in dtypes]
    found: list[Any] = []

    def keep(*args: Any, **options: Any) -> Any:
        found.append(compile_fx_inner(*args, **options))
        return found[-1]

    with torch.no_grad(), functorch.patch(enable_autograd_cache=False):  # whose hits would pass by `keep`
        graph = make_fx(lambda n, *inputs: update(*inputs), tracing_mode="symbolic")(_EXAMPLE, *tensors, slots)
        inputs = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
        compile_graph(graph, inputs, keep, {"size_asserts": False, "cpp.threads": threads})
    return found[0].current_callable


def is_flat(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether tensors of one shape are plain, in a CPU's memory, in one order and without gaps."""
    first = tensors[0]
    count, strides = first.numel(), first.stride()
    for x in tensors:
        if type(x) not in _PLAIN or not x.is_cpu or x.is_neg() or x._is_zerotensor():
            return False  # not in memory as the numbers that they are
        if x.numel() != count or x.stride() != strides:
            return False
    return first.is_contiguous() or _has_no_gaps(first.shape, strides)


class ShapeGuard:
    """Tensors that have been looked at, and what was found.

    As long as every tensor has the class, device, type, shape and strides that it had, which torch's own guards tell in
    0.1 µs a tensor, what was found holds. It does not matter which tensors they are, or where they lie: gradients are
    new at every step, and weights may have been moved. A parameter more or less, such as one without gradient, or one
    that got another type or layout, does matter.

    Attributes:
        found: Whatever :meth:`keep` was given.
    """

    def __init__(self) -> None:
        self.found: Any = None
        self._threads = 0
        self._count = 0
        self._same: Callable[..., bool] | None = None

    def holds(self, tensors: Sequence[torch.Tensor], threads: int) -> bool:
        """Whether ``tensors`` and ``threads`` are as they were."""
        alike = self._same is not None and self._count == len(tensors) and self._threads == threads
        return alike and self._same(*tensors)  # type: ignore[misc]

    def keep(self, tensors: Sequence[torch.Tensor], threads: int, found: Any) -> None:
        """Remembers what was found; for one step only, where this torch has no such guards."""
        self.found, self._threads, self._count = found, threads, len(tensors)
        sizes, strides = [list(x.shape) for x in tensors], [list(x.stride()) for x in tensors]
        try:
            guards = import_module("torch._C._dynamo.guards").TensorGuards
            self._same = guards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check
        except (ImportError, AttributeError, TypeError, ValueError, RuntimeError):
            self._same = None


@lru_cache(maxsize=4096)
def _has_no_gaps(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1):
        if stride != expected:
            return False
        expected *= size
    return True

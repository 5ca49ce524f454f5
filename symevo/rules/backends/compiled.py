"""A program over many tensors, each with scalars of its own.

Scalars enter as tensors, so compiled code belongs to a program and to no number: a new learning rate, weight decay or
step count compiles nothing. On a CPU it does not belong to shapes either, see :mod:`symevo.rules.backends.compiled`:
one function serves every tensor, now and later, of a type. Elsewhere one function updates all tensors of a set of
shapes.

Machine code for an update of n weights in a row, n being free: compiled once, for tensors of every shape.

An update is element-wise. So one function serves all tensors whose weights, gradients and states lie in memory in the
same order and without gaps: it sees where they begin and how many they are, never their shapes. torch's inductor
writes it (one loop, every buffer read once and written once), and it is called directly, which takes less than a
microsecond: there are no guards of dynamo and no wrappers of AOTAutograd between. So who calls must have asked
:func:`is_flat` first, and must count the change in place (``torch.autograd.graph.increment_version``).

What inductor makes is kept on disk, in ``$TORCHINDUCTOR_CACHE_DIR`` or ``torchinductor_USER`` in the folder of
temporary files, and read from there by later processes; see :mod:`symevo.rules.backends.inductor`.

float32 forms of tanh and logarithms that compilers write into a loop: multiplications, additions, one division.

torch's inductor calls a function of the Sleef library for each vector of weights there, which can take longer than all
else that a step does. Here powers of two go through the bits of a number, and what is left is a polynomial, by fused
multiply-adds.

What comes out is right to 2.5 units of the last place (tanh) and to 1 (logarithms) for all float32 numbers, where Sleef
promises 1. Zeros, subnormals, infinities and NaN give what torch gives.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from importlib import import_module
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from symevo.rules.backends.inductor import compile_graph
from symevo.rules.backends.kernel import step_graph, torch_form
from symevo.rules.backends.lowering import Lowered, lower
from symevo.rules.backends.scalars import with_reciprocals
from symevo.rules.program import Program

_EXP = (
    5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4,
)  # fmt: skip
_LOG = (
    3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1,
    1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2,
)  # fmt: skip
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
"""ln 2 as a sum, the first part so short that its products with an exponent are exact."""
_HALF_ROOT_BITS = 0x3F3504F3
"""√½ as float32, read as int32."""
_EXPONENT_BITS, _SIGN_BIT = -0x800000, -0x80000000
_SMALLEST_NORMAL = 2.0**-126
_INFINITY = float("inf")


def fast_form(name: str) -> Callable[..., Any]:
    """The torch form of a primitive; in float32 the one of this module, if there is one."""
    plain, fast = torch_form(name), _FAST.get(name)
    if fast is None or _prims_fma() is None:
        return plain

    @wraps(fast)
    def form(x: torch.Tensor) -> torch.Tensor:
        return fast(x) if x.dtype is torch.float32 else plain(x)

    return form


def _tanh(x: torch.Tensor) -> torch.Tensor:
    """sign(x)·s/(s + 2) with s = exp(2|x|) - 1, which no rounding lifts above 1; from |x| = 10 on it is 1.

    exp(2|x|) = 2ᵏ(1 + q) with q = exp(r) - 1, |r| ≤ ½ ln 2, so s = 2ᵏq + (2ᵏ - 1), right where it is small too.
    q = r + r²P(r), with P from expf of the Cephes library.
    """
    double = 2.0 * x.abs().clamp(max=10.0)
    k = (double * (1 / math.log(2))).round()
    r = _fma(k, -_LN2_LOW, _fma(k, -_LN2_HIGH, double))
    power = ((k + 127.0) * 2.0**23).int().view(torch.float32)
    s = _fma(power, _fma(r * r, _polynomial(_EXP, r), r), power - 1.0)
    sign = x.view(torch.int32) & _SIGN_BIT
    return ((s / (s + 2.0)).view(torch.int32) | sign).view(torch.float32)


def _log(x: torch.Tensor) -> torch.Tensor:
    """The logarithm: subnormal numbers times 2²³, and what has none apart."""
    tiny = x < _SMALLEST_NORMAL
    found = _log_of_normal(torch.where(tiny, x * 2.0**23, x)) - torch.where(tiny, 23 * (_LN2_HIGH + _LN2_LOW), 0.0)
    edge = torch.where(x == 0, -_INFINITY, float("nan"))
    return torch.where(x < _INFINITY, torch.where(x > 0, found, edge), x)


def _signed_log(x: torch.Tensor) -> torch.Tensor:
    """sign(x)·ln(1 + |x|), whose logarithm is of nothing below 1."""
    y = 1.0 + x.abs()
    return torch.where(x < 0, -1.0, 1.0) * torch.where(y < _INFINITY, _log_of_normal(y), y)


def _log_of_normal(x: torch.Tensor) -> torch.Tensor:
    """Positive, finite and normal: ln x = k·ln 2 + ln(1 + f) with x = 2ᵏ(1 + f) and √½ ≤ 1 + f < √2.

    ln(1 + f) = f - f²/2 + f³P(f), with P from logf of the Cephes library (S. L. Moshier, 1992). The bits of a float32
    are k·2²³ and those of 1 + f, so a subtraction of whole numbers brings k to the front, as k·2²³, and another one
    takes it away.
    """
    bits = x.view(torch.int32)
    shifted = (bits - _HALF_ROOT_BITS) & _EXPONENT_BITS
    k = shifted.float()
    f = (bits - shifted).view(torch.float32) - 1.0
    square = f * f
    rest = _fma(k, _LN2_LOW * 2.0**-23, f * square * _polynomial(_LOG, f))
    return _fma(k, _LN2_HIGH * 2.0**-23, f + _fma(square, -0.5, rest))


def _polynomial(coefficients: Sequence[float], x: torch.Tensor) -> torch.Tensor:
    """c₀ + c₁x + c₂x² + … by Horner's scheme."""
    *rest, highest = coefficients
    value = torch.full_like(x, highest)
    for coefficient in reversed(rest):
        value = _fma(x, value, coefficient)
    return value


def _fma(a: torch.Tensor, b: torch.Tensor | float, c: torch.Tensor | float) -> torch.Tensor:
    """a·b + c, rounded once."""
    fma: Any = _prims_fma()
    return fma(a, *(part if isinstance(part, torch.Tensor) else torch.full_like(a, part) for part in (b, c)))


def _prims_fma() -> Callable[..., Any] | None:
    """Inductor's fused multiply-add, which it does not promise to anybody; None in a torch that has none."""
    from torch._inductor import inductor_prims

    return getattr(inductor_prims, "fma", None)


_FAST = {"tanh": _tanh, "log": _log, "signed_log": _signed_log}


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


class Checked:
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

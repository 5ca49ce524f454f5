"""float32 forms of tanh and logarithms that compilers write into a loop: multiplications, additions, one division.

torch's inductor calls a function of the Sleef library for each vector of weights there, which can take longer than all
else that a step does. Here powers of two go through the bits of a number, and what is left is a polynomial, by fused
multiply-adds.

What comes out is right to 2.5 units of the last place (tanh) and to 1 (logarithms) for all float32 numbers, where Sleef
promises 1. Zeros, subnormals, infinities and NaN give what torch gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch

from symevo.rules.kernel import torch_form

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

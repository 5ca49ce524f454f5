"""exp, log and tanh in float32 without branches, for loops that a processor runs on many numbers at once.

The C library computes one number at a time, and Sleef, which torch's inductor calls, can take longer than all else that
a step does. Here powers of two go through the bits of a number, and what is left is a polynomial of the Cephes library
(S. L. Moshier, 1992). :data:`FAST` has a form for torch's inductor and one for numba: up to 3 units of the last place
from the truth. Zeros, infinities and NaN give what torch gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numba import types
from numba.extending import intrinsic

from symevo.native.inductor import fused_multiply_add

EXP = (
    5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4,
)  # fmt: skip
"""exp(r) = 1 + r + r²P(r), |r| ≤ ½ ln 2: expf of Cephes. Coefficients here rise with the power."""
LOG = (
    3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1,
    1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2,
)  # fmt: skip
"""ln(1 + f) = f - f²/2 + f³P(f), √½ ≤ 1 + f < √2: logf of Cephes."""
TANH = (-3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2, -5.70498872745e-3)
"""tanh x = x + x³P(x²), |x| < 0.625: tanhf of Cephes."""
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
"""ln 2 as a sum, the first part so short that its products with an exponent are exact."""

# --- for torch's inductor: by fused multiply-adds, tanh right to 2.5 units of the last place and logarithms to 1 -----

_HALF_ROOT_BITS = 0x3F3504F3
"""√½ as float32, read as int32."""
_EXPONENT_BITS, _SIGN_BIT = -0x800000, -0x80000000
_SMALLEST_NORMAL = 2.0**-126


def _torch_tanh(x: torch.Tensor) -> torch.Tensor:
    """sign(x)·s/(s + 2) with s = exp(2|x|) - 1, which no rounding lifts above 1; from |x| = 10 on it is 1.

    exp(2|x|) = 2ᵏ(1 + q) with q = exp(r) - 1, |r| ≤ ½ ln 2, so s = 2ᵏq + (2ᵏ - 1), right where it is small too.
    q = r + r²P(r), with P from expf of the Cephes library.
    """
    double = 2.0 * x.abs().clamp(max=10.0)
    k = (double * (1 / math.log(2))).round()
    r = _fma(k, -LN2_LOW, _fma(k, -LN2_HIGH, double))
    power = ((k + 127.0) * 2.0**23).int().view(torch.float32)
    s = _fma(power, _fma(r * r, _polynomial(EXP, r), r), power - 1.0)
    sign = x.view(torch.int32) & _SIGN_BIT
    return ((s / (s + 2.0)).view(torch.int32) | sign).view(torch.float32)


def _torch_log(x: torch.Tensor) -> torch.Tensor:
    """The logarithm: subnormal numbers times 2²³, and what has none apart."""
    tiny = x < _SMALLEST_NORMAL
    found = _log_of_normal(torch.where(tiny, x * 2.0**23, x)) - torch.where(tiny, 23 * (LN2_HIGH + LN2_LOW), 0.0)
    edge = torch.where(x == 0, -math.inf, math.nan)
    return torch.where(x < math.inf, torch.where(x > 0, found, edge), x)


def _torch_signed_log(x: torch.Tensor) -> torch.Tensor:
    """sign(x)·ln(1 + |x|), whose logarithm is of nothing below 1."""
    y = 1.0 + x.abs()
    return torch.where(x < 0, -1.0, 1.0) * torch.where(y < math.inf, _log_of_normal(y), y)


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
    rest = _fma(k, LN2_LOW * 2.0**-23, f * square * _polynomial(LOG, f))
    return _fma(k, LN2_HIGH * 2.0**-23, f + _fma(square, -0.5, rest))


def _polynomial(coefficients: Sequence[float], x: torch.Tensor) -> torch.Tensor:
    """c₀ + c₁x + c₂x² + … by Horner's scheme."""
    *rest, highest = coefficients
    value = torch.full_like(x, highest)
    for coefficient in reversed(rest):
        value = _fma(x, value, coefficient)
    return value


def _fma(a: torch.Tensor, b: torch.Tensor | float, c: torch.Tensor | float) -> torch.Tensor:
    """a·b + c, rounded once."""
    fma: Any = fused_multiply_add()
    return fma(a, *(part if isinstance(part, torch.Tensor) else torch.full_like(a, part) for part in (b, c)))


# --- for numba ------------------------------------------------------------------------------------------------


@intrinsic
def _bits(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@intrinsic
def _real(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


_f = np.float32
_LOG2E, _LN2_HIGH, _LN2_LOW = _f(1 / math.log(2)), _f(LN2_HIGH), _f(LN2_LOW)
_EXP, _LOG, _TANH = (tuple(map(_f, reversed(terms))) for terms in (EXP, LOG, TANH))
_LOWEST, _HIGHEST, _INFINITE = _f(-104.0), _f(89.0), _f(np.inf)
_TINY, _SCALE, _HALF_ROOT = _f(1.17549435e-38), _f(8388608.0), _f(0.70710678)
_ZERO, _HALF, _ONE, _TWO, _BEND = _f(0), _f(0.5), _f(1), _f(2), _f(0.625)
_TWENTY = _f(20)


@numba.njit(error_model="numpy")
def _numba_exp(x: Any) -> Any:
    """exp(x) = 2ⁿ·exp(r), |r| ≤ ln 2 / 2; the polynomial is Cephes' (S. Moshier, expf)."""
    bounded = min(max(x, _LOWEST), _HIGHEST)
    n = np.floor(bounded * _LOG2E + _HALF)
    r = bounded - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_EXP[0] * r + _EXP[1]) * r + _EXP[2]) * r + _EXP[3]) * r + _EXP[4]) * r + _EXP[5]
    value = p * r * r + r + _ONE
    whole = np.int32(n)
    half = whole >> np.int32(1)  # 2ⁿ in two factors: the range of one exponent does not reach denormals
    value = value * _real((half + np.int32(127)) << np.int32(23))  # type: ignore[call-arg]
    value = value * _real((whole - half + np.int32(127)) << np.int32(23))  # type: ignore[call-arg]
    return value if x == x else x


@numba.njit(error_model="numpy")
def _numba_log(x: Any) -> Any:
    """log(m·2ᵉ) = e·ln 2 + log m, √½ ≤ m < √2; the polynomial is Cephes' (S. Moshier, logf)."""
    small = x < _TINY
    bits = _bits(x * _SCALE if small else x)  # type: ignore[call-arg]  # the context is numba's
    e = _f((bits >> np.int32(23)) - np.int32(126)) - (_f(23) if small else _ZERO)
    m = _real((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000))  # type: ignore[call-arg]
    low = m < _HALF_ROOT
    e = e - _ONE if low else e
    m = m + m - _ONE if low else m - _ONE
    z = m * m
    p = (((_LOG[0] * m + _LOG[1]) * m + _LOG[2]) * m + _LOG[3]) * m + _LOG[4]
    p = (((p * m + _LOG[5]) * m + _LOG[6]) * m + _LOG[7]) * m + _LOG[8]
    value = m + (p * z * m + (e * _LN2_LOW - _HALF * z)) + e * _LN2_HIGH
    value = x if x == _INFINITE else value
    value = -_INFINITE if x == _ZERO else value
    return value if x >= _ZERO else _f(np.nan)


@numba.njit(error_model="numpy")
def _numba_tanh(x: Any) -> Any:
    """Below 0.625 an odd polynomial (Cephes, tanhf); above, 1 − 2/(exp 2|x| + 1)."""
    size, z = abs(x), x * x
    p = (((_TANH[0] * z + _TANH[1]) * z + _TANH[2]) * z + _TANH[3]) * z + _TANH[4]
    large = _ONE - _TWO / (_numba_exp(size + size) + _ONE)
    large = -large if x < _ZERO else large
    return p * z * x + x if size < _BEND else large


def _numba_bounded_exp(x: Any) -> Any:
    return _numba_exp(min(x, _TWENTY) if x == x else x)


def _numba_signed_log(x: Any) -> Any:
    value = _numba_log(_ONE + abs(x))
    return -value if x < _ZERO else value


class Form(NamedTuple):
    """A primitive's fast forms in float32; None where the plain one is as good."""

    numba: Callable[..., Any]
    torch: Callable[[torch.Tensor], torch.Tensor] | None = None


FAST = {
    "exp": Form(_numba_exp),
    "log": Form(_numba_log, _torch_log),
    "tanh": Form(_numba_tanh, _torch_tanh),
    "bounded_exp": Form(_numba_bounded_exp),
    "signed_log": Form(_numba_signed_log, _torch_signed_log),
}
"""By the name of the primitive."""

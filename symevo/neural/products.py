"""Products of matrices, one for each row, whose bits do not depend on the number of rows."""

from __future__ import annotations

import torch
from torch import Tensor

from symevo.neural.statistics import aligned


def product(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``a [R, n, m] @ b [R, m, p]``, where one row of ``b`` may stand for all.

    Every operand's rows must start at multiples of 64 bytes: MKL sums in another order elsewhere.
    """
    rows = max(len(a), len(b))
    a, b = a.expand(rows, -1, -1), b.expand(rows, -1, -1)
    out = aligned((rows, a.shape[1], b.shape[2]), a.dtype) if out is None else out
    if rows == 1 and 1 in (*a.shape[1:], b.shape[2]):
        # A single product with a vector has a kernel of its own, with other bits.
        return out.copy_(torch.bmm(a.expand(2, -1, -1), b.expand(2, -1, -1))[:1])
    return torch.bmm(a, b, out=out)

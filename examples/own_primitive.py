"""A primitive of one's own: a soft sign, which free-form rules may then be made of.

symevo run expression --preset quick --tasks-from examples/own_primitive.py --primitives softsign,ema,ratio,root,square
"""

from __future__ import annotations

from typing import Any

import symevo


@symevo.primitive(reads="x/(1 + abs(x))")
def softsign(x: Any) -> Any:
    """Near 0 as x, far from it as the sign of x; the same for tensors, numbers and sympy."""
    return x / (1 + abs(x))

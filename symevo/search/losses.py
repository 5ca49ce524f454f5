"""Losses of networks, some of which failed."""

from __future__ import annotations

import math


def or_infinite(loss: float | None) -> float:
    """The loss; infinite for a network that did not train to its end (None), so that it is last in any order."""
    return math.inf if loss is None else loss

"""Where rows of numbers start in memory: at whole cache lines.

Processors and libraries may add up a row in another order where it starts elsewhere, so the bits of a result would
depend on its place among others; :mod:`symevo.tasks.layers` says what was measured.
"""

from __future__ import annotations

CACHE_LINE = 64
"""Bytes; the widest registers hold as many."""


def padded(count: int, itemsize: int) -> int:
    """How many elements of ``itemsize`` bytes a row of ``count`` takes, so that the next one starts at a cache line."""
    together = CACHE_LINE // itemsize
    return -(-count // together) * together

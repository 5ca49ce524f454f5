"""What became of all that a run proposed: sums over its generations' records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

_KNOWN = "known"


def proposals(history: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many individuals a run proposed, and what share of them was trained, known already, or dropped and why.

    Args:
        history: Records of generations.

    Returns:
        ``count`` and ``shares``; the shares are of ``trained``, ``known`` (answered from the cache, or like another
        of the same generation) and each reason to drop, and add up to 1.
    """
    counts: Counter[str] = Counter()
    for record in history:
        counts["trained"] += record["evaluations"]
        counts[_KNOWN] += record.get("cached", 0)
        counts.update(record.get("dropped", {}))
    total = sum(counts.values())
    return {"count": total, "shares": {name: number / total for name, number in counts.most_common() if number}}


def operators(history: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """For each operator, how many children it made, how many were worth training, and how many beat their parents."""
    found: dict[str, Counter[str]] = {}
    for record in history:
        for name, counts in record.get("operators", {}).items():
            found.setdefault(name, Counter()).update({key: counts[key] for key in ("tried", "valid", "improved")})
    return {name: dict(found[name]) for name in sorted(found)}

"""What a run's records say: sums over its generations, and one number for each curve of a generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any


def mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is missing, or there is none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def proposals(history: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many individuals the generations of these records proposed, and what became of them.

    Returns:
        ``count`` and ``shares``; the shares are of ``trained``, ``known`` (answered from the cache, or like another
        of the same generation) and each reason to drop, and add up to 1.
    """
    counts: Counter[str] = Counter()
    for record in history:
        counts["trained"] += record["evaluations"]
        counts["known"] += record.get("cached", 0)
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


_FITNESS = ("best", "mean", "median")
_NAMED = {*_FITNESS, "gen", "evaluations", "cached", "failed", "dropped", "operators", "seconds", "elapsed"}


def measures(record: Mapping[str, Any]) -> dict[str, float]:
    """The curves' values of one generation as stored, by tag.

    A measure that only some systems have is drawn under its own name; a pair is the lowest and the mean.
    """
    evaluations = record["evaluations"]
    found: dict[str, Any] = {f"fitness/{name}": record.get(name) for name in _FITNESS}
    found |= {"evaluations/trained": evaluations, "evaluations/cached": record.get("cached")}
    found["evaluations/dropped"] = sum(record.get("dropped", {}).values())
    found["evaluations/failed share"] = record.get("failed", 0) / evaluations if evaluations else None
    for name, counts in record.get("operators", {}).items():
        shares = {of: counts[of] / counts["tried"] for of in ("valid", "improved") if counts["tried"]}
        found |= {f"operators/{name}/{of}": share for of, share in shares.items()}
    for name in record.keys() - _NAMED:
        match record[name]:
            case [lowest, mean]:
                found |= {f"{name}/lowest": lowest, f"{name}/mean": mean}
            case value:
                found[f"search/{name}"] = value
    return {tag: float(value) for tag, value in found.items() if isinstance(value, int | float)}


def conclusion(ranking: Sequence[Mapping[str, Any]], replays: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """What a run that has ended says of its best, by tag: scores on whole splits, and means of new networks.

    Args:
        ranking: What is left of the networks, best first.
        replays: Scores of new networks, by what they were trained under.
    """
    found: dict[str, Any] = {}
    for split in ("validation", "test"):
        scores = (ranking[0][split] if ranking else None) or {}
        found |= {f"{split} of the best/{name}": value for name, value in scores.items()}
    for name, scores in replays.items():
        done = [score for score in scores if score is not None]
        found[f"new networks/{name}"] = fmean(done) if done else None
    return {tag: value for tag, value in found.items() if value is not None}

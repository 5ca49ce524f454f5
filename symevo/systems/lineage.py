"""The line of networks that one descends from."""

from __future__ import annotations

from typing import Any

from symevo.settings import Settings
from symevo.store import Store


def lineage(store: Store, settings: Settings, name: str) -> list[dict[str, Any]]:
    """A network's line, oldest first: what it goes on from, and of two parents the one with the larger share.

    Args:
        store: Of the run.
        settings: Of the run.
        name: Identity of the network.

    Returns:
        ``genome`` of each, and its ``outcomes`` by training seed.
    """
    genomes = {one["identity"]: one["genome"] for one in store.evaluations()}
    found: list[dict[str, Any]] = []
    before: str | None = name
    while before is not None:
        outcomes = [store.training(before, settings.tasks[0], seed) for seed in range(settings.seeds)]
        found.append({"genome": genomes[before], "outcomes": outcomes})
        before = _before(genomes[before]["start"])
    return found[::-1]


def _before(start: dict[str, Any]) -> str | None:
    if "cross" in start:
        return start["cross"][0 if start["share"] >= 0.5 else 1]
    return start.get("copy")

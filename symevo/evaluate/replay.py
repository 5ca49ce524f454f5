"""Replays a timetable of numbers on new networks."""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from symevo.evaluate.growth import Member, Stretch, grow
from symevo.rules.timetable import Timetable
from symevo.tasks.workload import Workload

_WHOLE = 2**31 - 1


def replay(workload: Workload, timetable: Timetable, *, seeds: Sequence[int], backend: str) -> list[dict[str, Any]]:
    """Trains a new network for each training seed under the numbers of a timetable.

    Args:
        workload: The task, on its device.
        timetable: Numbers by step.
        seeds: Training seeds: initial weights, order of the data, masks.
        backend: Kernel backend.

    Returns:
        For each seed the outcome at the end, on the whole validation split.
    """
    with TemporaryDirectory() as folder:
        return [_one(workload, timetable, seed, folder, backend) for seed in seeds]


def _one(workload: Workload, timetable: Timetable, seed: int, folder: str, backend: str) -> dict[str, Any]:
    steps, start, found = timetable.boundaries, {"seed": seed}, dict[str, Any]()
    for at, rule in enumerate(timetable.rules()):
        probes = (("validation", _WHOLE, 0),)
        stretch = Stretch(seed=seed, first=steps[at], clock=steps[at], total=steps[-1], probes=probes)
        member = Member(f"{seed}-{at}", rule, start, None, stretch)
        (found,) = grow(workload, [member], folder=folder, steps=steps[at + 1] - steps[at], backend=backend)
        if found["status"] != "ok":
            return found
        start = {"copy": member.name}
    return found

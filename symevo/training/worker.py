"""What engines call in a worker process: plain data in, plain data out.

An item names everything that decides its result; nothing is taken from the worker's own state, so that an item may run
anywhere, twice, or again after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from symevo.errors import UserError
from symevo.rules.rule import Rule
from symevo.tasks import TASKS, Task, Workload
from symevo.tasks.fingerprint import fingerprint, same
from symevo.tasks.plugins import adopt
from symevo.training.continued import Member, grow
from symevo.training.lockstep import train


def train_chunk(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Trains one chunk.

    Args:
        item: ``task``, ``seed``, ``steps``, ``candidates``, ``rows``, ``backend``, ``split`` and the keys of
            :func:`workload_of`. Candidates are rule JSON, of one program; or, where ``weights`` names a folder of
            snapshots, members of a population of networks, see :class:`symevo.training.continued.Member`; or
            controllers, see :class:`symevo.training.controllers.Controlled`.

    Returns:
        One outcome a candidate, see :func:`symevo.training.lockstep.train`, :func:`symevo.training.continued.grow` and
        :func:`symevo.training.controllers.score`.
    """
    torch.set_num_threads(item["threads"])
    if "controllers" in item["candidates"][0]:
        from symevo.training.controllers import score

        return score(workload_of(item), item["candidates"], steps=item["steps"])
    workload, how = workload_of(item), {name: item[name] for name in ("steps", "rows", "backend")}
    if item["weights"] is not None:
        members = [Member.from_json(data) for data in item["candidates"]]
        return grow(workload, members, folder=item["weights"], seed=item["seed"], **how)
    rules = [Rule.from_json(data) for data in item["candidates"]]
    return train(workload, rules, seed=item["seed"], split=item["split"], **how)


def warm(items: list[dict[str, Any]]) -> None:
    """Loads data and compiles kernels before the clock of a time limit runs: two steps of each kind of chunk.

    Raises:
        UserError: A task is not the one of ``prints``, its fingerprints by name: its file was edited during the run.
    """
    for item in items:
        first = item["candidates"]
        if item["weights"] is not None:  # a member warms up as its rule alone
            first = [data["rule"] for data in first]
        train_chunk({**item, "steps": 2, "candidates": first, "weights": None})
        expected = item.get("prints", {}).get(item["task"])
        if expected and not same(fingerprint(workload_of(item), ("train", item["split"])), expected):
            raise UserError(
                f"task {item['task']!r} is not what the run started with: its file was changed, or gives other data "
                "each time it runs (seed what is random)"
            )


def workload_of(item: dict[str, Any]) -> Workload:
    """The workload for ``task``, ``device``, ``stacking``, ``data_dir``, ``run_seed``; kept between items.

    ``plugins`` names the modules of the user's files, imported already, whose tasks may be meant.
    """
    for module in item["plugins"]:
        adopt(module)
    return _workload(TASKS.get(item["task"]), item["device"], item["stacking"], item["data_dir"], item["run_seed"])


@lru_cache(maxsize=16)
def _workload(task: Callable[[], Task], device: str, stacking: str, data_dir: str | None, run_seed: int) -> Workload:
    return Workload(task(), device=device, stacking=stacking, data_dir=data_dir, run_seed=run_seed)

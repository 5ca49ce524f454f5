"""One of two processes that train together: every distributed client with every form and rule, one after the other.

Run by :mod:`test_distributed` as ``python client_ranks.py RANK FOLDER``. The processes meet in a file of the folder
and talk over the loopback interface. What the trainings of a client came to is left in ``FOLDER/CLIENT.pt``.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from client_checks import CHECKPOINT, HALF, STEPS, Fit, batch, copies, loss_of, network, outcome_of
from client_forms import FORMS, RULES, TORCH, Maker, maker
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

WORLD = 2
CASES = [(form, rule) for form in FORMS for rule in RULES] + [(TORCH, "adamw")]


def share(step: int) -> tuple[Tensor, Tensor]:
    """This process's half of a step's batch."""
    x, y = batch(step)
    return x[dist.get_rank() :: WORLD], y[dist.get_rank() :: WORLD]


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    start: int,
    save: Callable[[], None],
    reduce: Callable[[], None] = lambda: None,
) -> None:
    """Steps from one to the last, and a checkpoint at half-time of a training that began at 0."""
    for step in range(start, STEPS):
        x, y = share(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        reduce()
        optimizer.step()
        if step + 1 == HALF and start == 0:
            save()
            dist.barrier()


def ddp(make: Maker, folder: Path, resume: bool) -> Fit:
    """DistributedDataParallel: every process has the whole model and optimizer."""
    model = network()
    before = loss_of(model)
    parallel = nn.parallel.DistributedDataParallel(model)
    optimizer = make(parallel.parameters())
    if resume:
        saved = torch.load(folder / CHECKPOINT, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])

    def save() -> None:
        if dist.get_rank() == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / CHECKPOINT)

    train(parallel, optimizer, HALF if resume else 0, save)
    return Fit(before, loss_of(model), copies(model.parameters()))


def zero(make: Maker, folder: Path, resume: bool) -> Fit:
    """ZeroRedundancyOptimizer: every process keeps the states of its share of the weights."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = network()
    before = loss_of(model)
    parallel = nn.parallel.DistributedDataParallel(model)
    optimizer = ZeroRedundancyOptimizer(parallel.parameters(), make.cls, **make.options)
    if resume:
        saved = torch.load(folder / CHECKPOINT, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])

    def save() -> None:
        optimizer.consolidate_state_dict(to=0)
        if dist.get_rank() == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / CHECKPOINT)

    train(parallel, optimizer, HALF if resume else 0, save)
    return Fit(before, loss_of(model), copies(model.parameters()))


def fsdp2(make: Maker, folder: Path, resume: bool, plain: bool = False) -> Fit:
    """``fully_shard`` and distributed checkpoints: every process has a shard of each weight and state, as DTensors.

    With plain weights, checkpoints also hold the optimizer by names of weights, states and numbers alike.

    Args:
        make: Makes the optimizer.
        folder: Of checkpoints.
        resume: Go on from the checkpoint there.
        plain: Leave the weights of one layer out of the shards: the optimizer then has DTensors and plain tensors in
            one group, and what it does not compile it must not mix.
    """
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    whole, model = network(), cast(Any, network())
    before = loss_of(whole)
    mesh = init_device_mesh("cpu", (WORLD,))
    ignored = set(model[2].parameters()) if plain else set()
    for layer in (model[0], model[3]):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params=ignored)
    optimizer = make(model.parameters())
    options = StateDictOptions(flatten_optimizer_state_dict=plain)
    if plain:
        optimizer.compile = False

    def states() -> dict[str, Any]:
        weights, moments = get_state_dict(model, optimizer, options=options)
        return {"model": weights, "optimizer": moments}

    def reduce() -> None:
        for param in ignored:
            dist.all_reduce(param.grad)
            param.grad.div_(WORLD)

    if resume:
        saved = states()
        dcp.load(saved, checkpoint_id=folder / "dcp")
        set_state_dict(
            model,
            optimizer,
            model_state_dict=saved["model"],
            optim_state_dict=saved["optimizer"],
            options=options,
        )
    train(
        model,
        optimizer,
        HALF if resume else 0,
        save=lambda: dcp.save(states(), checkpoint_id=folder / "dcp"),
        reduce=reduce,
    )
    weights = [one.full_tensor() if isinstance(one, DTensor) else one for one in copies(model.parameters())]
    with torch.no_grad():
        for param, value in zip(whole.parameters(), weights, strict=True):
            param.copy_(value)
    return Fit(before, loss_of(whole), copies(whole.parameters()))


CLIENTS = {"ddp": ddp, "zero": zero, "fsdp2": fsdp2, "mixed": functools.partial(fsdp2, plain=True)}


def outcomes(client: str, folder: Path) -> dict[tuple[str, str], Any]:
    """What each form and rule came to; in place of one that failed, its traceback."""
    found: dict[tuple[str, str], Any] = {}
    for index, (form, rule) in enumerate(CASES):
        shared = folder / f"{client}{index}"
        shared.mkdir(exist_ok=True)
        try:
            found[form, rule] = asdict(outcome_of(CLIENTS[client], maker(form, rule), shared))
        except Exception:  # noqa: BLE001
            found[form, rule] = traceback.format_exc()
    return found


def main(rank: str, path: str) -> None:
    """Take part in all trainings."""
    folder = Path(path)
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", store, timeout=timedelta(seconds=60), rank=int(rank), world_size=WORLD)
    for client in CLIENTS:
        found = outcomes(client, folder)
        if rank == "0":
            torch.save(found, folder / f"{client}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

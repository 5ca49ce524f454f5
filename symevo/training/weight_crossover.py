"""Where a network starts from: new, from another, or as the child of two (Zhang & Gouza, GADAM, arXiv 1805.07500)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from symevo.errors import UserError
from symevo.tasks.stacked.layers import Segment
from symevo.tasks.workload import Workload
from symevo.training import snapshots
from symevo.training.snapshots import Snapshot


def begin(workload: Workload, start: Mapping[str, Any], folder: str | None, seed: int = 0) -> Snapshot:
    """The snapshot that a training starts from.

    Args:
        workload: The task, on its device.
        start: One of

            - ``{"seed": n}``: the initial weights of training seed n;
            - ``{"copy": name}``: a snapshot, weights, rule states and all;
            - ``{"cross": [name, name], "share": p, "rate": q, "noise": …, "scale": σ, "inherit": …, "draw": seed}``:
              the child of two snapshots, see :func:`child`.
        folder: Where the snapshots lie.
        seed: Added to training seed n; of members that have a network for each of several, which is meant.

    Raises:
        UserError: A snapshot is missing, damaged, or of another model.
    """
    if "seed" in start:
        return Snapshot(workload.initial(start["seed"] + seed), (), {}, 0)
    if folder is None:
        raise ValueError(f"start {start} needs a folder of snapshots")
    members = [start["copy"]] if "copy" in start else start["cross"]
    names = [snapshots.named(member, seed) for member in members]
    parents = [snapshots.get(folder, name, workload.device) for name in names]
    for name, parent in zip(names, parents, strict=True):
        if parent.theta.shape != (workload.width,):
            path = snapshots.path_of(folder, name)
            raise UserError(f"weights file {path} is of another model than that of task {workload.task.name!r}")
    return parents[0] if "copy" in start else child(parents[0], parents[1], start, workload.segments)


def child(first: Snapshot, second: Snapshot, how: Mapping[str, Any], segments: Sequence[Segment]) -> Snapshot:
    """Crosses two networks weight by weight, then mutates the child.

    Args:
        first: Its weight is taken with probability ``share`` (equation 9).
        second: Else this one's.
        how: ``share`` (equation 10), ``rate``, the mutation rate of each weight (equation 12), ``noise`` and ``scale``,
            see :func:`mutated`, ``draw``, the seed of it all, and ``inherit``, what becomes of the rule's states:
            ``"none"``: they start anew; ``"fitter"``: those of the parent with the larger share; ``"both"``: each
            weight brings its own along. Running statistics are those of the parent with the larger share.
        segments: Where the weights lie; what is between them stays 0.
    """
    generator = torch.Generator().manual_seed(how["draw"])
    places = torch.cat([torch.arange(s.start, s.stop) for s in segments])
    taken = torch.zeros(len(first.theta), dtype=torch.bool)
    taken[places] = torch.rand(len(places), generator=generator) < how["share"]
    taken = taken.to(first.theta.device)
    theta = torch.where(taken, first.theta, second.theta)
    for segment in segments:
        part = theta[segment.start : segment.stop]
        theta[segment.start : segment.stop] = mutated(part, how["rate"], how["noise"], how["scale"], generator)
    fitter = first if how["share"] >= 0.5 else second
    states, age = {
        "none": ((), 0),
        "fitter": (fitter.states, fitter.age),
        "both": (
            tuple(torch.where(taken, a, b) for a, b in zip(first.states, second.states, strict=True)),
            fitter.age,
        ),
    }[how["inherit"]]
    return Snapshot(theta, states, fitter.buffers, age)


def mutated(weights: Tensor, rate: float, noise: str, scale: float, generator: torch.Generator) -> Tensor:
    """Mutates the weights of one tensor, each with probability ``rate`` (equation 11).

    Args:
        weights: ``[N]``.
        rate: Of each weight.
        noise: ``"uniform"``: a weight becomes a draw from U(0, ``scale``), the paper's with scale 1; ``"gaussian"``: it
            gets noise, of ``scale`` standard deviations of the tensor.
        scale: How much.
        generator: On the CPU, so that all devices draw alike.
    """
    hit = torch.rand(len(weights), generator=generator) < rate
    if noise == "uniform":
        new = scale * torch.rand(len(weights), generator=generator, dtype=weights.dtype).to(weights.device)
    else:
        drawn = torch.randn(len(weights), generator=generator, dtype=weights.dtype).to(weights.device)
        spread = weights.std() if len(weights) > 1 else weights.abs().mean()
        new = weights + scale * spread * drawn
    return torch.where(hit.to(weights.device), new, weights)

"""Training that goes on: networks start from others' weights and rule states, are trained further, and are kept.

Populations of networks are trained this way: a member is a network to be, named by all that decides its bits. It may
begin anew, go on from another, or be a child of two (Zhang & Gouza, GADAM, arXiv 1805.07500).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symevo.errors import RunFailed, UserError
from symevo.rules.backends.base import Update
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.tasks.stacked.layers import Segment, views
from symevo.tasks.workload import Rows, Scores, Workload
from symevo.training import snapshots
from symevo.training.job import Outcome
from symevo.training.lockstep import Course, lockstep, new_states, outcome, plain, update_of
from symevo.training.snapshots import Snapshot


@dataclass(frozen=True)
class Stretch:
    """A stretch of training that all members of a generation go through together.

    Attributes:
        seed: Training seed: dropout masks, and the order of the data for members without one of their own.
        first: Where in the order of the data it begins.
        clock: Steps of the rule's schedule that have passed.
        total: T, the steps of the whole schedule.
        probes: Scores wanted at its end, each (split, samples to draw, seed of the draw); the last is the member's own.
    """

    seed: int
    first: int
    clock: int
    total: int
    probes: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Member:
    """A network to be: what decides its bits.

    Attributes:
        name: That of its snapshot: equal for members that train alike, and for no others.
        rule: Trains it.
        start: Where it starts from, see :func:`begin`.
        order: Seed of its own order of the data; None: that of the stretch.
        stretch: What it goes through.
    """

    name: str
    rule: Rule
    start: Mapping[str, Any]
    order: int | None
    stretch: Stretch

    @property
    def program(self) -> Program:
        """The rule's program."""
        return self.rule.program

    @property
    def identity(self) -> str:
        """Its name."""
        return self.name

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "rule": self.rule.to_json(),
            "start": dict(self.start),
            "order": self.order,
            "stretch": asdict(self.stretch),
        }

    @classmethod
    def of(cls, rule: Rule, data: Mapping[str, Any]) -> Member:
        """Reads :meth:`to_json`'s form, the rule apart."""
        stretch = {**data["stretch"], "probes": tuple(map(tuple, data["stretch"]["probes"]))}
        return cls(data["name"], rule, data["start"], data["order"], Stretch(**stretch))


def grow(
    workload: Workload,
    members: Sequence[Member],
    *,
    folder: str | None,
    steps: int,
    seed: int = 0,
    rows: int | None = None,
    backend: str = "compiled",
) -> list[Outcome]:
    """Trains members of one stretch, of one program unless the backend mixes, and keeps what they have become.

    Args:
        workload: The task, on its device.
        members: Networks to be.
        seed: Added to every training seed of members and stretch: a member may have one network for each of several.
        folder: Of the snapshots that they start from, and of those that they become; None: nothing is written.
        steps: Steps to train.
        rows: Rows of the stack, at least ``len(members)``; the rest is padding.
        backend: Kernel backend.

    Raises:
        RunFailed: Weights cannot be read or written: that is no fault of a member's.

    Returns:
        An outcome for each member, with its probes in the order of the stretch's, and the digest of its snapshot.
    """
    stretch, count = members[0].stretch, rows or len(members)
    if any(member.stretch != stretch for member in members):
        raise ValueError("members of one chunk go through one stretch")
    stack = [*members, *[members[0]] * (count - len(members))]
    session = workload.rows(count)
    theta = session.theta
    update = update_of(session, [member.rule for member in stack], backend)
    session.start(0)
    states = new_states(update, theta)
    starts = [_begun(workload, member, folder, seed) for member in members]
    starts += [starts[0]] * (count - len(members))  # padding is made once
    ages = [_put_in(session, states, row, start) for row, start in enumerate(starts)]
    orders = None if stack[0].order is None else [member.order or 0 for member in stack]
    curve, died = lockstep(
        session,
        update,
        slot_table(update, [member.rule for member in stack], ages, stretch, steps).to(theta),
        Course(stretch.seed + seed, stretch.first, orders),
        limit=workload.task.diverged_above,
        live=len(members),
        states=states,
    )
    probes = [session.scores(workload.sample(*probe)) for probe in stretch.probes]
    found = []
    for row, member in enumerate(members):
        one = _outcome(workload, curve[:, row], int(died[row]), probes, row)
        if one.status == "ok" and folder is not None:
            snapshot = _taken_out(session, states, row, ages[row] + steps)
            one = replace(one, digest=_kept(folder, snapshots.named(member.identity, seed), snapshot))
        found.append(one)
    return found


def _outcome(workload: Workload, curve: np.ndarray, died: int, probes: Sequence[Scores], row: int) -> Outcome:
    found = outcome(workload, curve, died, probes[-1], row)
    if workload.task.metric == "loss":
        # Progress is counted from one point for all: not from where a stretch of a network's own happened to begin.
        found = replace(found, initial_loss=plain(workload.first_loss))
    return replace(found, probes=tuple(_plain_scores(probe, row) for probe in probes))


def scores(workload: Workload, snapshot: Snapshot, *, threads: int) -> dict[str, Any]:
    """Loss and accuracy of a network on the whole of ``validation`` and, where the task has one, of ``test``.

    Args:
        workload: The task.
        snapshot: The network.
        threads: Bits depend on them.
    """
    torch.set_num_threads(threads)
    session = workload.rows(1)
    session.start(0)
    _put_in(session, [], 0, snapshot.to(workload.device))
    found: dict[str, Any] = {"test": None}
    for split in ("validation", "test") if workload.has("test") else ("validation",):
        found[split] = _plain_scores(session.evaluate(split), 0)
    return found


def state_dict(workload: Workload, snapshot: Snapshot) -> dict[str, Tensor]:
    """What ``load_state_dict`` of the task's model takes: weights, running statistics, and what is not trained."""
    found = {name: tensor.detach() for name, tensor in workload.built(0).state_dict().items()}
    found |= {name: view[0] for name, view in views(snapshot.theta.unsqueeze(0), workload.segments).items()}
    return found | dict(snapshot.buffers)


def _plain_scores(found: Scores, row: int) -> dict[str, Any]:
    accuracy = None if found.accuracy is None else float(found.accuracy[row])
    return {"loss": plain(float(found.loss[row])), "accuracy": accuracy}


def slot_table(
    update: Update, rules: Sequence[Rule], ages: Sequence[int], stretch: Stretch, steps: int
) -> torch.Tensor:
    """The scalars of every step of a stretch, float64 ``[steps, slots, rows, 1]``.

    Each row's t goes on from its age, while the schedule goes by the clock, which all rows share.
    """
    longest = max(ages) + steps
    factors = np.asarray(stretch.clock + np.arange(steps))
    lrs = []
    for rule, age in zip(rules, ages, strict=True):
        lr = np.full(longest, rule.lr)
        lr[age : age + steps] = rule.lr * rule.schedule.factor(factors, stretch.total)
        lrs.append(lr)
    table = update.table([rule.hyper for rule in rules], lrs, stretch.total)
    return torch.stack([table[age : age + steps, :, row] for row, age in enumerate(ages)], dim=2)


def _begun(workload: Workload, member: Member, folder: str | None, seed: int) -> Snapshot:
    try:
        return begin(workload, member.start, folder, seed)
    except UserError as error:
        raise RunFailed(str(error)) from error


def _kept(folder: str, name: str, snapshot: Snapshot) -> str:
    try:
        return snapshots.put(folder, name, snapshot)
    except OSError as error:
        raise RunFailed(f"cannot write weights to {folder} ({error.strerror or error}): make room") from error


def _put_in(session: Rows, states: Sequence[Tensor], row: int, snapshot: Snapshot) -> int:
    session.theta[row] = snapshot.theta
    for state, value in zip(states, snapshot.states, strict=False):  # a new network's are none: all 0
        state[row] = value
    for name, value in snapshot.buffers.items():
        session.buffers[name][row] = value
    return snapshot.age


def _taken_out(session: Rows, states: Sequence[Tensor], row: int, age: int) -> Snapshot:
    buffers = {name: buffer[row].clone() for name, buffer in session.buffers.items()}
    return Snapshot(session.theta[row].clone(), tuple(state[row].clone() for state in states), buffers, age)


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

"""Lockstep training: many candidates, one training seed, one stacked model.

All rows see the same batches, masks and initial weights, so differences between candidates are differences between
rules (common random numbers). A row's numbers are the same bit for bit whatever it is stacked with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from symevo.rules.backends.base import Update, update_for
from symevo.rules.rule import Rule
from symevo.tasks.workload import Rows, Scores, Workload
from symevo.training.job import Outcome

WINDOW = 50
"""Steps at the end of a training whose mean loss is reported."""
CURVE_POINTS = 50
_CHECK_EVERY = 25


class Course(NamedTuple):
    """Which batches a training sees.

    Attributes:
        seed: Training seed: order of the data, and dropout masks.
        first: Where in that order the first step is.
        orders: For each row the seed of an order of its own; masks stay shared.
    """

    seed: int
    first: int = 0
    orders: Sequence[int] | None = None


def train(
    workload: Workload,
    rules: Sequence[Rule],
    *,
    seed: int,
    steps: int,
    rows: int | None = None,
    backend: str = "compiled",
    split: str = "validation",
) -> list[Outcome]:
    """Trains rules, each from the same initial weights on the same batches.

    A row whose loss is not finite or exceeds the task's limit is frozen; the others go on.

    Args:
        workload: The task, on its device.
        rules: Candidates; of one program, unless the backend is in :data:`symevo.rules.backends.base.MIXING`.
        seed: Training seed: initial weights, order of the data, masks.
        steps: T.
        rows: Rows of the stack, at least ``len(rules)``; the rest is padding, so that one kernel serves all chunks.
        backend: Kernel backend.
        split: The split that the trained models are evaluated on.

    Returns:
        An outcome for each rule, ``"ok"`` or ``"diverged"``.
    """
    count = rows or len(rules)
    stack = [*rules, *[rules[0]] * (count - len(rules))]
    session = workload.rows(count)
    update = update_of(session, stack, backend)
    session.start(seed)
    slots = slot_table(update, stack, steps).to(session.theta)
    curve, died = lockstep(session, update, slots, Course(seed), limit=workload.task.diverged_above, live=len(rules))
    scores = session.evaluate(split)
    return [outcome(workload, curve[:, row], int(died[row]), scores, row) for row in range(len(rules))]


def update_of(session: Rows, rules: Sequence[Rule], backend: str) -> Update:
    """What makes the steps of a stack: for each row a rule, and the layout of the model's parameters."""
    theta, workload, programs = session.theta, session.workload, [rule.program for rule in rules]
    return update_for(
        programs, workload.width, dtype=theta.dtype, device=theta.device, backend=backend, layout=workload.segments
    )


def slot_table(update: Update, rules: Sequence[Rule], steps: int) -> torch.Tensor:
    """The scalars of every step, float64 ``[steps, slots, rows, 1]``: hyperparameters, schedules and all."""
    lrs = [rule.lr * rule.schedule.factor(np.arange(steps), steps) for rule in rules]
    return update.table([rule.hyper for rule in rules], lrs, steps)


def lockstep(
    session: Rows,
    update: Update,
    slots: torch.Tensor,
    course: Course,
    *,
    limit: float,
    live: int,
    states: Sequence[torch.Tensor] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The training loop.

    Args:
        session: Rows, at the weights to start from.
        update: What makes the steps.
        slots: Its scalars, ``[steps, slots, rows, 1]``.
        course: The batches.
        limit: A loss above it counts as diverged.
        live: How many rows are no padding.
        states: The update's, changed in place; None: new ones, at 0.

    Returns:
        Losses ``[steps, rows]``, NaN where nothing was trained any more, and the step at which each row died
        (``steps`` if it did not).
    """
    steps, rows = slots.shape[0], slots.shape[2]
    theta = session.theta
    states = new_states(update, theta) if states is None else states
    alive = (torch.arange(rows, device=theta.device) < live).unsqueeze(1)
    curve = torch.full((steps, rows), math.nan, dtype=theta.dtype, device=theta.device)
    for step in range(steps):
        losses = session.losses_and_grad(course.seed, course.first + step, orders=course.orders)
        curve[step] = losses
        alive &= (losses <= limit).unsqueeze(1)  # false for NaN too
        if step % _CHECK_EVERY == 0 and not bool(alive.any()):
            break
        update(theta, session.grad, states, slots[step], alive)
    losses = curve.double().cpu().numpy()
    good = losses <= limit
    died = np.where(good.all(axis=0), steps, np.argmin(good, axis=0))
    return losses, died


def new_states(update: Update, theta: torch.Tensor) -> list[torch.Tensor]:
    """The states of an update before its first step."""
    return [torch.zeros_like(theta) for _ in range(update.states)]


def outcome(workload: Workload, curve: np.ndarray, died: int, scores: Scores, row: int) -> Outcome:
    """What became of one row."""
    task, steps, loss = workload.task, len(curve), float(scores.loss[row])
    reason = None
    if died < steps:
        what = "not finite" if not math.isfinite(curve[died]) else f"{curve[died]:.3g}, above {task.diverged_above:g}"
        reason = f"training loss {what} at step {died + 1}"
    elif not math.isfinite(loss):
        reason = "the trained model's loss is not finite"
    seen = curve[:died]
    return Outcome(
        "diverged" if reason else "ok",
        reason,
        metric=task.metric,
        decades=task.decades,
        loss=plain(loss),
        accuracy=None if scores.accuracy is None else float(scores.accuracy[row]),
        train_loss=plain(float(np.mean(seen[-WINDOW:]))) if died else None,
        initial_loss=plain(float(curve[0])),
        curve=thinned(seen, steps),
    )


def thinned(losses: np.ndarray, steps: int) -> tuple[float | None, ...]:
    """A curve of at most 50 points: means over equal parts of the losses of ``steps`` steps, as far as they go."""
    parts = np.array_split(losses, min(CURVE_POINTS, steps))
    return tuple(plain(float(part.mean())) for part in parts if len(part))


def plain(value: float) -> float | None:
    """A number that JSON can hold."""
    return value if math.isfinite(value) else None

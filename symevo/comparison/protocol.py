"""The protocol of a comparison: what is done, how often, and why its tests are valid.

The unit of replication is *one whole tuning*. For each task, in each of R replicates r:

1. T trials of every entry: points u₁ … u_T of a scrambled Sobol sequence over learning rate, weight decay,
   schedule and momenta, each trained from one training seed and scored on the *validation* split. Scramble and seed
   are hashes of (seed, task, r), and the same for all entries (common random numbers).
2. The best trial's numbers train a new network, from another training seed, which is scored once on the *test* split.

The R differences of two entries' test scores are paired by what they share, and tested.

Why this is valid, and why nothing less is. Two tunings of the *same* optimizer end at different numbers, and one
network's luck is small beside that. Had the winner of one tuning been trained with R seeds, the R scores would all
carry the one luck of that tuning, and a test over them would find a difference between an optimizer and itself. Here
every replicate draws that luck anew, so that the R pairs are independent, given the data and the ranges. Between
entries that are equal, a difference is as likely as its negative, which is all that a signed-rank test asks for.
Common random numbers shrink the differences and leave that as it is. One final training a replicate is enough: more
would average out the smaller luck alone, at the cost of replicates. All R·T trials also serve the curve over budgets
and the sensitivity to the learning rate, so nothing is trained for these.

Ranges are found before, once for a task, by a pilot of the same size for all entries; a learning rate's range is
widened while the best of the pilot lies at its edge, and then cut to three decades around where it was best. What is
left to luck there is small, as the middle half of such a range costs nothing.

What it does not say: data sets are taken as they are split. Replicates differ in weights, batches and tuning, not in
which samples are tested, so an interval is about this data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from symevo.errors import UserError
from symevo.registry import nearest

BASELINES = ("nesterov", "adam", "adamw", "nadamw", "lion", "rmsprop")
"""What a rule is compared with where nothing else is named."""
REFERENCE = "adamw"
"""The one that verdicts are about, where it is among them."""
SLOW_ROWS = 25
"""A task that stacks fewer rows than this costs so much a training that half the trials of a tuning must do."""
MOST_STEPS = 2_000_000
"""Random search is a control by default where a run took no more training steps than this."""


@dataclass(frozen=True)
class Budget:
    """How much is done.

    ``trials`` are T of a tuning, and ``replicates`` R, tunings of every entry on every task. A round of the pilot has
    ``pilot`` trials. ``held_out`` are tasks that a run's best rule is compared on besides those of its search.
    ``fixed``: these numbers were asked for, and hold for slow tasks too.
    """

    trials: int = 20
    replicates: int = 20
    pilot: int = 32
    rounds: int = 4
    ablations: bool = True
    random: bool = True
    baselines: tuple[str, ...] = BASELINES
    held_out: tuple[str, ...] = ("cancer-mlp", "friedman-mlp", "digits-cnn")
    fixed: bool = False

    def on(self, rows: int) -> Budget:
        """The budget on a task that stacks so many rows: half the trials where they are few, unless it is fixed.

        Replicates stay: with ten of them no p could pass the level once it is corrected for a few tasks.
        """
        if self.fixed or rows >= SLOW_ROWS:
            return self
        return replace(self, trials=max(1, self.trials // 2), pilot=max(1, self.pilot // 2))


BUDGETS = {
    "quick": Budget(
        8, 12, 16, 3, ablations=False, random=False, baselines=("nesterov", "adamw", "lion"), held_out=("cancer-mlp",)
    ),
    "default": Budget(),
    # The last two train one network at a time: hours.
    "full": Budget(50, 30, 64, held_out=(*Budget().held_out, "digits-mixer", "text-transformer")),
}
"""Budgets by name."""


def budget(name: str, trials: int | None = None, replicates: int | None = None) -> Budget:
    """A budget by name, with other numbers where some are given; given ones hold for slow tasks too."""
    if name not in BUDGETS:
        raise UserError(f"unknown budget {name!r}: {nearest(name, list(BUDGETS))}")
    for flag, value, least in (("trials", trials, 1), ("replicates", replicates, 2)):
        if value is not None and not least <= value <= 10_000:
            raise UserError(f"--{flag} is {value}: give {least} to 10,000")
    known = BUDGETS[name]
    if trials is None and replicates is None:
        return known
    return replace(known, trials=trials or known.trials, replicates=replicates or known.replicates, fixed=True)


def effort(rows: int) -> int:
    """What a training step costs on a task that stacks so many rows, roughly: for the time left."""
    return 1 if rows >= SLOW_ROWS else 10

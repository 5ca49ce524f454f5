"""What engines call in a worker process: a job in, an outcome of each of its candidates out."""

from __future__ import annotations

from dataclasses import replace

import torch

from symevo.errors import RuleError, UserError
from symevo.rules.program import Program, is_finite
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule
from symevo.tasks.fingerprint import fingerprint, same
from symevo.tasks.workload import workload_of
from symevo.training.continued import Member, grow
from symevo.training.controllers import score
from symevo.training.job import Outcome, TrainingJob
from symevo.training.lockstep import train


def train_chunk(job: TrainingJob) -> list[Outcome]:
    """Train one chunk.

    Args:
        job: Its candidates are rules of one program, unless the backend mixes; members of a population of networks,
            where ``weights`` names a folder of snapshots (:class:`symevo.training.continued.Member`); or controllers
            (:class:`symevo.training.controllers.Controlled`).

    Returns:
        One outcome a candidate.
    """
    torch.set_num_threads(job.threads)
    workload = workload_of(vars(job))
    if "controllers" in job.candidates[0].more:
        return score(workload, [row.more for row in job.candidates], steps=job.steps)
    rules, how = rules_of(job), {"steps": job.steps, "rows": job.rows, "backend": job.backend}
    if job.weights is not None:
        members = [Member.of(rule, row.more) for rule, row in zip(rules, job.candidates, strict=True)]
        return grow(workload, members, folder=job.weights, seed=job.seed, **how)
    return train(workload, rules, seed=job.seed, split=job.split, **how)


def rules_of(job: TrainingJob) -> list[Rule]:
    """The rule of each candidate; each distinct program is parsed once.

    Raises:
        RuleError: A program cannot be read, or a number is not finite.
    """
    programs = [Program.parse(lines) for lines in job.programs]
    rules = [Rule(programs[row.program], row.hyper, Schedule.from_json(row.schedule)) for row in job.candidates]
    if not all(map(is_finite, rules)):
        raise RuleError("every hyperparameter of a rule must be a finite number")
    return rules


def warm(jobs: list[TrainingJob]) -> None:
    """Load data and compile kernels before the clock of a time limit runs: two steps of each kind of chunk.

    Raises:
        UserError: A task does not have the fingerprint that the job expects: its file was edited during the run.
    """
    for job in jobs:
        # A network that goes on warms up as its rule alone.
        alone = [row if job.weights is None else replace(row, more={}) for row in job.candidates]
        train_chunk(replace(job, steps=2, candidates=tuple(alone), weights=None))
        expected = job.prints.get(job.task)
        if expected and not same(fingerprint(workload_of(vars(job)), ("train", job.split)), expected):
            raise UserError(
                f"task {job.task!r} is not what the run started with: its file was changed, or gives other data "
                "each time it runs (seed what is random)"
            )

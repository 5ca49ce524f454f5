"""Workloads that optimizers are scored on: data, networks, and how they are trained in lockstep."""

from symevo.tasks import evograd_zoo, gadam_zoo, held_out_zoo, synthetic, zoo
from symevo.tasks.flat import Segment
from symevo.tasks.task import TASKS, DataRequest, Pair, Splits, Task, find_task
from symevo.tasks.workload import Rows, Scores, Workload

__all__ = [
    "TASKS", "DataRequest", "Pair", "Rows", "Scores", "Segment", "Splits", "Task", "Workload",
    "evograd_zoo", "find_task", "gadam_zoo", "held_out_zoo", "synthetic", "zoo",
]  # fmt: skip

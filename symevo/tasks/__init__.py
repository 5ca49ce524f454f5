"""Workloads that optimizers are scored on: data, networks, and how they are trained in lockstep."""

from symevo.tasks.stacked.layers import Segment
from symevo.tasks.task import TASKS, DataRequest, Pair, Splits, Task, find_task
from symevo.tasks.workload import Rows, Scores, Workload
from symevo.tasks.zoo import images, synthetic, tables, text

__all__ = [
    "TASKS", "DataRequest", "Pair", "Rows", "Scores", "Segment", "Splits", "Task", "Workload",
    "find_task", "images", "synthetic", "tables", "text",
]  # fmt: skip

"""Workloads that optimizers are scored on: data, networks, and how they are trained in lockstep."""

from symevo.tasks.stacked.layers import Segment
from symevo.tasks.task import TASKS, DataRequest, Pair, Splits, Task, find_task
from symevo.tasks.workload import Rows, Scores, Workload
from symevo.tasks.zoo import flat_images as evograd_zoo
from symevo.tasks.zoo import gadam as gadam_zoo
from symevo.tasks.zoo import held_out as held_out_zoo
from symevo.tasks.zoo import images as zoo
from symevo.tasks.zoo import synthetic

__all__ = [
    "TASKS", "DataRequest", "Pair", "Rows", "Scores", "Segment", "Splits", "Task", "Workload",
    "evograd_zoo", "find_task", "gadam_zoo", "held_out_zoo", "synthetic", "zoo",
]  # fmt: skip

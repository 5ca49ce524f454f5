"""The registered tasks of EvoGrad: flat images with pixels from 0 to 1, on which controllers train random networks.

The model of such a task is the network on which evolved controllers are tested; a search draws its own. MNIST and
Fashion-MNIST: of the 60,000 official training images 48,000 train and 12,000 are held out, after one fixed
permutation, and the official test set tests. digits: the parts of `symevo.tasks.zoo.images`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from symevo.tasks import data
from symevo.tasks.task import DataRequest, Pair, Splits, Task, built_in
from symevo.tasks.zoo.images import digits_splits
from symevo.tasks.zoo.models import mlp

SEED = 42
"""Of the permutation, as published."""
HELD_OUT = 12_000


def unit_splits(name: str) -> Callable[[DataRequest], Splits]:
    """A loader of ``"mnist"`` or ``"fashion-mnist"`` as ``[N, 784]`` in [0, 1]."""

    def flat(images: Tensor) -> Tensor:
        return images.flatten(1).float() / 255.0

    def load(request: DataRequest) -> Splits:
        raw = data.grey_images(name, request.data_dir)
        order = torch.from_numpy(np.random.RandomState(SEED).permutation(len(raw.x_train)))
        train, held = order[:-HELD_OUT], order[-HELD_OUT:]
        first, second = (Pair(flat(raw.x_train[at]), raw.y_train[at]) for at in (train, held))
        return Splits(first, second, Pair(flat(raw.x_test), raw.y_test))

    return load


@built_in("digits-flat")
def digits_flat() -> Task:
    """Small, and always there."""
    return Task(
        "digits-flat", model=lambda: mlp(64, 32, 10), data=digits_splits(flat=True, unit=True), batch=64, steps=300,
        description="8×8 digits (embedded) in [0, 1], one hidden layer of 32, or any that evograd draws",
    )  # fmt: skip


@built_in("mnist-flat")
def mnist_flat() -> Task:
    """What EvoGrad evolves on."""
    return Task(
        "mnist-flat", model=lambda: mlp(784, 128, 10), data=unit_splits("mnist"), batch=64, steps=2048,
        description="MNIST in [0, 1], one hidden layer of 128, or any that evograd draws",
    )  # fmt: skip


@built_in("fashion-flat")
def fashion_flat() -> Task:
    """What EvoGrad is tested on without further evolution."""
    return Task(
        "fashion-flat", model=lambda: mlp(784, 128, 10), data=unit_splits("fashion-mnist"), batch=64, steps=2048,
        description="Fashion-MNIST in [0, 1], one hidden layer of 128, or any that evograd draws",
    )  # fmt: skip

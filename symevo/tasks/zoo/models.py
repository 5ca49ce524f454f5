"""The networks of the registered tasks, as Sequentials of known layers."""

from __future__ import annotations

import itertools

from torch import nn


def mlp(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers with ``activation`` between them; ``mlp(64, 32, 10)`` has one hidden layer of 32."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def digits_cnn() -> nn.Sequential:
    """Two 3×3 convolutions (8, 16 maps), each pooled and a linear layer for 8×8 images; 1,898 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def small_cnn() -> nn.Sequential:
    """SmallCNN of "Evolving Deep Learning Optimizers" (arXiv 2512.11853), 28×28 grey; 824,458 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 10),
    )  # fmt: skip


def cifar_cnn() -> nn.Sequential:
    """CifarCNN of the same paper, 32×32 colour; 2,168,554 weights."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 10),
    )  # fmt: skip


def lenet5() -> nn.Sequential:
    """LeNet-5 with ReLU and max pooling, 28×28 grey, 20 % dropout after its hidden linear layers; 61,706 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(120, 84), nn.ReLU(), nn.Dropout(0.2), nn.Linear(84, 10),
    )  # fmt: skip


def faces_cnn() -> nn.Sequential:
    """The CNN of GADAM (Zhang and Gouza) for the ORL faces, 28×23 grey, 40 people; 1,202,152 weights.

    The paper leaves the padding open; here an image keeps its size under a convolution.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1120, 1024), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1024, 40),
    )  # fmt: skip


def hyper_cnn() -> nn.Sequential:
    """The CNN of "Evolving Hyperparameters" for 28×28 grey images; 1,199,882 weights.

    The paper says two convolutions and two linear layers; the sizes are those of PyTorch's own MNIST example, whose
    learning-rate schedule and batches the paper has too.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip

"""The registered tasks on images, and their networks.

Splits, the same in every run:

- digits (1,797 images): 1,197 train, 300 validation, 300 test, after one fixed permutation.
- MNIST, Fashion-MNIST: the first 50,000 official training images train, the last 10,000 validate, the official test
  set tests. fashion-mlp validates on the first 5,000 of these 10,000: all of them would cost a fifth of its trainings.
- CIFAR-10: the first four fifths of the training images train, the last fifth validates, the official test images
  test (40,000 / 10,000 / 10,000; with the subset of 6,102 images 4,068 / 1,017 / 1,017).
- mnist-flat, fashion-flat (EvoGrad's): of the 60,000 training images 48,000 train and 12,000 validate, after one fixed
  permutation. Pixels are from 0 to 1, also those of digits-flat. A search of EvoGrad draws networks of its own.
- ORL: the paper trains on k = 5, 7 or 9 images of each person and tests on the remaining ones. Here too, and one of the
  k images validates (the same one for every k): 160 / 40 / 200, 240 / 40 / 120 and 320 / 40 / 40 images.

The three tasks of "Evolving Deep Learning Optimizers" (arXiv 2512.11853) train on 15,000 images drawn once per run, in
batches of 128; the last batch of their epochs holds 24. The paper scores on the test split, and so does the fitness
``paper``, which says so when a run starts; every other search sees train and validation only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from symevo.seeds import seed_for
from symevo.tasks import data
from symevo.tasks.augment import AUGMENTS, FlipCrop
from symevo.tasks.task import DataRequest, Pair, Splits, built_in
from symevo.tasks.zoo import mlp, permutation

# Mean and standard deviation of the pixels, in units of full white.
MNIST = ((0.1307,), (0.3081,))
FASHION = ((0.2860,), (0.3530,))
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
DIGITS = ((0.3053,), (0.3760,))
UNIT = ((0.0,), (1.0,))

PAPER_IMAGES = 15_000  # training images of a run of the paper
VALIDATION_IMAGES = 10_000  # of MNIST and Fashion-MNIST

# Black, once normalised, is −mean/std: what a crop finds outside the image.
AUGMENTS.register("cifar10-flip-crop", FlipCrop(4, tuple(-m / s for m, s in zip(*CIFAR, strict=True))))


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


class MixerBlock(nn.Module):
    """x + f(norm(x)) over the places of a channel, then over the channels of a place; x ``[B, places, channels]``."""

    def __init__(self, places: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm_places, self.norm_channels = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.places, self.channels = mlp(places, hidden, places), mlp(channels, hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places(self.norm_places(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021) with ReLU: square patches, blocks, the mean over places, a linear layer.

    Args:
        size: Pixels of a side of the image ``[B, 1, size, size]``; ``patch`` divides it.
        patch: Pixels of a side of a patch.
        channels: Width of a place.
        hidden: Width of the hidden layers.
        blocks: How many.
        classes: Outputs ``[B, classes]``.
    """

    def __init__(self, *, size: int, patch: int, channels: int, hidden: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.patch, count = patch, size // patch
        self.embed = nn.Linear(patch * patch, channels)
        self.blocks = nn.Sequential(*(MixerBlock(count * count, channels, hidden) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        tiles = x.squeeze(1).unflatten(1, (-1, self.patch)).unflatten(3, (-1, self.patch))  # [B, rows, p, columns, p]
        patches = tiles.transpose(2, 3).flatten(3).flatten(1, 2)
        return self.head(self.norm(self.blocks(self.embed(patches))).mean(1))


def normalised(x: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]], *, white: float = 255.0) -> Tensor:
    """Pixels ``[N, C, H, W]`` in 0..white -> (x/white − mean) / std per channel, float32."""
    mean, std = (torch.tensor(s).view(1, -1, 1, 1) for s in statistics)
    return (x.float() / white - mean) / std


def drawn(pair: Pair, count: int, *, name: str, run_seed: int) -> Pair:
    """``count`` samples of ``pair`` (all, if it has fewer), drawn without replacement once per run."""
    if len(pair.x) <= count:
        return pair
    generator = torch.Generator().manual_seed(seed_for(run_seed, name, "draw"))
    index = torch.randperm(len(pair.x), generator=generator)[:count]
    return Pair(pair.x[index], pair.y[index])


def digits_splits(flat: bool, *, unit: bool = False) -> Callable[[DataRequest], Splits]:
    """A loader of the digits, as ``[N, 64]`` or ``[N, 1, 8, 8]``, normalised or with ``unit`` in [0, 1]."""

    def load(request: DataRequest) -> Splits:
        images, y = data.digits()
        x = normalised(images.unsqueeze(1), UNIT if unit else DIGITS, white=16.0)
        order = torch.from_numpy(permutation(len(x), "digits"))
        x, y = (x.flatten(1) if flat else x)[order], y[order]
        ends = ((0, 1197), (1197, 1497), (1497, 1797))
        return Splits(*(Pair(x[a:b], y[a:b]) for a, b in ends))

    return load


def grey_splits(
    name: str,
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    *,
    pool: int = 1,
    images: int | None = None,
    validation: int = VALIDATION_IMAGES,
) -> Callable[[DataRequest], Splits]:
    """A loader of MNIST or Fashion-MNIST as ``[N, 1, 28, 28]``.

    Args:
        name: ``"mnist"`` or ``"fashion-mnist"``.
        statistics: Mean and standard deviation for `normalised`.
        pool: Average over pool × pool pixels and flatten, where above 1.
        images: Training images to draw per run; None takes all 50,000.
        validation: How many of the 10,000 validation images to use.
    """

    def prepare(x: Tensor) -> Tensor:
        x = normalised(x.unsqueeze(1), statistics)
        return x if pool == 1 else functional.avg_pool2d(x, pool).flatten(1)

    def load(request: DataRequest) -> Splits:
        raw = data.grey_images(name, request.data_dir)
        cut = len(raw.x_train) - VALIDATION_IMAGES
        train = Pair(raw.x_train[:cut], raw.y_train[:cut])
        if images is not None:
            train = drawn(train, images, name=name, run_seed=request.run_seed)
        return Splits(
            Pair(prepare(train.x), train.y),
            Pair(prepare(raw.x_train[cut : cut + validation]), raw.y_train[cut : cut + validation]),
            Pair(prepare(raw.x_test), raw.y_test),
        )

    return load


def cifar_splits(request: DataRequest) -> Splits:
    """The loader of CIFAR-10, ``[N, 3, 32, 32]``."""
    raw = data.cifar10(request.data_dir)
    cut = len(raw.x_train) - len(raw.x_train) // 5
    train = drawn(Pair(raw.x_train[:cut], raw.y_train[:cut]), PAPER_IMAGES, name="cifar10", run_seed=request.run_seed)
    return Splits(
        Pair(normalised(train.x, CIFAR), train.y),
        Pair(normalised(raw.x_train[cut:], CIFAR), raw.y_train[cut:]),
        Pair(normalised(raw.x_test, CIFAR), raw.y_test),
    )


def orl_splits(count: int) -> Callable[[DataRequest], Splits]:
    """A loader of the faces as ``[N, 1, 28, 23]``; ``count`` of a person's ten images train and validate."""

    def load(request: DataRequest) -> Splits:
        images, people = data.orl_faces(request.data_dir)
        mine = [torch.nonzero(people == person).flatten()[permutation(10, "orl", person)] for person in range(40)]
        chosen = torch.stack(mine, 1)  # [10, 40]: one image of each person a row
        parts = [part.flatten() for part in (chosen[1:count], chosen[:1], chosen[count:])]
        pixels = images.float().unsqueeze(1)
        mean, std = pixels[parts[0]].mean(), pixels[parts[0]].std(correction=0)
        return Splits(*(Pair((pixels[part] - mean) / std, people[part]) for part in parts))

    return load


def unit_splits(name: str) -> Callable[[DataRequest], Splits]:
    """A loader of ``"mnist"`` or ``"fashion-mnist"`` as ``[N, 784]`` in [0, 1]."""

    def flat(images: Tensor) -> Tensor:
        return images.flatten(1).float() / 255.0

    def load(request: DataRequest) -> Splits:
        raw = data.grey_images(name, request.data_dir)
        order = torch.from_numpy(np.random.RandomState(42).permutation(len(raw.x_train)))
        train, held = order[:-12_000], order[-12_000:]
        first, second = (Pair(flat(raw.x_train[at]), raw.y_train[at]) for at in (train, held))
        return Splits(first, second, Pair(flat(raw.x_test), raw.y_test))

    return load


# Small and easy: for tests and quick looks.
built_in(
    "digits-mlp", model=lambda: mlp(64, 32, 10), data=digits_splits(flat=True), batch=64, steps=300,
    description="8×8 digits (embedded), one hidden layer of 32",
)  # fmt: skip
# Six tanh layers: gradients of very different sizes.
built_in(
    "digits-deep", model=lambda: mlp(64, 16, 16, 16, 16, 16, 16, 10, activation=nn.Tanh),
    data=digits_splits(flat=True), batch=64, steps=300,
    description="8×8 digits (embedded), six hidden tanh layers of 16: narrow, deep, badly conditioned",
)  # fmt: skip
# The smallest convolutional task.
built_in(
    "digits-cnn", model=digits_cnn, data=digits_splits(flat=False), batch=64, steps=300,
    description="8×8 digits (embedded), two small convolutions",
)  # fmt: skip
# Real images in a net small enough to train thousands of.
built_in(
    "fashion-mlp", model=lambda: mlp(196, 32, 10), batch=64, steps=300,
    data=grey_splits("fashion-mnist", FASHION, pool=2, validation=5_000),
    description="Fashion-MNIST pooled to 14×14, one hidden layer of 32",
)  # fmt: skip
# The first of the paper's tasks.
built_in(
    "fashion-cnn", model=small_cnn, data=grey_splits("fashion-mnist", FASHION, images=PAPER_IMAGES),
    batch=128, steps=500, description="Fashion-MNIST, SmallCNN of arXiv 2512.11853 (824,458 weights)",
)  # fmt: skip
# The third of the paper's tasks.
built_in(
    "mnist-cnn", model=small_cnn, data=grey_splits("mnist", MNIST, images=PAPER_IMAGES),
    batch=128, steps=500, description="MNIST, SmallCNN of arXiv 2512.11853 (824,458 weights)",
)  # fmt: skip
# The second of the paper's tasks.
built_in(
    "cifar10-cnn", model=cifar_cnn, data=cifar_splits, batch=128, steps=500, augment="cifar10-flip-crop",
    description="CIFAR-10, CifarCNN of arXiv 2512.11853 (2,168,554 weights), flip and crop",
)  # fmt: skip
# The task of "Evolving Hyperparameters"; 782 steps are an epoch, 1,564 two (the paper does not say how many).
built_in(
    "fashion-hyper", model=hyper_cnn, data=grey_splits("fashion-mnist", FASHION), batch=64, steps=1564,
    description="Fashion-MNIST 50,000/10,000/10,000, CNN of Evolving Hyperparameters (1,199,882 weights), batch 64",
)  # fmt: skip
# Ten of these networks are GADAM's population; published test accuracies: GADAM 99.37, Adam 99.18.
built_in(
    "lenet5-mnist", model=lenet5, data=grey_splits("mnist", MNIST), batch=128, steps=1000,
    description="MNIST 50,000/10,000/10,000, LeNet-5 (61,706 weights), dropout 0.2, batch 128",
)  # fmt: skip


def _faces(count: int) -> dict[str, Any]:
    """The fields of a task on ORL faces, of which so many of a person are not tested on."""
    return {
        "model": faces_cnn, "data": orl_splits(count), "batch": 40, "steps": 400,
        "description": f"ORL faces, of a person {count - 1} train, 1 validates, {10 - count} test; "
        "CNN (1,202,152 weights), dropout 0.5, batch 40",
    }  # fmt: skip


# Published test accuracies: GADAM 97.00, 99.17 and 100.00, Adam 96.50, 97.50 and 98.50.
built_in("orl-cnn", **_faces(5))
built_in("orl-cnn-7", **_faces(7))
built_in("orl-cnn-9", **_faces(9))

# Layer norm, residual connections, and weights that places share.
built_in(
    "digits-mixer", model=lambda: Mixer(size=8, patch=2, channels=16, hidden=32, blocks=2, classes=10),
    data=digits_splits(flat=False), batch=64, steps=300,
    description="8×8 digits (embedded), MLP-Mixer of two blocks on 16 patches",
)  # fmt: skip
# Small, and always there.
built_in(
    "digits-flat", model=lambda: mlp(64, 32, 10), data=digits_splits(flat=True, unit=True), batch=64, steps=300,
    description="8×8 digits (embedded) in [0, 1], one hidden layer of 32, or any that evograd draws",
)  # fmt: skip
# What EvoGrad evolves on.
built_in(
    "mnist-flat", model=lambda: mlp(784, 128, 10), data=unit_splits("mnist"), batch=64, steps=2048,
    description="MNIST in [0, 1], one hidden layer of 128, or any that evograd draws",
)  # fmt: skip
# What EvoGrad is tested on without further evolution.
built_in(
    "fashion-flat", model=lambda: mlp(784, 128, 10), data=unit_splits("fashion-mnist"), batch=64, steps=2048,
    description="Fashion-MNIST in [0, 1], one hidden layer of 128, or any that evograd draws",
)  # fmt: skip

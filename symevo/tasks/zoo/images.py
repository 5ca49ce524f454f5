"""The registered tasks on real images. To add one, register a function that returns a `Task`.

Those of GADAM are in `symevo.tasks.zoo.gadam`.

Splits, the same in every run:

- digits (1,797 images): 1,197 train, 300 validation, 300 test, after one fixed permutation.
- MNIST, Fashion-MNIST: the first 50,000 official training images train, the last 10,000 validate, the
  official test set tests. fashion-mlp validates on the first 5,000 of these 10,000: with all of them scoring
  would cost a fifth of its short trainings.
- CIFAR-10: the first four fifths of the training images train, the last fifth validates, the official test
  images test (40,000 / 10,000 / 10,000; with the subset of 6,102 images 4,068 / 1,017 / 1,017).

The three tasks of "Evolving Deep Learning Optimizers" (arXiv 2512.11853) train on 15,000 images drawn once
per run, in batches of 128; the last batch of their epochs holds 24. The paper scores on the test split, and so
does the fitness ``paper``, which says so when a run starts; every other search sees train and validation only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from symevo.seeds import seed_for
from symevo.tasks import data
from symevo.tasks.augment import AUGMENTS, FlipCrop
from symevo.tasks.task import DataRequest, Pair, Splits, Task, built_in
from symevo.tasks.zoo.models import cifar_cnn, digits_cnn, hyper_cnn, mlp, small_cnn

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
        # RandomState's streams are frozen by numpy's promise, so this split is the same with every version.
        order = torch.from_numpy(np.random.RandomState(seed_for("digits", "split") % 2**32).permutation(len(x)))
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


@built_in("digits-mlp")
def digits_mlp() -> Task:
    """Small and easy: for tests and quick looks."""
    return Task(
        "digits-mlp", model=lambda: mlp(64, 32, 10), data=digits_splits(flat=True), batch=64, steps=300,
        description="8×8 digits (embedded), one hidden layer of 32",
    )  # fmt: skip


@built_in("digits-deep")
def digits_deep() -> Task:
    """Six tanh layers: gradients of very different sizes."""
    return Task(
        "digits-deep", model=lambda: mlp(64, 16, 16, 16, 16, 16, 16, 10, activation=nn.Tanh),
        data=digits_splits(flat=True), batch=64, steps=300,
        description="8×8 digits (embedded), six hidden tanh layers of 16: narrow, deep, badly conditioned",
    )  # fmt: skip


@built_in("digits-cnn")
def digits_cnn_task() -> Task:
    """The smallest convolutional task."""
    return Task(
        "digits-cnn", model=digits_cnn, data=digits_splits(flat=False), batch=64, steps=300,
        description="8×8 digits (embedded), two small convolutions",
    )  # fmt: skip


@built_in("fashion-mlp")
def fashion_mlp() -> Task:
    """Real images in a net small enough to train thousands of."""
    return Task(
        "fashion-mlp", model=lambda: mlp(196, 32, 10), batch=64, steps=300,
        data=grey_splits("fashion-mnist", FASHION, pool=2, validation=5_000),
        description="Fashion-MNIST pooled to 14×14, one hidden layer of 32",
    )  # fmt: skip


@built_in("fashion-cnn")
def fashion_cnn() -> Task:
    """The first of the paper's tasks."""
    return Task(
        "fashion-cnn", model=small_cnn, data=grey_splits("fashion-mnist", FASHION, images=PAPER_IMAGES),
        batch=128, steps=500, description="Fashion-MNIST, SmallCNN of arXiv 2512.11853 (824,458 weights)",
    )  # fmt: skip


@built_in("mnist-cnn")
def mnist_cnn() -> Task:
    """The third of the paper's tasks."""
    return Task(
        "mnist-cnn", model=small_cnn, data=grey_splits("mnist", MNIST, images=PAPER_IMAGES),
        batch=128, steps=500, description="MNIST, SmallCNN of arXiv 2512.11853 (824,458 weights)",
    )  # fmt: skip


@built_in("cifar10-cnn")
def cifar10_cnn() -> Task:
    """The second of the paper's tasks."""
    return Task(
        "cifar10-cnn", model=cifar_cnn, data=cifar_splits, batch=128, steps=500, augment="cifar10-flip-crop",
        description="CIFAR-10, CifarCNN of arXiv 2512.11853 (2,168,554 weights), flip and crop",
    )  # fmt: skip


@built_in("fashion-hyper")
def fashion_hyper() -> Task:
    """The task of "Evolving Hyperparameters"; 782 steps are an epoch, 1,564 two (the paper does not say how many)."""
    return Task(
        "fashion-hyper", model=hyper_cnn, data=grey_splits("fashion-mnist", FASHION), batch=64, steps=1564,
        description="Fashion-MNIST 50,000/10,000/10,000, CNN of Evolving Hyperparameters (1,199,882 weights), batch 64",
    )  # fmt: skip

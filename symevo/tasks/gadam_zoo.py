"""The registered tasks of "GADAM: Genetic-Evolutionary ADAM" (Zhang and Gouza): MNIST, faces, and three tables.

The paper searches on samples of the training set and has no validation split; here every search has one, and never
sees the test split. Splits, the same in every run:

- MNIST: as in `symevo.tasks.zoo`, 50,000 / 10,000 / 10,000.
- ORL: the paper trains on k = 5, 7 or 9 images of each person, drawn at random, and tests on the remaining ones. Here
  too all else is the test split, and the k images are all that a search sees: one of them validates (the same one
  for every k), k − 1 train. So 160 / 40 / 200, 240 / 40 / 120 and 320 / 40 / 40 images, which is one training image
  a person less than the paper has.
- Letter, Adult, Yeast: 64 % train, 16 % validate, 20 % test, each class by these shares to within one sample (also
  the rare ones of Yeast: 5 samples of ERL are 3 / 1 / 1). Letter: 12,800 / 3,200 / 4,000, so that test has the
  customary size; Adult: 20,839 / 5,210 / 6,512 of the 32,561 rows that UCI calls training data; Yeast: 950 / 238 / 296.

Numbers are standardised by mean and standard deviation of the training split, categories are columns of 0 and 1
(unknown ones, "?", are a category). The paper does not say how large its MLPs are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from symevo.seeds import seed_for
from symevo.tasks import data
from symevo.tasks.models import faces_cnn, lenet5, mlp
from symevo.tasks.tables import ADULT, LETTER, YEAST, Table, read_table
from symevo.tasks.task import DataRequest, Pair, Splits, Task, built_in
from symevo.tasks.zoo import MNIST, grey_splits


def permutation(count: int, *name: str | int) -> np.ndarray:
    """A permutation that is the same with every version of numpy, which promises it for these streams alone."""
    return np.random.RandomState(seed_for(*name, "split") % 2**32).permutation(count)


def standardised(x: Tensor, train: Tensor) -> Tensor:
    """(x − mean) / std per column, of ``train [N, F]``; a column that is constant there becomes 0 where it is."""
    mean, std = train.double().mean(0), train.double().std(0, correction=0)
    return ((x.double() - mean) / torch.where(std > 0, std, 1.0)).float()


def dealt(y: np.ndarray, name: str) -> list[Tensor]:
    """Which samples train, validate and test: 64, 16 and 20 % of each class in ``y [N]``, in random order.

    Samples are laid out class after class, at random within each, and dealt: every fifth tests, and of the others
    every fifth validates.
    """
    order = permutation(len(y), name)
    by_class = np.argsort(y[order], kind="stable")  # positions in the order
    place = np.arange(len(y))
    test = place % 5 == 4
    validation = ~test & ((place - place // 5) % 5 == 2)
    parts = (~test & ~validation, validation, test)
    return [torch.from_numpy(order[np.sort(by_class[part])]) for part in parts]


def table_splits(table: Table) -> Callable[[DataRequest], Splits]:
    """A loader of a table as ``[N, F]``."""

    def load(request: DataRequest) -> Splits:
        samples = read_table(table, request.data_dir)
        train, *others = dealt(samples.y.numpy(), table.name)
        x = torch.where(samples.numeric, standardised(samples.x, samples.x[train]), samples.x)
        return Splits(*(Pair(x[part], samples.y[part]) for part in (train, *others)))

    return load


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


@built_in("lenet5-mnist")
def lenet5_mnist() -> Task:
    """Ten of these networks are GADAM's population; published test accuracies: GADAM 99.37, Adam 99.18."""
    return Task(
        "lenet5-mnist", model=lenet5, data=grey_splits("mnist", MNIST), batch=128, steps=1000,
        description="MNIST 50,000/10,000/10,000, LeNet-5 (61,706 weights), dropout 0.2, batch 128",
    )  # fmt: skip


def orl(name: str, count: int) -> Task:
    """The faces with ``count`` images a person to learn from."""
    return Task(
        name, model=faces_cnn, data=orl_splits(count), batch=40, steps=400,
        description=f"ORL faces, of a person {count - 1} train, 1 validates, {10 - count} test; "
        "CNN (1,202,152 weights), dropout 0.5, batch 40",
    )  # fmt: skip


@built_in("orl-cnn")
def orl_cnn() -> Task:
    """Five images of each person; published test accuracies: GADAM 97.00, Adam 96.50."""
    return orl("orl-cnn", 5)


@built_in("orl-cnn-7")
def orl_cnn_7() -> Task:
    """Seven images of each person; published test accuracies: GADAM 99.17, Adam 97.50."""
    return orl("orl-cnn-7", 7)


@built_in("orl-cnn-9")
def orl_cnn_9() -> Task:
    """Nine images of each person; published test accuracies: GADAM 100.00, Adam 98.50."""
    return orl("orl-cnn-9", 9)


@built_in("letter-mlp")
def letter_mlp() -> Task:
    """Letters from 16 numbers; published test accuracies: GADAM 96.90, Adam 96.70."""
    return Task(
        "letter-mlp", model=lambda: mlp(16, 256, 128, 26), data=table_splits(LETTER), batch=128, steps=3000,
        description="Letter 12,800/3,200/4,000, hidden layers of 256 and 128 (40,602 weights), batch 128",
    )  # fmt: skip


@built_in("adult-mlp")
def adult_mlp() -> Task:
    """Income above 50,000 dollars or not, from 65 columns; published test accuracies: GADAM 87.05, Adam 85.03."""
    return Task(
        "adult-mlp", model=lambda: mlp(65, 32, 16, 2), data=table_splits(ADULT), batch=128, steps=1000,
        description="Adult 20,839/5,210/6,512, hidden layers of 32 and 16 (2,674 weights), batch 128",
    )  # fmt: skip


@built_in("yeast-mlp")
def yeast_mlp() -> Task:
    """Where in a cell a protein is, from 8 numbers; published test accuracies: GADAM 63.70, Adam 62.05."""
    return Task(
        "yeast-mlp", model=lambda: mlp(8, 64, 32, 10), data=table_splits(YEAST), batch=64, steps=1000,
        description="Yeast 950/238/296, ten classes, hidden layers of 64 and 32 (2,986 weights), batch 64",
    )  # fmt: skip

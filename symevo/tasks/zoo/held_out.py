"""The registered tasks that no search uses by default: rules found elsewhere are compared on them.

Other data, other networks and another kind of task (a language model) than those of `symevo.tasks.zoo.images`. All but
shakespeare-transformer are always there. Splits, the same in every run:

- cancer-mlp: scikit-learn's embedded breast cancer data (569 samples of 30 numbers, two classes); 64 % train, 16 %
  validate, 20 % test, each class by these shares (365 / 91 / 113), standardised by the training part.
- friedman-mlp: Friedman's first regression problem, 2,048 / 1,024 / 1,024 samples, drawn once; targets standardised by
  the training part.
- digits-mixer: the parts of the other tasks on digits.
- text-transformer: windows of 32 characters of the text of `symevo.tasks.zoo.text`, written once; its first 131,104
  characters (4,096 windows) train, 32,800 (1,024 windows) each validate and test. The parts are different places of the
  text; a language as small as this says the same thing in many places.
- shakespeare-transformer: the first 90 % of the text train, 5 % each validate and test (31,370, 1,742 and 1,742
  windows).

Scores of tasks without classes are progress (`symevo.tasks.Task`, ``decades``): a score of 1 is the noise floor of
friedman-mlp, the entropy floor of text-transformer, and for shakespeare-transformer a cross-entropy of about 1.3 nats.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from symevo.seeds import seed_for
from symevo.tasks.task import DataRequest, Pair, Splits, Task, built_in
from symevo.tasks.zoo.gadam import dealt, standardised
from symevo.tasks.zoo.images import digits_splits
from symevo.tasks.zoo.models import mlp
from symevo.tasks.zoo.text import ALPHABET, floor, shakespeare, text_splits, written
from symevo.tasks.zoo.token_models import Mixer, Transformer

CONTEXT = 32
"""Characters of a window."""
SYMBOLS = 65
"""Different characters of the tiny Shakespeare."""


def cancer_splits(request: DataRequest) -> Splits:
    """The loader of the breast cancer data (Wolberg, Street and Mangasarian 1995), ``[N, 30]``."""
    from sklearn.datasets import load_breast_cancer

    x, y = (np.asarray(part) for part in load_breast_cancer(return_X_y=True))
    parts, values = dealt(y, "cancer"), torch.from_numpy(x)
    labels = torch.from_numpy(y).long()
    return Splits(*(Pair(standardised(values[part], values[parts[0]]), labels[part]) for part in parts))


def friedman_splits(request: DataRequest, *, features: int = 10, noise: float = 1.0) -> Splits:
    """Targets 10 sin(π x₁x₂) + 20 (x₃ − ½)² + 10 x₄ + 5 x₅ + noise · N(0, 1) (Friedman 1991).

    x is uniform in [0, 1]; its other features say nothing. It is given as (x − ½)·√12, of mean 0 and variance 1.
    """
    random = np.random.RandomState(seed_for("friedman", "problem") % 2**32)
    x = random.random_sample((4096, features))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    target = torch.from_numpy(y + noise * random.standard_normal(4096)).unsqueeze(1)
    inputs = torch.from_numpy((x - 0.5) * math.sqrt(12)).float()
    parts = [slice(0, 2048), slice(2048, 3072), slice(3072, 4096)]
    return Splits(*(Pair(inputs[part], standardised(target[part], target[parts[0]])) for part in parts))


def language_splits(request: DataRequest) -> Splits:
    """The loader of the text of `symevo.tasks.zoo.text`."""
    ends = (4097 * CONTEXT, 5122 * CONTEXT)
    text = written(6147 * CONTEXT, seed_for("language", "text") % 2**32)
    return text_splits(text, ALPHABET, context=CONTEXT, ends=ends)


def shakespeare_splits(request: DataRequest) -> Splits:
    """The loader of the tiny Shakespeare."""
    text = shakespeare(request.data_dir)
    ends = (len(text) * 90 // 100, len(text) * 95 // 100)
    return text_splits(text, "".join(sorted(set(text))), context=CONTEXT, ends=ends)


@built_in("cancer-mlp")
def cancer_mlp() -> Task:
    """A small table, as practitioners have them."""
    return Task(
        "cancer-mlp", model=lambda: mlp(30, 32, 2), data=cancer_splits, batch=32, steps=200,
        description="Breast cancer (embedded), 30 numbers, two classes, one hidden layer of 32",
    )  # fmt: skip


@built_in("friedman-mlp")
def friedman_mlp() -> Task:
    """A regression with noise."""
    return Task(
        "friedman-mlp", model=lambda: mlp(10, 32, 32, 1), data=friedman_splits, batch=64, steps=500,
        loss="mse", metric="loss", decades=1.4,
        description="Friedman's regression problem (synthetic), ten numbers, two hidden layers of 32",
    )  # fmt: skip


@built_in("digits-mixer")
def digits_mixer() -> Task:
    """Layer norm, residual connections, and weights that places share."""
    return Task(
        "digits-mixer", model=lambda: Mixer(size=8, patch=2, channels=16, hidden=32, blocks=2, classes=10),
        data=digits_splits(flat=False), batch=64, steps=300,
        description="8×8 digits (embedded), MLP-Mixer of two blocks on 16 patches",
    )  # fmt: skip


@built_in("text-transformer")
def text_transformer() -> Task:
    """A language model of a language whose entropy is known."""
    return Task(
        "text-transformer", model=lambda: Transformer(len(ALPHABET), context=CONTEXT), data=language_splits, batch=32,
        steps=300, metric="loss", decades=math.log10(math.log(len(ALPHABET)) / floor()),
        description="Characters of a small grammar (synthetic), transformer of one block, two heads, context 32",
    )  # fmt: skip


@built_in("shakespeare-transformer")
def shakespeare_transformer() -> Task:
    """A language model of real text; there is no download."""
    return Task(
        "shakespeare-transformer", model=lambda: Transformer(SYMBOLS, context=CONTEXT, blocks=1),
        data=shakespeare_splits, batch=32, steps=500, metric="loss", decades=0.5,
        description="Characters of the tiny Shakespeare, transformer of one block, two heads, context 32",
    )  # fmt: skip

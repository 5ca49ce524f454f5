"""Arrays and layers that a task cannot train as they are: taken all the same, or refused in one line beforehand."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from symevo.errors import UserError
from symevo.tasks import DataRequest, Task, Workload

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.arange(20) % 3


def make(model: Any = lambda: nn.Linear(4, 3), **changes: Any) -> Task:
    return Task("mine", model=model, **{"train": (X, Y), "validation": (X, Y), **changes})


def data(task: Task) -> Any:
    return task.splits(DataRequest()).train


@settings(max_examples=60, deadline=None)
@given(
    values=arrays.arrays(
        st.sampled_from([">f4", "<f4", ">f8", "<f8", ">f2"]), (6, 4), elements=st.floats(-100, 100, width=16)
    ),
    labels=arrays.arrays(st.sampled_from([">i8", "<i4", "|u1", ">i2"]), 6, elements=st.integers(0, 2)),
    steps=st.tuples(*[st.sampled_from([1, -1])] * 3),
)
def test_byte_order_and_direction_of_an_array_do_not_matter(values: Any, labels: Any, steps: Any) -> None:
    x, y = values[:: steps[0], :: steps[1]], labels[:: steps[2]]
    x.flags.writeable = y.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = data(make(train=(x, y)))
    assert found.x.tolist() == x.tolist()
    assert found.y.tolist() == y.tolist()
    assert found.x.dtype == torch.from_numpy(np.zeros(1, x.dtype.newbyteorder("="))).dtype


def test_reversed_arrays_train_as_their_copies() -> None:
    losses = []
    for x, y in ((X[::-1], Y[::-1]), (X[::-1].copy(), Y[::-1].copy()), (X[::-1].astype(">f4"), Y[::-1].astype(">i8"))):
        rows = Workload(make(train=(x, y), validation=(x, y), batch=8)).rows(2)
        rows.start(0)
        losses.append(rows.losses_and_grad(0, 0).tolist())
    assert losses[0] == losses[1] == losses[2]


TEXT = np.array(["cat", "dog"] * 10)


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ((torch.from_numpy(X).to_sparse(), Y), "train has a sparse x: give x.to_dense()"),
        ((scipy.sparse.csr_matrix(X), Y), "train has a sparse x: give x.toarray()"),
        ((scipy.sparse.coo_array(X), Y), "train has a sparse x: give x.toarray()"),
        ((X, TEXT), "train has text in y, such as 'cat': number the classes, as numpy.unique(y, return_inverse"),
        ((X, TEXT.astype(object)), "train has text in y, such as 'cat': number the classes"),
        ((X, TEXT.tolist()), "train has text in y, such as 'cat': number the classes"),
        ((TEXT, Y), "train has text in x, such as 'cat': give numbers"),
        ((X.astype("datetime64[s]"), Y), "train has x of datetime64[s], of which torch makes no tensor"),
        (([[1.0], [1.0, 2.0]], Y[:2]), "train has x of list, of which torch makes no tensor: give numbers, all rows"),
        ((X, None), "train must be a pair (x, y) of tensors or numpy arrays: y is NoneType"),
        ((np.ma.masked_less(X, 0), Y), "train has masked values in x: replace them"),
    ],
    ids=range(11),
)
def test_what_is_no_array_of_numbers_is_named(train: Any, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        make(train=train)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("task 'mine': train ")


def test_samples_of_another_shape_or_type_are_tried_before_a_search() -> None:
    wide, whole = np.zeros((20, 5), np.float32), np.zeros((20, 4), np.int64)
    for split in ("validation", "test"):
        for x, what in ((wide, "[5] of torch.float32"), (whole, "[4] of torch.int64")):
            words = f"{split} has samples {what} where train has [4] of torch.float32: give both alike"
            with pytest.raises(UserError, match=re.escape(words)):
                Workload(make(**{split: (x, Y)}))
    pairs = {"train": (X, X[:, :1]), "validation": (X, X[:, :2])}
    with pytest.raises(UserError, match=r"outputs of validation are \[1\] a sample, targets \[2\]"):
        Workload(make(lambda: nn.Linear(4, 1), **pairs, loss="mse", metric="loss"))


def test_a_model_that_takes_samples_of_another_shape_is_let() -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Conv1d(1, 3, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())

    x = torch.randn(20, 1, 8, generator=torch.Generator().manual_seed(0))
    longer = torch.randn(20, 1, 12, generator=torch.Generator().manual_seed(1))
    workload = Workload(make(model, train=(x, Y), validation=(longer, Y)))
    rows = workload.rows(1)
    rows.start(0)
    assert rows.evaluate().loss.isfinite().all()


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_sparse_gradients_are_refused_by_layer(kind: Any) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.head = kind(10, 4, sparse=True), nn.Linear(4, 3)

        def forward(self, x):
            found = self.words(x)
            return self.head(found.mean(1) if found.dim() == 3 else found)

    x = np.arange(60).reshape(20, 3) % 10
    words = f"layer 'words' ({kind.__name__}) has sparse gradients, which no rule takes: give sparse=False"
    with pytest.raises(UserError, match=re.escape(words)):
        Workload(make(Words, train=(x, Y), validation=(x, Y)))

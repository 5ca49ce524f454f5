"""The registered tasks on tables: Letter, Adult and Yeast of "GADAM" (Zhang and Gouza), and breast cancer.

64 % train, 16 % validate, 20 % test, each class by these shares to within one sample (also the rare ones of Yeast: 5
samples of ERL are 3 / 1 / 1). Letter: 12,800 / 3,200 / 4,000, so that test has the customary size; Adult: 20,839 /
5,210 / 6,512 of the 32,561 rows that UCI calls training data; Yeast: 950 / 238 / 296; breast cancer: 365 / 91 / 113.

Numbers are standardised by mean and standard deviation of the training split, categories are columns of 0 and 1
(unknown ones, "?", are a category). The paper does not say how large its MLPs are.

Nothing here downloads: breast cancer is scikit-learn's, and the tables of the UCI repository lie in one of the places
of `symevo.tasks.data`, as a CSV file whose first line names the columns (in any order), or as the repository's own
file, which has no such line. Both give the same samples in the same order, as the rows are sorted.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from symevo.tasks.data import damaged, locate
from symevo.tasks.task import DataRequest, Pair, Splits, built_in
from symevo.tasks.zoo import mlp, permutation

_NUMBER = 0  # categories of a column of numbers
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a table looks like; a file that differs is refused.

    Args:
        name: What messages call it; ``NAME.csv`` is its file.
        page: Its page at https://archive.ics.uci.edu.
        original: The repository's own file.
        layout: The columns of that file, in order; ``""`` for one that is passed over.
        features: The features in order, each with its number of categories; 0 for a number.
        target: The column that holds the class.
        classes: How many there are.
        rows: How many samples.
    """

    name: str
    page: str
    original: str
    layout: tuple[str, ...]
    features: Mapping[str, int]
    target: str
    classes: int
    rows: int


class Samples(NamedTuple):
    """``x [N, F]`` float32, categories as one column of 0 and 1 each; ``y [N]`` int64, classes by their sorted names.

    ``numeric [F]`` tells which columns are numbers.
    """

    x: Tensor
    y: Tensor
    numeric: Tensor


_LETTER = tuple(f"x{index}" for index in range(16))
LETTER = Table(
    name="letter", page="Letter Recognition", original="letter-recognition.data", layout=("letter", *_LETTER),
    features=dict.fromkeys(_LETTER, _NUMBER), target="letter", classes=26, rows=20_000,
)  # fmt: skip
ADULT = Table(
    name="adult", page="Adult", original="adult.data",
    layout=(
        "age", "workclass", "", "education", "education-num", "marital-status", "occupation", "relationship",
        "ethnicity", "gender", "capital-gain", "capital-loss", "hours-per-week", "", "loan",
    ),
    features={
        "age": _NUMBER, "workclass": 9, "education": 16, "education-num": _NUMBER, "marital-status": 7,
        "occupation": 15, "relationship": 6, "ethnicity": 5, "gender": 2, "capital-gain": _NUMBER,
        "capital-loss": _NUMBER, "hours-per-week": _NUMBER,
    },
    target="loan", classes=2, rows=32_561,
)  # fmt: skip
_YEAST = ("mcg", "gvh", "alm", "mit", "erl", "pox", "vac", "nuc")
YEAST = Table(
    name="yeast", page="Yeast", original="yeast.data", layout=("", *_YEAST, "site"),
    features=dict.fromkeys(_YEAST, _NUMBER), target="site", classes=10, rows=1_484,
)  # fmt: skip


def read_table(table: Table, data_dir: Path | None = None) -> Samples:
    """The samples of a table.

    Raises:
        UserError: The table is in none of the places, or its file is damaged or another one.
    """
    own = f"{table.name}.csv"
    path = locate((own, table.original), data_dir, name=table.name, source=f"the UCI page {table.page!r}")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            records = _named(lines, table, path) if path.name == own else _original(lines, table, path)
            # One row too many is enough to know; a file of any length is read no further.
            rows = sorted(islice(records, table.rows + 1))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, str(error)) from None
    if len(rows) != table.rows:
        count = "more" if len(rows) > table.rows else f"{len(rows):,}"
        raise damaged(path, f"it has {count} rows instead of {table.rows:,}")
    return _encoded(list(zip(*rows, strict=True)), table, path)


Row = tuple[float | str, ...]


def _named(lines: Iterator[str], table: Table, path: Path) -> Iterator[Row]:
    """The rows of a CSV file: features in the table's order, then the class."""
    records = csv.reader(lines, skipinitialspace=True)
    names = [name.strip() for name in next(records, [])]
    wanted = [*table.features, table.target]
    if sorted(names) != sorted(wanted):
        shown = ", ".join(names[:20])[:200]
        raise damaged(path, f"its columns are {shown!a} instead of {', '.join(wanted)}")
    for record in records:
        if record:
            yield _row(record, names, table, path)


def _original(lines: Iterator[str], table: Table, path: Path) -> Iterator[Row]:
    """The rows of the repository's own file; commas or spaces part its fields, which hold neither."""
    for line in lines:
        fields = line.replace(",", " ").split()
        if fields:
            yield _row(fields, table.layout, table, path)


def _row(fields: Sequence[str], names: Sequence[str], table: Table, path: Path) -> Row:
    if len(fields) != len(names):
        raise damaged(path, f"a row has {len(fields)} fields instead of {len(names)}: {_shown(','.join(fields))}")
    found = dict(zip(names, fields, strict=True))
    values = [
        found[name].strip() if categories else _number(found[name], name, path)
        for name, categories in table.features.items()
    ]
    return (*values, found[table.target].strip())


def _number(text: str, column: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:  # nor is NaN
        raise damaged(path, f"column {column!r} holds {_shown(text)}, which is not a finite number")
    return value


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else f"{text[:60]}...")


def _encoded(columns: list[tuple[float | str, ...]], table: Table, path: Path) -> Samples:
    parts, numeric = list[np.ndarray](), list[bool]()
    for column, (name, categories) in zip(columns, table.features.items(), strict=False):
        if categories:
            parts.append(np.eye(categories, dtype=np.float32)[_codes(column, name, categories, path)])
        else:
            parts.append(np.array(column, dtype=np.float32)[:, None])
        numeric += [not categories] * parts[-1].shape[1]
    y = _codes(columns[-1], table.target, table.classes, path)
    return Samples(torch.from_numpy(np.concatenate(parts, axis=1)), torch.from_numpy(y), torch.tensor(numeric))


def _codes(column: tuple[float | str, ...], name: str, count: int, path: Path) -> np.ndarray:
    """The number of each value among the sorted distinct ones, of which there must be ``count``; int64."""
    values = {value: code for code, value in enumerate(sorted(set(map(str, column))))}
    if len(values) != count:
        raise damaged(path, f"column {name!r} has {len(values)} different values instead of {count}")
    return np.array([values[str(value)] for value in column], dtype=np.int64)


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


def cancer_splits(request: DataRequest) -> Splits:
    """The loader of the breast cancer data (Wolberg, Street and Mangasarian 1995), ``[N, 30]``."""
    from sklearn.datasets import load_breast_cancer

    x, y = (np.asarray(part) for part in load_breast_cancer(return_X_y=True))
    parts, values = dealt(y, "cancer"), torch.from_numpy(x)
    labels = torch.from_numpy(y).long()
    return Splits(*(Pair(standardised(values[part], values[parts[0]]), labels[part]) for part in parts))


# Letters from 16 numbers; published test accuracies: GADAM 96.90, Adam 96.70.
built_in(
    "letter-mlp", model=lambda: mlp(16, 256, 128, 26), data=table_splits(LETTER), batch=128, steps=3000,
    description="Letter 12,800/3,200/4,000, hidden layers of 256 and 128 (40,602 weights), batch 128",
)  # fmt: skip
# Income above 50,000 dollars or not, from 65 columns; published test accuracies: GADAM 87.05, Adam 85.03.
built_in(
    "adult-mlp", model=lambda: mlp(65, 32, 16, 2), data=table_splits(ADULT), batch=128, steps=1000,
    description="Adult 20,839/5,210/6,512, hidden layers of 32 and 16 (2,674 weights), batch 128",
)  # fmt: skip
# Where in a cell a protein is, from 8 numbers; published test accuracies: GADAM 63.70, Adam 62.05.
built_in(
    "yeast-mlp", model=lambda: mlp(8, 64, 32, 10), data=table_splits(YEAST), batch=64, steps=1000,
    description="Yeast 950/238/296, ten classes, hidden layers of 64 and 32 (2,986 weights), batch 64",
)  # fmt: skip
# A small table, as practitioners have them.
built_in(
    "cancer-mlp", model=lambda: mlp(30, 32, 2), data=cancer_splits, batch=32, steps=200,
    description="Breast cancer (embedded), 30 numbers, two classes, one hidden layer of 32",
)  # fmt: skip

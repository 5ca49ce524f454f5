"""Reads the tables of the UCI repository that tasks use: Letter, Adult, Yeast. Nothing here downloads.

A table lies in one of the places of `symevo.tasks.data`, either as a CSV file whose first line names the columns (in
any order), or as the repository's own file, which has no such line. Both give the same samples in the same order, as
the rows are sorted: how a table is split does not depend on the file that it came from.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from symevo.tasks.data import damaged, locate

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

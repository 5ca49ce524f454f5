"""Finding, reading and splitting data."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from symevo.errors import UserError
from symevo.tasks import DataRequest, data, find_task
from symevo.tasks.zoo.images import CIFAR, drawn

needs_data = pytest.mark.skipif(not os.environ.get("SYMEVO_DATA"), reason="$SYMEVO_DATA is not set")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_images(folder: Path, count: int = 30, *, zipped: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(0)
    for name, n in zip(FILES, (count, count, 5, 5), strict=True):
        raw = idx(rng.randint(0, 10, (n, 28, 28) if "images" in name else (n,)))
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(raw) if zipped else raw)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No data anywhere, no downloads; returns an empty directory."""
    monkeypatch.delenv("SYMEVO_DATA", raising=False)
    monkeypatch.setenv("SYMEVO_OFFLINE", "1")
    monkeypatch.setattr(data, "cache_dir", lambda: tmp_path / "cache")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "fashion-mnist"])
@pytest.mark.parametrize("zipped", [True, False])
def test_both_layouts_are_read(bare: Path, folder: str, zipped: bool) -> None:
    write_images(bare / folder, zipped=zipped)
    raw = data.grey_images("fashion-mnist", bare)
    assert [list(t.shape) for t in raw] == [[30, 28, 28], [30], [5, 28, 28], [5]]
    assert raw.x_train.dtype == torch.uint8
    assert int(raw.x_train[0, 0, 0]) == np.random.RandomState(0).randint(0, 10, (30, 28, 28))[0, 0, 0]


def test_places_are_searched_in_order(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, count in (("env", 20), ("cache", 10)):
        write_images(tmp_path / name / "MNIST/raw", count)
    assert len(data.grey_images("mnist", bare).x_train) == 10
    monkeypatch.setenv("SYMEVO_DATA", str(tmp_path / "env"))
    assert len(data.grey_images("mnist", bare).x_train) == 20
    write_images(bare / "MNIST/raw", 30)
    assert len(data.grey_images("mnist", bare).x_train) == 30


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_missing_data_names_every_place(bare: Path, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = data.cifar10 if name == "cifar10" else lambda where: data.grey_images(name, where)
    with pytest.raises(UserError) as caught:
        load(bare)
    message = str(caught.value)
    for part in (name, f"--data-dir {bare}", "$SYMEVO_DATA", str(tmp_path / "cache"), "/usr/share/datasets"):
        assert part in message
    assert "\n" not in message
    with pytest.raises(UserError, match="does not exist"):
        load(bare / "nowhere")


def test_a_failed_download_is_one_line(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(root: str) -> None:
        raise OSError("no route\nto host" + 99 * " endless")

    monkeypatch.delenv("SYMEVO_OFFLINE")
    monkeypatch.setattr(data, "_fetchers", lambda: {"mnist": refuse})
    with pytest.raises(UserError, match=r"no route to host .*endless …\)") as caught:
        data.grey_images("mnist", bare)
    assert f"for MNIST/raw/{FILES[0]}[.gz] and its three companions" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "not idx", "short", "labels", "empty"])
def test_damaged_files_are_named(bare: Path, damage: str) -> None:
    write_images(bare / "MNIST/raw")
    file = bare / "MNIST/raw" / f"{FILES[0]}.gz"
    good = file.read_bytes()
    images = idx(np.zeros((30, 28, 28)))
    file.write_bytes(
        {
            "truncated": good[: len(good) // 2],
            "not gzip": b"<html>not found</html>",
            "not idx": gzip.compress(b"PK" + images[2:]),
            "short": gzip.compress(images[:-7]),
            "labels": gzip.compress(idx(np.zeros((29, 28, 28)))),
            "empty": b"",
        }[damage]
    )
    with pytest.raises(UserError, match="train-images") as caught:
        data.grey_images("mnist", bare)
    assert "\n" not in str(caught.value)


def test_npz_is_read_without_pickle(bare: Path) -> None:
    arrays = {
        "x_train": np.zeros((10, 3, 32, 32), np.uint8), "y_train": np.arange(10, dtype=np.uint8),
        "x_test": np.zeros((5, 3, 32, 32), np.uint8), "y_test": np.arange(5, dtype=np.uint8),
    }  # fmt: skip
    np.savez(bare / "cifar10_subset.npz", **arrays)
    splits = find_task("cifar10-cnn").splits(DataRequest(data_dir=bare))
    assert (len(splits.train.x), len(splits.validation.x)) == (8, 2)
    assert torch.allclose(splits.train.x[0, :, 0, 0], -torch.tensor(CIFAR[0]) / torch.tensor(CIFAR[1]))
    np.savez(bare / "cifar10_subset.npz", **{**arrays, "y_test": np.array([object()] * 5)})
    with pytest.raises(UserError, match="damaged"):
        data.cifar10(bare)
    (bare / "cifar10_subset.npz").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(UserError, match="damaged"):
        data.cifar10(bare)


def test_digits_split() -> None:
    splits = find_task("digits-mlp").splits(DataRequest())
    parts = [splits.train, splits.validation, splits.test]
    assert [len(p.x) for p in parts if p] == [1197, 300, 300]
    images, _ = data.digits()
    seen = torch.cat([p.x for p in parts if p]).mul(0.3760).add(0.3053).mul(16).round()
    # Disjoint and complete: the same multiset of images as the source.
    assert torch.equal(
        torch.unique(seen, dim=0, return_counts=True)[1],
        torch.unique(images.flatten(1), dim=0, return_counts=True)[1],
    )
    again = find_task("digits-cnn").splits(DataRequest(run_seed=9))
    assert torch.equal(again.train.x.flatten(1), splits.train.x)


def test_draw_is_without_replacement_and_by_run() -> None:
    from symevo.tasks import Pair

    pair = Pair(torch.arange(100.0), torch.arange(100))
    first = drawn(pair, 40, name="some", run_seed=1)
    assert len(set(first.y.tolist())) == 40
    assert torch.equal(first.x.long(), first.y)
    assert torch.equal(drawn(pair, 40, name="some", run_seed=1).y, first.y)
    assert not torch.equal(drawn(pair, 40, name="some", run_seed=2).y, first.y)
    assert drawn(pair, 200, name="some", run_seed=2) is pair


@needs_data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("fashion-mlp", (50_000, 5_000, 10_000)),
        ("fashion-cnn", (15_000, 10_000, 10_000)),
        ("mnist-cnn", (15_000, 10_000, 10_000)),
        ("cifar10-cnn", (4_068, 1_017, 1_017)),
    ],
)
def test_documented_sizes(name: str, sizes: tuple[int, ...]) -> None:
    splits = find_task(name).splits(DataRequest())
    parts = (splits.train, splits.validation, splits.test)
    assert tuple(len(p.x) for p in parts if p) == sizes
    assert abs(float(splits.train.x.mean())) < 0.1
    assert 0.8 < float(splits.train.x.std()) < 1.1

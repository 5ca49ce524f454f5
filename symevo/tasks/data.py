"""Finds and reads data sets.

Places, in this order: the directory that the user names (``--data-dir``), ``$SYMEVO_DATA``, the user's cache
directory, ``/usr/share/datasets`` (where Debian's ``dataset-fashion-mnist`` lies); then torchvision downloads
into the cache directory, unless ``$SYMEVO_OFFLINE`` is set. In each place the folders of torchvision
(``FashionMNIST/raw``), of Debian (``fashion-mnist``) and the place itself are looked at.

Nothing downloads the ORL faces, nor the tables of `symevo.tasks.zoo.tables`: they must lie in one of the places itself.

Nothing here unpickles: images are IDX or npz files. The one exception is the full CIFAR-10, which
torchvision's own loader reads after it has checked the files' MD5 sums.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import os
import socket
import struct
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
import torch
from torch import Tensor

from symevo.errors import UserError

_IDX_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
_FOLDERS = {
    "fashion-mnist": ("FashionMNIST/raw", "fashion-mnist"),
    "mnist": ("MNIST/raw", "mnist"),
    "cifar10": ("cifar10",),
}
_WANTED = {
    "fashion-mnist": f"FashionMNIST/raw/{_IDX_FILES[0]}[.gz] and its three companions",
    "mnist": f"MNIST/raw/{_IDX_FILES[0]}[.gz] and its three companions",
    "cifar10": "cifar10_subset.npz or cifar-10-batches-py",
}
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer


class RawImages(NamedTuple):
    """Images as they lie on disk, uint8 ``[N, …]``, and classes, int64 ``[N]``, in the official two parts."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


def cache_dir() -> Path:
    """Where downloads go."""
    return Path(platformdirs.user_cache_dir("symevo", appauthor=False))


def places(data_dir: Path | None = None) -> list[tuple[str, Path]]:
    """The directories that are searched, in order, each with what a message calls it.

    Raises:
        UserError: ``data_dir`` is given and is no directory.
    """
    found: list[tuple[str, Path]] = []
    if data_dir is not None:
        if not data_dir.is_dir():
            raise UserError(f"data directory {str(data_dir)!r} does not exist: name one that does")
        found.append((f"--data-dir {data_dir}", data_dir))
    variable = os.environ.get("SYMEVO_DATA")
    if variable:
        found.append((f"$SYMEVO_DATA {variable}", Path(variable)))
    found += [(str(path), path) for path in (cache_dir(), Path("/usr/share/datasets"))]
    return found


def locate(files: Sequence[str], data_dir: Path | None, *, name: str, source: str) -> Path:
    """The first of ``files`` that is there, place by place, for data that nothing downloads.

    Args:
        files: File names, any of which will do.
        data_dir: The directory that the user names.
        name: What a message calls the data.
        source: What a message says about where the data can be had.

    Raises:
        UserError: None of them is there.
    """
    for _, place in places(data_dir):
        for file in files:
            if (place / file).is_file():
                return place / file
    advice = f"symevo does not download it: get it from {source}, and put it into one of these"
    raise _missing(name, " or ".join(files), data_dir, advice)


def _missing(name: str, wanted: str, data_dir: Path | None, advice: str) -> UserError:
    tried = ", ".join(label for label, _ in places(data_dir))
    unset = "" if os.environ.get("SYMEVO_DATA") else "; $SYMEVO_DATA is not set"
    return UserError(f"no data for {name}: looked in {tried} for {wanted}{unset}; {advice}")


def grey_images(name: str, data_dir: Path | None = None) -> RawImages:
    """``"mnist"`` or ``"fashion-mnist"``: 60,000 and 10,000 images ``[N, 28, 28]``.

    Raises:
        UserError: The files are in none of the places and cannot be fetched, or one of them is damaged.
    """
    for _, place in places(data_dir):
        for folder in (*_FOLDERS[name], ""):
            files = [_present(place / folder, file) for file in _IDX_FILES]
            if folder == "" and name != place.name:
                continue  # both data sets use the same file names, so a bare folder must carry the name
            if all(files):
                return _read_grey([file for file in files if file])
    _download(name, data_dir)
    folder = cache_dir() / _FOLDERS[name][0]
    return _read_grey([_present(folder, file) or folder / file for file in _IDX_FILES])


def _present(folder: Path, file: str) -> Path | None:
    return next((path for path in (folder / f"{file}.gz", folder / file) if path.is_file()), None)


def _read_grey(files: list[Path]) -> RawImages:
    arrays = [read_idx(file) for file in files]
    for file, images, labels in ((files[0], *arrays[:2]), (files[2], *arrays[2:])):
        if images.dim() != 3 or labels.dim() != 1 or len(images) != len(labels):
            raise UserError(f"{file} and its labels do not belong together: delete them or fetch them again")
    return RawImages(arrays[0], arrays[1].long(), arrays[2], arrays[3].long())


def read_idx(path: Path) -> Tensor:
    """An IDX file of bytes, gzipped or not, as a uint8 tensor.

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a
    big-endian 32-bit integer, then the bytes (http://yann.lecun.com/exdb/mnist/).

    Raises:
        UserError: The file is damaged or not of this format.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, str(error)) from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        raise damaged(path, "it does not start as an IDX file of bytes")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    if len(raw) - 4 - 4 * raw[3] != math.prod(shape):
        raise damaged(path, f"it holds {len(raw)} bytes, which does not fit its shape {list(shape)}")
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())


def damaged(path: Path, reason: str) -> UserError:
    """The error for a file that is not what its name says."""
    return UserError(f"{path} is damaged ({reason}): delete it or fetch it again")


def cifar10(data_dir: Path | None = None) -> RawImages:
    """CIFAR-10, images ``[N, 3, 32, 32]``: ``cifar10_subset.npz`` where there is one, else the full data set.

    The npz file holds ``x_train``, ``y_train``, ``x_test``, ``y_test``, all uint8.

    Raises:
        UserError: The data is in none of the places and cannot be fetched, or is damaged.
    """
    for _, place in places(data_dir):
        for folder in (place / "cifar10", place):
            if (folder / "cifar10_subset.npz").is_file():
                return read_npz(folder / "cifar10_subset.npz")
            if (folder / "cifar-10-batches-py").is_dir():
                return _torchvision_cifar10(folder)
    _download("cifar10", data_dir)
    return _torchvision_cifar10(cache_dir() / _FOLDERS["cifar10"][0])


def _arrays(path: Path, names: Sequence[str]) -> list[Tensor]:
    """Arrays of numbers from an npz file, by name."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [torch.from_numpy(arrays[name]) for name in names]
    # The second line: no zip file at all, a shape that no memory holds, another compression, arrays of text.
    except (
        OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile,
        AttributeError, MemoryError, RuntimeError, TypeError,
    ) as error:  # fmt: skip
        raise damaged(path, " ".join(str(error).split())) from None


def read_npz(path: Path) -> RawImages:
    """Colour images from an npz file (see `cifar10`).

    Raises:
        UserError: The file is damaged, or lacks an array.
    """
    x_train, y_train, x_test, y_test = _arrays(path, RawImages._fields)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.dim() != 4 or x.dtype != torch.uint8 or len(x) != len(y):
            raise damaged(path, "images must be uint8 [N, 3, 32, 32], one label each")
    return RawImages(x_train, y_train.long(), x_test, y_test.long())


def orl_faces(data_dir: Path | None = None) -> tuple[Tensor, Tensor]:
    """The ORL faces: ten images of each of 40 people, uint8 ``[400, 28, 23]``, and who it is, int64 ``[400]``.

    They are ``x`` and ``y`` of ``orl_faces.npz``: the 112×92 pixels of the original, shrunk to a quarter.

    Raises:
        UserError: The file is in none of the places, or is damaged.
    """
    path = locate(
        ["orl_faces.npz"], data_dir, name="orl",
        source="cam-orl.co.uk/facedatabase.html (AT&T's Database of Faces), as x uint8 [400, 28, 23] and y [400]",
    )  # fmt: skip
    x, y = _arrays(path, ("x", "y"))
    if x.dtype != torch.uint8 or x.shape != (400, 28, 23) or y.dtype not in _WHOLE or y.shape != (400,):
        raise damaged(path, "x must be uint8 [400, 28, 23], y whole numbers [400]")
    y = y.long()
    if not torch.equal(y.sort().values, torch.arange(40).repeat_interleave(10)):
        raise damaged(path, "y must hold each of 0 to 39 ten times")
    return x, y


def _torchvision_cifar10(folder: Path) -> RawImages:
    from torchvision.datasets import CIFAR10  # here, because it takes a second to import

    try:
        parts = [CIFAR10(str(folder), train=train, download=False) for train in (True, False)]
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise damaged(folder / "cifar-10-batches-py", " ".join(str(error).split())) from None
    train, test = (torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in parts)
    return RawImages(train, torch.tensor(parts[0].targets), test, torch.tensor(parts[1].targets))


def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's embedded digits: 1,797 images ``[N, 8, 8]`` of values 0 to 16 (float32), and classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(np.asarray(x)).float().view(-1, 8, 8), torch.from_numpy(np.asarray(y)).long()


def _fetchers() -> dict[str, Callable[[str], object]]:
    from torchvision import datasets

    return {
        "fashion-mnist": lambda root: datasets.FashionMNIST(root, download=True),
        "mnist": lambda root: datasets.MNIST(root, download=True),
        "cifar10": lambda root: datasets.CIFAR10(f"{root}/cifar10", download=True),
    }


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _download(name: str, data_dir: Path | None) -> None:
    """Lets torchvision fetch ``name`` into the cache directory.

    What it prints is dropped: a fetch that fails is one line, the error. Who watches a terminal is told to wait.
    """
    if os.environ.get("SYMEVO_OFFLINE"):
        reason = "$SYMEVO_OFFLINE forbids a download"
    else:
        if sys.stderr.isatty():
            print(f"symevo: fetching {name} into {cache_dir()} …", end="", file=sys.stderr, flush=True)
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
                _socket_timeout(_DOWNLOAD_TIMEOUT),
            ):
                cache_dir().mkdir(parents=True, exist_ok=True)
                _fetchers()[name](str(cache_dir()))
            return
        except (OSError, RuntimeError, ValueError, ImportError) as error:
            reason = f"the download failed ({textwrap.shorten(str(error), 300, placeholder=' …')})"
        finally:
            if sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr)
    raise _missing(name, _WANTED[name], data_dir, f"{reason}; put the files into one of these")

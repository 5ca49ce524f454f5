"""A task: what is trained, on which data, and how it is scored."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.files import announce, collecting
from symevo.registry import Registry
from symevo.tasks.augment import AUGMENTS
from symevo.tasks.stacked.losses import LOSSES
from symevo.tasks.stacked.stacking import STACKINGS

SPLITS = ("train", "validation", "test")


class Pair(NamedTuple):
    """Inputs ``x [N, ...]`` and targets ``y [N, ...]`` of one split."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What a loader is told: where data lies, and the seed of the run (to draw subsets with)."""

    data_dir: Path | None = None
    run_seed: int = 0


@dataclass(frozen=True, eq=False)
class Splits:
    """The data of a task. ``test`` may be absent; a search never reads it."""

    train: Pair
    validation: Pair
    test: Pair | None = None


Loader = Callable[[DataRequest], Splits]
Arrays = tuple[Any, Any]
PerSampleLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Task:
    """A workload that optimizers are scored on: data, model, loss.

    Data comes in one of two ways: as arrays (``train``, ``validation``, ``test``, each a pair of tensors or
    numpy arrays), or as ``data``, a function of a `DataRequest` that is called once per worker. `splits` is
    the same for both.

    Args:
        name: Lower-case letters, digits and dashes.
        model: Builds a new, freshly initialised model; called under a seeded generator.
        train: ``(x [N, ...], y)``; y holds class numbers ``[N]`` for cross-entropy, the model's output shape
            for mse. As in torch, cross-entropy also takes several targets a sample, such as the next character at
            each place of a text: y is ``[N, L]`` for outputs ``[B, classes, L]``.
        validation: As ``train``; what a search is scored on.
        test: As ``train``; never read by a search.
        data: A loader, instead of the three pairs.
        batch: Samples a step. The last batch of an epoch is smaller where the split does not divide.
        loss: ``"cross_entropy"``, ``"mse"`` (mean over a sample's outputs), or a function
            ``(output [B, ...], target [B, ...]) -> losses [B]`` of differentiable torch operations.
        metric: ``"accuracy"`` (share of right classes, higher is better) or ``"loss"`` (lower is better).
        augment: Name of an augmentation of training batches (`symevo.tasks.augment.AUGMENTS`), or None.
        stacking: How rows are stacked: ``"products"``, ``"vmap"``, ``"single"``; None picks by measurement.
        diverged_above: A training loss above this counts as diverged.
        decades: For ``metric="loss"``: orders of magnitude below the initial loss that count as a full score.
        steps: Training steps when nobody says otherwise.
        description: One line for lists of tasks.

    Raises:
        UserError: An argument is wrong; the message says what would be right.

    Example:
        >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
        >>> task = Task("line", model=lambda: nn.Linear(1, 1), train=(x, 2 * x), validation=(x, 2 * x),
        ...             loss="mse", metric="loss", batch=16)
        >>> task.splits(DataRequest()).train.x.shape
        torch.Size([64, 1])
    """

    name: str
    model: Callable[[], nn.Module]
    train: Arrays | None = None
    validation: Arrays | None = None
    test: Arrays | None = None
    data: Loader | None = None
    batch: int = 64
    loss: str | PerSampleLoss = "cross_entropy"
    metric: Literal["accuracy", "loss"] = "accuracy"
    augment: str | None = None
    stacking: str | None = None
    diverged_above: float = 50.0
    decades: float = 6.0
    steps: int = 300
    description: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", self.name):
            raise UserError(f"task name {self.name!r}: use up to 64 lower-case letters, digits and dashes")
        self._check_functions()
        for known, value in ((AUGMENTS, self.augment), (STACKINGS, self.stacking)):
            if value is not None:
                known.get(value)
        self._check_numbers()
        self._check_data_fields()
        announce(self)

    def _check_functions(self) -> None:
        if not callable(self.model) or isinstance(self.model, nn.Module):
            raise self._error("model", "must be a function that builds a new module, such as lambda: nn.Linear(4, 2)")
        if isinstance(self.loss, str):
            LOSSES.get(self.loss)
        elif not callable(self.loss):
            raise self._error("loss", "must be a name or a function (output, target) -> per-sample losses")
        if self.metric not in ("accuracy", "loss"):
            raise self._error("metric", f"is {self.metric!r}; it must be 'accuracy' or 'loss'")
        if self.metric == "accuracy" and self.loss == "mse":
            raise self._error("metric", "must be 'loss' where the loss is 'mse': there are no classes to count")

    def _check_numbers(self) -> None:
        for field in ("batch", "steps"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise self._error(field, f"is {value!r}; it must be a whole number of at least 1")
        for field in ("diverged_above", "decades"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise self._error(field, f"is {value!r}; it must be a number above 0")

    def _check_data_fields(self) -> None:
        arrays = [name for name in SPLITS if getattr(self, name) is not None]
        if self.data is not None:
            if arrays:
                raise self._error("data", f"and {arrays[0]} exclude each other: give a loader or arrays")
            if not callable(self.data):
                raise self._error("data", "must be a function of a DataRequest that returns Splits")
            return
        for name in ("train", "validation"):
            if name not in arrays:
                raise self._error(name, "is missing: give (x, y), or a loader as data=")
        for name in arrays:
            self._pair(name, getattr(self, name))

    def splits(self, request: DataRequest) -> Splits:
        """The data, loaded and checked.

        Raises:
            UserError: Files are missing or damaged, or the arrays do not fit the loss.
        """
        if self.data is not None:
            try:
                loaded = self.data(request)
            except UserError:
                raise
            except (Exception, SystemExit) as error:  # whatever a user's loader raises is about that loader
                raise self._error("data", f"raised {one_line(error)}") from error
            if not isinstance(loaded, Splits):
                raise self._error("data", f"returned {type(loaded).__name__}; it must return Splits(train, validation)")
            found = {name: getattr(loaded, name) for name in SPLITS}
        else:
            found = {name: getattr(self, name) for name in SPLITS}
        pairs = {name: None if pair is None else self._pair(name, pair) for name, pair in found.items()}
        train, validation = pairs["train"], pairs["validation"]
        if train is None or validation is None:
            raise self._error("data", "must give train and validation")
        return Splits(train, validation, pairs["test"])

    def _pair(self, name: str, given: Arrays) -> Pair:
        try:
            x, y = given
        except (TypeError, ValueError):
            raise self._error(name, "must be a pair (x, y) of tensors or numpy arrays") from None
        x, y = self._tensor(name, "x", x), self._tensor(name, "y", y)
        if x.dim() < 1 or y.dim() < 1 or len(x) != len(y) or len(x) == 0:
            raise self._error(
                name, f"has x {list(x.shape)} and y {list(y.shape)}; both need the same length of at least 1"
            )
        if self.loss == "cross_entropy" and (y.is_floating_point() or y.is_complex()):
            raise self._error(name, f"has y {list(y.shape)} of {y.dtype}; cross-entropy needs class numbers [{len(y)}]")
        if self.loss == "mse" and not y.is_floating_point():
            raise self._error(name, f"has y of {y.dtype}; mse needs floating-point targets")
        for part, values in (("x", x), ("y", y)):
            if values.is_floating_point() and not values.isfinite().all():
                raise self._error(name, f"has NaN or infinite values in {part}; remove or replace them")
        return Pair(x, y)

    def _tensor(self, name: str, part: str, given: Any) -> Tensor:
        """One array of a pair as torch takes it."""
        if not isinstance(given, Tensor) and hasattr(given, "toarray"):  # scipy's
            raise self._error(name, f"has a sparse {part}: give {part}.toarray()")
        if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
            raise self._error(name, f"has masked values in {part}: replace them, as {part}.filled(0) does")
        if isinstance(given, np.ndarray) and given.dtype.kind in "biufc":
            # Torch reads an array where it lies: in this machine's order of bytes, and forwards.
            given = given.astype(given.dtype.newbyteorder("="), copy=any(stride < 0 for stride in given.strides))
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The given NumPy array is not writ")  # nor is it written
                found = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise self._error(name, _no_numbers(part, given)) from None
        if found.layout is not torch.strided:
            raise self._error(name, f"has a sparse {part}: give {part}.to_dense()")
        wide = found.dtype in (torch.uint16, torch.uint32, torch.uint64)  # for which torch has few functions
        return found.long() if wide else found

    def _error(self, field: str, message: str) -> UserError:
        return UserError(f"task {self.name!r}: {field} {message}")


def _no_numbers(part: str, given: Any) -> str:
    """What is wrong with an array that is no tensor, and what would be right."""
    if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
        return f"must be a pair (x, y) of tensors or numpy arrays: {part} is {type(given).__name__}"
    values = np.asarray(given, object).ravel()
    text = next((one for one in values if isinstance(one, str | bytes)), None)
    if text is not None:
        right = "number the classes, as numpy.unique(y, return_inverse=True)[1] does"
        return f"has text in {part}, such as {text!r}: {right if part == 'y' else 'give numbers'}"
    kind = getattr(given, "dtype", None) or type(values[0] if len(values) else given).__name__
    return f"has {part} of {kind}, of which torch makes no tensor: give numbers, all rows equally long"


class TaskRegistry(Registry[Callable[[], Task]]):
    """Tasks by name; a user's own may be replaced by a newer one."""

    def replace(self, name: str, make: Callable[[], Task]) -> None:
        """Puts ``make`` under ``name``, whether or not something is there."""
        self._items[name] = make


TASKS = TaskRegistry("task")
BUILT_IN: set[str] = set()


def built_in(name: str, **fields: Any) -> None:
    """Register a task of this package by its fields; no user's file counts it as its own."""

    def made() -> Task:
        with collecting():
            return Task(name, **fields)

    BUILT_IN.add(name)
    TASKS.register(name, made)


def one_line(error: BaseException) -> str:
    """An exception that a user's function raised: ``TypeName: message``."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")


def find_task(name: str) -> Task:
    """The registered task called ``name``.

    Raises:
        UserError: No such task; the message gives the nearest name.
    """
    return TASKS.get(name)()

"""A task bound to a device: its data, its batches, and stacked models to train on them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from symevo.errors import UserError
from symevo.seeds import seed_for
from symevo.tasks.augment import AUGMENTS
from symevo.tasks.plugins import adopt
from symevo.tasks.stacked.checks import choose, look_through
from symevo.tasks.stacked.layers import Segment, segments_of, width_of
from symevo.tasks.stacked.losses import LOSSES, Loss, custom
from symevo.tasks.stacked.stacking import STACKINGS, Stack, hooked, seeded
from symevo.tasks.task import SPLITS, TASKS, DataRequest, Pair, Task, one_line

# Elements of the widest activation of one row in a block of evaluation. It may not depend on the number of
# rows: how the samples are cut into blocks is part of what a score is.
_BLOCK_ELEMENTS = {"products": 2**16, "vmap": 2**16, "single": 2**23}
# Products of 256 columns were measured fastest.
_BLOCK_SAMPLES = {"products": 256, "vmap": 256, "single": 1024}
_ORDERS_KEPT = 64


class Scores(NamedTuple):
    """How the rows do on a split: mean ``loss [R]``, share of right answers ``accuracy [R]`` (or None).

    Both are float64 on the CPU.
    """

    loss: Tensor
    accuracy: Tensor | None


class Workload:
    """A task with its data on a device, ready to train; built once per worker.

    Everything random comes from generators seeded by ``seed_for(run_seed, task name, seed, purpose, step or
    epoch)``: the global generators neither matter nor change.

    Args:
        task: What to train.
        device: Where.
        dtype: Of weights, inputs and mse targets.
        stacking: ``"products"``, ``"vmap"`` or ``"single"``; None takes the task's, or else what was measured best.
        rows: The most rows of a chunk; None takes what was measured best.
        population: How many candidates there are to train at a time, which the choice of a stacking goes by.
        data_dir: Where the user keeps data.
        run_seed: The seed of the run.

    Attributes:
        stacking: The way of stacking in use: a setting of the run, to be recorded.
        max_rows: The number of rows per chunk to use.
        weights: The number of trainable weights.
        width: W, the elements of a row of weights: a little more than ``weights``, as each parameter starts
            at a multiple of 16. What lies between is 0 and has gradient 0.
        segments: Where each parameter tensor lies in a row.
        shares: Whether the task's function hands out the same layers again and again, so that they are copied.

    Raises:
        UserError: Data is missing or damaged, or model, data, loss and stacking do not fit each other.
    """

    def __init__(
        self,
        task: Task,
        device: str | torch.device = "cpu",
        *,
        dtype: torch.dtype = torch.float32,
        stacking: str | None = None,
        rows: int | None = None,
        population: int | None = None,
        data_dir: str | Path | None = None,
        run_seed: int = 0,
    ) -> None:
        self.task, self.device, self.dtype, self.run_seed = task, torch.device(device), dtype, run_seed
        self._splits = task.splits(DataRequest(data_dir=Path(data_dir) if data_dir else None, run_seed=run_seed))
        self._on_device: dict[str, Pair] = {}
        self._orders: OrderedDict[tuple[int, int], Tensor] = OrderedDict()
        self.loss: Loss = LOSSES.get(task.loss) if isinstance(task.loss, str) else custom(task.loss)
        self._augment = AUGMENTS.get(task.augment) if task.augment is not None else None
        self.shares = False
        template = self._build(seed_for(run_seed, task.name, "template"))
        self.shares = _overlap(template, self._build(seed_for(run_seed, task.name, "template")))
        self.segments: tuple[Segment, ...] = segments_of(template)
        if not self.segments:
            raise UserError(f"task {task.name!r}: the model has no trainable weights")
        self.weights = sum(s.stop - s.start for s in self.segments)
        self.width = width_of(self.segments)
        model = self.built(0)
        self._check_types(model)
        look = look_through(task, model, self._sample(), self._splits)
        self.stacking, self.max_rows = choose(
            task, lambda: self.built(0), look,
            device=self.device.type, stacking=stacking, rows=rows, population=population,
        )  # fmt: skip
        self._stack: type[Stack] = STACKINGS.get(self.stacking)
        widest = look.widest if self.stacking == "single" else look.unfolded
        self.block = max(16, min(_BLOCK_SAMPLES[self.stacking], _BLOCK_ELEMENTS[self.stacking] // widest))

    def _check_types(self, model: nn.Module) -> None:
        """Refuse weights that would not be trained in the type that they have.

        Raises:
            UserError: Some are complex, or of another type than others.
        """
        named = dict(model.named_parameters())
        for segment in self.segments:
            if (dtype := named[segment.name].dtype) != self.dtype:
                right = "use its real view" if dtype.is_complex else "freeze it, or give all weights one type"
                raise UserError(f"task {self.task.name!r}: weight {segment.name!r} is of {dtype}: {right}")

    @property
    def train_size(self) -> int:
        """Samples in the training split."""
        return len(self._splits.train.x)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.train_size // self.task.batch)

    def _build(self, seed: int) -> nn.Module:
        """A new model, initialised by torch's defaults under ``seed``, on the CPU in float32."""
        cpu = torch.device("cpu")
        with seeded(seed, cpu), cpu:
            try:
                model = self.task.model()
            except (Exception, SystemExit) as error:  # whatever a user's function raises
                raise UserError(f"task {self.task.name!r}: model() raised {one_line(error)}") from error
        if not isinstance(model, nn.Module):
            raise UserError(f"task {self.task.name!r}: model() returned {type(model).__name__}, not a torch module")
        if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
            raise UserError(f"task {self.task.name!r}: the model has lazy layers: give their sizes, or run it once")
        return self._copy(model) if self.shares else model

    def _copy(self, model: nn.Module) -> nn.Module:
        """A copy of a model whose layers ``task.model`` hands out again and again, so that no training changes them."""
        try:
            if any(hooked(parameter) for parameter in model.parameters()):
                raise UserError("hooks on its weights would be lost")
            return copy.deepcopy(model)
        except Exception as error:  # whatever a user's module raises
            raise UserError(
                f"task {self.task.name!r}: model() hands out the same layers each time, and they cannot be copied "
                f"({one_line(error)}): build new ones in it"
            ) from error

    def built(self, seed: int) -> nn.Module:
        """A new model as training seed ``seed`` starts with, on the device, in training mode.

        Raises:
            UserError: The task's function fails, or its model has other weights than before.
        """
        model = self._build(self.seed_of_model(seed)).to(self.device)
        kinds = {t.dtype for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()}
        if len(kinds) == 1 and kinds != {self.dtype}:  # of a model of several types each layer keeps its own
            model = model.to(self.dtype)
        return model if model.training else model.train()  # layers that it has in evaluation mode stay there

    def seed_of_model(self, seed: int) -> int:
        """What seeds the building of the model of training seed ``seed``."""
        return seed_for(self.run_seed, self.task.name, seed, "init")

    def initial(self, seed: int) -> Tensor:
        """The weights ``[W]`` that training seed ``seed`` starts from."""
        return self.flat(self.built(seed))

    def flat(self, model: nn.Module) -> Tensor:
        """The weights ``[W]`` of a model of this task.

        Raises:
            UserError: It has other weights than the task's first model.
        """
        parameters = dict(model.named_parameters())
        flat = torch.zeros(self.width, device=self.device, dtype=self.dtype)
        for name, start, stop, shape in self.segments:
            if name not in parameters or parameters[name].shape != shape:
                raise UserError(f"task {self.task.name!r}: model() makes another model each time: {name} differs")
            flat[start:stop] = parameters[name].detach().reshape(-1)
        return flat

    def split(self, name: str) -> Pair:
        """The split ``name`` on the device.

        Raises:
            UserError: The task has no such split.
        """
        if name not in self._on_device:
            pair = getattr(self._splits, name) if name in SPLITS else None
            if pair is None:
                hint = f": give it {name}=(x, y)" if name in SPLITS else ""
                raise UserError(f"task {self.task.name!r} has no split {name!r}{hint}")
            floating = pair.y.is_floating_point()
            x = pair.x.to(device=self.device, dtype=self.dtype if pair.x.is_floating_point() else None)
            self._on_device[name] = Pair(
                # Arrays of other libraries may start anywhere, and bits depend on the alignment.
                x if x.data_ptr() % 64 == 0 and x.is_contiguous() else x.clone(memory_format=torch.contiguous_format),
                pair.y.to(device=self.device, dtype=self.dtype if floating else torch.long),
            )
        return self._on_device[name]

    @cached_property
    def first_loss(self) -> float:
        """The loss of training seed 0's initial weights on its first batch."""
        rows = self.rows(1)
        rows.start(0)
        return float(rows.losses_and_grad(0, 0)[0])

    def has(self, split: str) -> bool:
        """Whether the task has a split of this name."""
        return getattr(self._splits, split, None) is not None

    def order(self, seed: int, epoch: int) -> Tensor:
        """The permutation ``[N]`` of the training split in ``epoch`` (0, 1, …), on the device."""
        key = (seed, epoch)
        if key not in self._orders:
            generator = torch.Generator().manual_seed(seed_for(self.run_seed, self.task.name, seed, "order", epoch))
            self._orders[key] = torch.randperm(self.train_size, generator=generator).to(self.device)
            if len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return self._orders[key]

    def batch(self, seed: int, step: int) -> Pair:
        """The batch of ``step`` (0, 1, …), the same for every candidate: shuffled anew each epoch, augmented.

        The last batch of an epoch holds what is left. A split no larger than a batch is used whole, as it lies.
        """
        x, y = self.split("train")
        size = self.task.batch
        if len(x) > size:
            epoch, position = divmod(step, self.steps_per_epoch)
            index = self.order(seed, epoch)[position * size : (position + 1) * size]
            x, y = x.index_select(0, index), y.index_select(0, index)
        if self._augment is not None:
            generator = torch.Generator().manual_seed(self.seed(seed, "augment", step))
            x = self._augment(x, generator)
        return Pair(x, y)

    def sample(self, split: str, count: int, seed: int) -> Pair:
        """``count`` samples of a split, drawn without replacement; all of it, in order, where it has no more.

        Raises:
            UserError: The task has no such split.
        """
        x, y = self.split(split)
        if count >= len(x):
            return Pair(x, y)
        generator = torch.Generator().manual_seed(self.seed(seed, f"sample {split}", count))
        index = torch.randperm(len(x), generator=generator)[:count].to(self.device)
        return Pair(x.index_select(0, index), y.index_select(0, index))

    def draw(self, seed: int, step: int) -> int:
        """What seeds the masks, and all else that a model draws, of a training step."""
        return self.seed(seed, "dropout", step)

    def seed(self, seed: int, purpose: str, step: int) -> int:
        """The seed of one stream of this workload."""
        return seed_for(self.run_seed, self.task.name, seed, purpose, step)

    def rows(self, count: int) -> Rows:
        """Buffers and model for ``count`` rows; may be used for any number of trainings.

        Raises:
            UserError: ``count`` is below 1, or above 1 where rows are not stacked.
        """
        if count < 1:
            raise UserError(f"a chunk has at least 1 row, not {count}")
        return Rows(self, self._stack(self.built(0), count))

    def _sample(self) -> Tensor:
        """Two training inputs (one, if there is but one), for a look at shapes."""
        x = self._splits.train.x[:2]
        return x.to(device=self.device, dtype=self.dtype if x.is_floating_point() else None)


class Rows:
    """A chunk in training: R rows of weights that see the same batches.

    Attributes:
        theta: Weights ``[R, W]``, contiguous; an update changes them in place.
        grad: Gradients ``[R, W]``, contiguous, filled by `losses_and_grad`.
    """

    def __init__(self, workload: Workload, stack: Stack) -> None:
        self.workload = workload
        self._stack = stack
        self.theta, self.grad = stack.theta, stack.grad

    @property
    def buffers(self) -> dict[str, Tensor]:
        """What the model keeps besides weights (running statistics), by name, each ``[R, ...]``."""
        return self._stack.buffers

    def start(self, seed: int) -> None:
        """Puts every row at the initial weights and buffers of training seed ``seed``, on a model built for it."""
        model = self.workload.built(seed)
        self.theta.copy_(self.workload.flat(model))
        self.grad.zero_()
        self._stack.restart(model)

    def losses_and_grad(self, seed: int, step: int, *, orders: Sequence[int] | None = None) -> Tensor:
        """Mean training loss ``[R]`` of the batch of ``step`` (0, 1, …) under ``theta``; fills ``grad``.

        ``grad[r]`` is the derivative of loss r with respect to ``theta[r]``. A row that overflows gives inf
        or NaN here and leaves the others as they are.

        Args:
            seed: Training seed: order of the data, and dropout masks.
            step: Where in that order.
            orders: For each row the seed of an order of its own; masks stay shared.
        """
        workload = self.workload
        if orders is None:
            x, y = (part.unsqueeze(0) for part in workload.batch(seed, step))
        else:
            pairs = [workload.batch(order, step) for order in orders]
            x, y = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        draw = workload.draw(seed, step) if self._stack.random else 0
        outputs = self._stack.outputs(x, seed=draw)
        losses, saved = workload.loss.value(outputs, y)
        self._stack.gradient(workload.loss.gradient(outputs, y, saved))
        return losses.mean(1)

    def descend(self, rate: float) -> None:
        """Take one step of plain SGD along the gradients."""
        self.theta.sub_(rate * self.grad)

    def outputs(self, x: Tensor) -> Tensor:
        """Outputs ``[R, ..., B]`` for inputs ``[B, ...]``, in evaluation mode."""
        return self._stack.outputs(x.unsqueeze(0), seed=None)

    def evaluate(self, split: str = "validation") -> Scores:
        """Mean loss and accuracy of every row over a whole split, in evaluation mode.

        Raises:
            UserError: The task has no such split.
        """
        return self.scores(self.workload.split(split))

    def scores(self, samples: Pair) -> Scores:
        """Mean loss and accuracy of every row over ``samples`` (on the device), in evaluation mode."""
        workload, (x, y) = self.workload, samples
        count_right = workload.task.metric == "accuracy"
        loss = torch.zeros(len(self.theta), dtype=torch.float64, device=workload.device)
        right = torch.zeros_like(loss)
        for start in range(0, len(x), workload.block):
            target = y[start : start + workload.block].unsqueeze(0)
            outputs = self.outputs(x[start : start + workload.block])
            losses, _ = workload.loss.value(outputs, target)
            loss += losses.sum(1, dtype=torch.float64)
            if count_right:  # max and not argmax: the same index, five times faster along this axis
                right += (outputs.max(1).indices == target.movedim(1, -1)).flatten(1).sum(1)
        return Scores((loss / len(x)).cpu(), (right / y.numel()).cpu() if count_right else None)


def _overlap(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models have weights or buffers in common."""

    def places(model: nn.Module) -> set[int]:
        tensors = [*model.parameters(), *model.buffers()]
        return {tensor.data_ptr() for tensor in tensors if tensor.numel()}

    return not places(one).isdisjoint(places(other))


def workload_of(item: Mapping[str, Any]) -> Workload:
    """The workload for ``task``, ``device``, ``stacking``, ``data_dir`` and ``run_seed``; kept between jobs.

    ``plugins`` names the modules of the user's files, imported already, whose tasks may be meant.
    """
    for module in item["plugins"]:
        adopt(module)
    return _workload(TASKS.get(item["task"]), item["device"], item["stacking"], item["data_dir"], item["run_seed"])


@lru_cache(maxsize=16)
def _workload(task: Callable[[], Task], device: str, stacking: str, data_dir: str | None, run_seed: int) -> Workload:
    return Workload(task(), device=device, stacking=stacking, data_dir=data_dir, run_seed=run_seed)

"""Whether model, loss and data of a task fit each other, found out by running the model once; and how to stack it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from symevo.errors import UserError
from symevo.tasks.stacked.stacking import STACKINGS
from symevo.tasks.task import SPLITS, Pair, Splits, Task, one_line

# The argument of a function of torch whose sizes tell how many products a number of its output is the sum of.
_SUMMED: Mapping[str, Callable[..., int]] = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), lambda x, weight, *_: weight[0].numel()),
    **dict.fromkeys(("matmul", "mm", "bmm", "__matmul__"), lambda x, y, *_: x.shape[-1]),
    **dict.fromkeys(("addmm", "baddbmm"), lambda added, x, y, *_: x.shape[-1]),
}
# Slower stacked by vmap than one model at a time, or not to be stacked.
_SLOW = {
    "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "einsum",
    "multi_head_attention_forward", "scaled_dot_product_attention", "rnn_tanh_cell", "rnn_relu_cell", "gru_cell",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What was seen of a model as it ran.

    Attributes:
        sample: The inputs ``[2, ...]``.
        widest: Elements of the widest activation of one sample: of the inputs and outputs of modules.
        unfolded: The same with the unfolded inputs of convolutions counted too.
        operations: Floating-point operations of the forward pass of one batch, in products and convolutions.
        slow: Functions that it calls and that are slow when stacked by vmap: convolutions of images, attention.
    """

    sample: Tensor
    widest: int
    unfolded: int
    operations: float
    slow: frozenset[str]


class _Calls(TorchFunctionMode):
    """Count the floating-point operations of torch's functions that are called, and note which are."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.operations = 0

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, name = func(*args, **(kwargs or {})), getattr(func, "__name__", "")
        self.names.add(name)
        if name in _SUMMED and not kwargs:
            self.operations += 2 * result.numel() * _SUMMED[name](*args)
        return result


def look_through(task: Task, model: nn.Module, sample: Tensor, splits: Splits) -> Look:
    """Runs ``model`` on ``sample [2, ...]`` and checks its outputs against loss and targets.

    Args:
        task: Whose loss and metric count.
        model: Built for this.
        sample: Two training inputs.
        splits: All data of the task.

    Raises:
        UserError: The model fails, or its outputs do not fit; the message says how.
    """
    _check_layers(task, model)
    widest, unfolded = [sample[0].numel()], [0]

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() and len(output):
            widest.append(output.numel() // len(output))
        if isinstance(module, nn.Conv2d) and isinstance(output, Tensor):
            # One column of in-channels × kernel for each pixel of the output.
            unfolded.append(output[0, 0].numel() * module.weight[0].numel())

    for module in model.eval().modules():
        if not isinstance(module, torch.jit.ScriptModule):
            module.register_forward_hook(look)
    with _Calls() as calls:
        output = _run(task, model, sample)
    batch = min(task.batch, len(splits.train.x)) / len(sample)
    found = Look(sample, max(widest), max(widest + unfolded), calls.operations * batch, frozenset(calls.names & _SLOW))
    for name in SPLITS:
        pair = getattr(splits, name)
        if pair is not None:
            alike = name == "train" or _alike(pair.x, splits.train.x)
            _check_outputs(task, name, output if alike else _on_others(task, model, name, splits, sample), pair.y)
    return found


def check_first_loss(task: Task, loss: float, samples: Pair) -> None:
    """Refuses a task of which every training counts as diverged before its first step.

    Args:
        task: Whose limit counts.
        loss: That of new weights on the first batch.
        samples: The training split.

    Raises:
        UserError: It is above the limit, or not finite; the message gives the scale of what it comes from.
    """
    if loss <= task.diverged_above:
        return
    named = {"inputs": samples.x, "targets": samples.y}
    large = [f"{name} reach {float(one.abs().max()):.3g}" for name, one in named.items() if one.is_floating_point()]
    scales = f"; {' and '.join(large)}" if large else ""
    right = f"bring {'both' if len(large) == 2 else 'them'} to a scale of about 1" if large else "start from less"
    what = f"{loss}"
    if math.isfinite(loss):
        what = f"{loss:.3g}, above diverged_above ({task.diverged_above:g})"
        right += f", or give diverged_above={_above(loss)}"
    raise UserError(f"task {task.name!r}: the loss of the first batch is {what}{scales}: {right}")


def _above(loss: float) -> str:
    """A round number that leaves a loss some room."""
    return f"{10 ** math.ceil(math.log10(loss) + 0.5):g}"


def _check_layers(task: Task, model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            layer = f"layer {name!r} ({type(module).__name__})" if name else f"the {type(module).__name__}"
            raise UserError(f"task {task.name!r}: {layer} has sparse gradients, which no rule takes: give sparse=False")


def _run(task: Task, model: nn.Module, sample: Tensor) -> Tensor:
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output: Any = model(sample.clone())
    except (Exception, SystemExit) as error:  # whatever a user's module raises
        shape, reason = list(sample.shape), one_line(error)
        raise UserError(f"task {task.name!r}: the model fails on inputs {shape}: {reason}") from error
    if not isinstance(output, Tensor) or output.dim() < 1 or len(output) != len(sample):
        raise UserError(f"task {task.name!r}: the model must return one output tensor [batch, ...]")
    return output


def _alike(x: Tensor, other: Tensor) -> bool:
    """Whether samples of one split are for the model what those of another are."""
    both = x.is_floating_point() and other.is_floating_point()  # trained in one type
    return x.shape[1:] == other.shape[1:] and (both or x.dtype == other.dtype)


def _on_others(task: Task, model: nn.Module, name: str, splits: Splits, sample: Tensor) -> Tensor:
    """Outputs for samples of another shape or type than those of training: some models take them."""
    x, own = getattr(splits, name).x, splits.train.x
    dtype = next(model.parameters()).dtype if x.is_floating_point() else None
    other = x[:2].to(device=sample.device, dtype=dtype)
    try:
        return _run(task, model, other)
    except UserError as error:
        raise UserError(
            f"{error}; {name} has samples {list(x.shape[1:])} of {x.dtype} where train has {list(own.shape[1:])} of "
            f"{own.dtype}: give both alike"
        ) from error


def _check_outputs(task: Task, name: str, output: Tensor, y: Tensor) -> None:
    of = "" if name == "train" else f" of {name}"
    if task.loss == "mse" and output.shape[1:] != y.shape[1:]:
        count, wanted, shape = len(y), list(y.shape[1:]), list(output.shape[1:])
        raise UserError(
            f"task {task.name!r}: outputs{of} are {shape} a sample, targets {wanted}: give y as {[count, *shape]}"
            + (", such as y.unsqueeze(1)" if shape == [1] and not wanted else "")
        )
    if task.loss != "cross_entropy" and task.metric == "loss":
        return
    if output.dim() < 2 or output.shape[2:] != y.shape[1:]:
        wanted = ", ".join(["batch", "classes", *map(str, y.shape[1:])])
        given = f" for targets {list(y.shape)}" if y.dim() > 1 else ""
        raise UserError(f"task {task.name!r}: outputs{of} must be [{wanted}]{given}, not {list(output.shape)}")
    classes = output.shape[1]
    if not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise UserError(
            f"task {task.name!r}: classes{of} run from {int(y.min())} to {int(y.max())}, "
            f"but the model has {classes} outputs (0 to {classes - 1})"
        )


# (task, device type) -> (stacking, rows per chunk). Measured with one thread of a 2-core AMD EPYC (family 26,
# 2.6 GHz, about 90 GFLOP/s a core), torch 2.15, float32: µs per row and step of forward and backward pass, in
# parentheses one model at a time with autograd and torch's fused Adam.
MEASURED: dict[tuple[str, str], tuple[str, int]] = {
    ("fashion-mlp", "cpu"): ("products", 25),  # 1: 114, 8: 32, 25: 26, 50: 25; vmap 99 (235)
    ("digits-mlp", "cpu"): ("products", 50),  # 1: 82, 8: 18, 25: 13, 50: 12; vmap 127 (190)
    ("digits-deep", "cpu"): ("products", 25),  # 1: 190, 8: 47, 25: 36, 50: 34; vmap 75 (372)
    ("digits-cnn", "cpu"): ("products", 10),  # 4: 290, 8: 274, 10: 323, 16: 339, 25: 359, 50: 407 (970)
    ("quadratic", "cpu"): ("products", 50),  # 8: 2.9, 25: 1.1, 50: 0.6; vmap 7.2 (81)
    ("noisy-lsq", "cpu"): ("products", 50),  # 8: 3.9, 25: 1.4, 50: 0.9 (100)
    ("rosenbrock", "cpu"): ("vmap", 64),  # 8: 62, 25: 20, 50: 10; single 330 (137)
    # The paper's networks: products take 1.1 to 1.3 times (SmallCNN) and twice (CifarCNN) as long.
    ("fashion-cnn", "cpu"): ("single", 1),
    ("mnist-cnn", "cpu"): ("single", 1),
    ("cifar10-cnn", "cpu"): ("single", 1),
    # Times faster than one after the other, by rows, on a 2-core Intel Xeon (paper/results/lockstep.json): ratios
    # of one run, as that machine was shared.
    ("letter-mlp", "cpu"): ("products", 10),  # 5: 2.4, 10: 2.6, 25: 2.6, 50: 2.4
    ("adult-mlp", "cpu"): ("products", 50),  # 5: 6.4, 10: 9.3, 25: 12.8, 50: 16.1
    ("yeast-mlp", "cpu"): ("products", 50),  # 5: 6.2, 10: 8.3, 25: 11.8, 50: 13.5
    ("lenet5-mnist", "cpu"): ("single", 1),  # 2: 0.98, 5: 0.98, 10: 0.94; vmap 0.07
    ("fashion-hyper", "cpu"): ("single", 1),  # 2: 0.89, 5: 0.89
    ("orl-cnn", "cpu"): ("single", 1),  # 2: 0.87, 5: 0.91, 10: 0.90; vmap 0.07
    ("orl-cnn-7", "cpu"): ("single", 1),  # the same network and batches
    ("orl-cnn-9", "cpu"): ("single", 1),
    # Networks like others above; evograd draws its own, which train in stacks of individuals.
    ("digits-flat", "cpu"): ("products", 50),
    ("mnist-flat", "cpu"): ("single", 1),
    ("fashion-flat", "cpu"): ("single", 1),
    # µs per row and step, forward and backward, on the same Intel Xeon, which was busy: compare within a line only.
    ("cancer-mlp", "cpu"): ("products", 50),  # 1: 208, 10: 26, 25: 17, 50: 15; vmap 47 (408)
    ("friedman-mlp", "cpu"): ("products", 50),  # 1: 157, 10: 25, 25: 19, 50: 18; vmap 392 (304)
    ("digits-mixer", "cpu"): ("single", 1),  # vmap 8: 29,336, 32: 6,704 (3,607)
    ("text-transformer", "cpu"): ("single", 1),  # vmap 8: 53,812, 32: 13,213 (7,556)
    ("shakespeare-transformer", "cpu"): ("single", 1),  # vmap 8: 105,555, 32: 16,737 (8,953)
}

# For other models, measured likewise (paper/benchmarks/stacking.py measures it again): the most floating-point
# operations of the forward pass of one row-step with which stacking was no slower than one model at a time.
MOST_OPERATIONS = {"products": 12e6, "vmap": 2e6}
FEWEST_ROWS = 12
"""Fewer rows than these take longer under vmap, which pads them to 32, than one after the other."""
ROWS = {"products": 25, "vmap": 32, "single": 1}


def choose(
    task: Task,
    build: Callable[[], nn.Module],
    look: Look,
    *,
    device: str,
    stacking: str | None = None,
    rows: int | None = None,
    population: int | None = None,
) -> tuple[str, int]:
    """The stacking and the number of rows per chunk for ``task`` on a device type ("cpu", "cuda").

    Asked for by the caller, else by the task, else measured for this task, else by the kind and size of the model.

    Args:
        task: What is trained.
        build: Makes its model anew.
        look: What was seen of it.
        device: Where it is trained.
        stacking: Asked for by the caller.
        rows: The most rows of a chunk, asked for by the caller.
        population: How many rows there are to train, if that is known.

    Raises:
        UserError: The stacking asked for cannot train this model, or the number of rows is not possible with it.
    """
    measured, measured_rows = MEASURED.get((task.name, device), (None, 0))
    chosen = stacking or task.stacking or measured or _by_kind(build, look, population)
    if rows is not None and (isinstance(rows, bool) or rows < 1):
        raise UserError(f"rows is {rows!r}; it must be a whole number of at least 1")
    if chosen == "single" and rows not in (None, 1):
        raise UserError(f"task {task.name!r}: stacking 'single' trains one row at a time, not {rows}")
    obstacle = _obstacle(chosen, build, look)
    if obstacle is not None:
        others = "'single'" if chosen == "vmap" else "'vmap' or 'single'"
        raise UserError(f"task {task.name!r} cannot be stacked as {chosen!r}: {obstacle}; try {others}")
    return chosen, rows or (measured_rows if chosen == measured else ROWS.get(chosen, 1))


def _by_kind(build: Callable[[], nn.Module], look: Look, population: int | None) -> str:
    """Products where all layers are known, else vmap where nothing in the model is slow in it; else one at a time."""
    if look.operations <= MOST_OPERATIONS["products"] and _obstacle("products", build, look) is None:
        return "products"
    if look.slow or look.operations > MOST_OPERATIONS["vmap"] or (population or FEWEST_ROWS) < FEWEST_ROWS:
        return "single"
    return "vmap" if _obstacle("vmap", build, look) is None else "single"


def _obstacle(stacking: str, build: Callable[[], nn.Module], look: Look) -> str | None:
    with torch.no_grad():
        return STACKINGS.get(stacking).obstacle(build(), look.sample.clone())

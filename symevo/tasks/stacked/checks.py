"""Whether model, loss and data of a task fit each other: found out by running the model once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from symevo.errors import UserError
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

"""Whether model, loss and data of a task fit each other: found out by running the model once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from symevo.errors import UserError
from symevo.tasks.task import Splits, Task, one_line

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
    calls = _Calls()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), calls:
            output: Any = model(sample.clone())
    except (Exception, SystemExit) as error:  # whatever a user's module raises
        shape, reason = list(sample.shape), one_line(error)
        raise UserError(f"task {task.name!r}: the model fails on inputs {shape}: {reason}") from error
    if not isinstance(output, Tensor) or output.dim() < 1 or len(output) != len(sample):
        raise UserError(f"task {task.name!r}: the model must return one output tensor [batch, ...]")
    _check_outputs(task, output, splits)
    batch = min(task.batch, len(splits.train.x)) / len(sample)
    return Look(sample, max(widest), max(widest + unfolded), calls.operations * batch, frozenset(calls.names & _SLOW))


def _check_outputs(task: Task, output: Tensor, splits: Splits) -> None:
    if task.loss == "mse" and output.shape[1:] != splits.train.y.shape[1:]:
        count, wanted = len(splits.train.y), list(splits.train.y.shape[1:])
        shape = list(output.shape[1:])
        raise UserError(
            f"task {task.name!r}: outputs are {shape} a sample, targets {wanted}: give y as {[count, *shape]}"
            + (", such as y.unsqueeze(1)" if shape == [1] and not wanted else "")
        )
    if task.loss != "cross_entropy" and task.metric == "loss":
        return
    for pair in (splits.train, splits.validation, splits.test):
        if pair is None:
            continue
        if output.dim() < 2 or output.shape[2:] != pair.y.shape[1:]:
            wanted = ", ".join(["batch", "classes", *map(str, pair.y.shape[1:])])
            given = f" for targets {list(pair.y.shape)}" if pair.y.dim() > 1 else ""
            raise UserError(f"task {task.name!r}: outputs must be [{wanted}]{given}, not {list(output.shape)}")
        classes = output.shape[1]
        if not 0 <= int(pair.y.min()) <= int(pair.y.max()) < classes:
            raise UserError(
                f"task {task.name!r}: classes run from {int(pair.y.min())} to {int(pair.y.max())}, "
                f"but the model has {classes} outputs (0 to {classes - 1})"
            )

"""Two training steps in plain torch, as the user would write them, to compare stacked models with.

A stacked form may compute something else than the model that ``task.model()`` returned, without any error: a hook, a
type that is asked for, a buffer that is replaced. So both make the same two steps before a task is trained.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from symevo.errors import UserError
from symevo.tasks.stacked.layers import views
from symevo.tasks.stacked.stacking import kept_in_evaluation, seeded, turn
from symevo.tasks.task import Task, one_line
from symevo.tasks.workload import Rows, Workload

SEED = 0
TOLERANCE = 1e-3
"""Share of the largest number of a tensor by which two ways of rounding may differ after two steps."""
_FLOOR = 1e-5  # of the largest number of all weights together: gradients that are 0 but for rounding
_LENGTH = 0.02  # of the first step, as a share of the length of the weights: enough to show
_OTHER = 0.9  # every second row starts from the weights times this


def difference(workload: Workload) -> str | None:
    """What a stacked training does otherwise than the same training in plain torch, if anything.

    Compares outputs in evaluation mode, losses and gradients of two SGD steps (on the first and on the last batch of
    an epoch), and the weights, buffers and outputs after them. Rows that start alike must stay alike to the bit.

    Args:
        workload: The task as it would be stacked.

    Returns:
        What differs first, and from what; None where all agree up to rounding.

    Raises:
        UserError: The task cannot be trained in plain torch either; the message says why.
        Exception: Whatever the stacked form raises.
    """
    rows = workload.rows(workload.max_rows)
    rows.start(SEED)
    if not _equal(workload.initial(SEED), rows.theta[0]):
        raise UserError("model() gives other weights each time: let it draw them by torch, which is seeded")
    rows.theta[1::2] *= _OTHER
    shared = _grads_of_shared(workload)
    plain = [Plain(workload, start) for start in rows.theta[:2]]
    rate = _rate(workload, rows.theta[0])
    # The plain ones first: where they fail the task is at fault, and not the stack.
    for *each, (name, found) in zip(*(_shown(one, rate) for one in plain), _shown(rows, rate), strict=True):
        right = torch.cat([one for _, one in each])
        if found.shape[1:] != right.shape[1:] or not _close(workload, found[:2], right):
            return f"{name} would differ from plain torch"
        if not all(_equal(found[row], found[row % 2]) for row in range(2, len(found))):
            return f"{name} would depend on a row's place in the stack"
    if _grads_of_shared(workload) != shared:
        raise UserError(
            "model() hands out the same layers each time, and they refer to each other: build new ones in it"
        )
    # What changes as it trains may matter later than in these steps, and a stacked form does not see all of it.
    changed = plain[0].changed()
    return f"{changed} changes as it trains" if changed and workload.stacking != "single" else None


def repeats(workload: Workload) -> bool:
    """Whether plain torch gives the same twice, seeded alike."""
    start = workload.initial(SEED)
    rate = _rate(workload, start)
    twice = [_shown(Plain(workload, start), rate) for _ in range(2)]
    return all(_equal(one, other) for (_, one), (_, other) in zip(*twice, strict=True))


def _grads_of_shared(workload: Workload) -> list[Any]:
    """Which gradients the layers have that the task's function hands out, and how often each was changed.

    Only copies of them are trained. So these change only where a copy still refers to its original.
    """
    weights = workload.task.model().parameters() if workload.shares else ()
    return [weight.grad is not None and (id(weight.grad), weight.grad._version) for weight in weights]


def _shown(trained: Rows | Plain, rate: float) -> Iterator[tuple[str, Tensor]]:
    """What there is to see of a training, as it goes on: a name, and a value ``[R, ...]``."""
    workload = trained.workload
    x, _ = workload.batch(SEED, 0)
    yield "its output in evaluation mode", trained.outputs(x)
    for number, step in enumerate(_steps(workload), 1):
        yield f"the loss of training step {number}", trained.losses_and_grad(SEED, step)
        yield f"the gradient of training step {number}", trained.grad.clone()
        trained.descend(rate)
        yield f"the weights after training step {number}", trained.theta.clone()
    for name, buffer in trained.buffers.items():
        yield f"buffer {name!r} after two training steps", buffer.clone()
    yield "its output in evaluation mode after two training steps", trained.outputs(x)


def _steps(workload: Workload) -> tuple[int, int]:
    """The first step, and that of the last batch of an epoch, which may be a small one."""
    return 0, max(1, workload.steps_per_epoch - 1)


def _rate(workload: Workload, start: Tensor) -> float:
    """A learning rate that moves the weights by a share of their length; 0.1 where they have no gradient."""
    plain = Plain(workload, start)
    plain.losses_and_grad(SEED, 0)
    length = float(plain.grad.norm())
    return _LENGTH * (float(start.norm()) or 1.0) / length if 0 < length < torch.inf else 0.1


def _close(workload: Workload, found: Tensor, right: Tensor) -> bool:
    """Whether two values ``[R, ...]`` agree; rows of weights each parameter in its own scale."""
    if not right.is_floating_point():
        return torch.equal(found, right)
    whole, pairs = _largest(right), [(found, right)]
    if right.shape[1:] == (workload.width,):
        pairs = list(zip(*(views(one, workload.segments).values() for one in (found, right)), strict=True))
    for one, other in pairs:
        allowed = TOLERANCE * _largest(other) + _FLOOR * whole
        same = ((one - other).abs() <= allowed) | (one == other) | (one.isnan() & other.isnan())
        if not bool(same.all()):
            return False
    return True


def _equal(one: Tensor, other: Tensor) -> bool:
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def _largest(x: Tensor) -> float:
    finite = x[x.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


class Plain:
    """The task's model, trained in plain torch by a loop that knows nothing of stacks.

    Args:
        workload: The task.
        start: Initial weights ``[W]``.
    """

    def __init__(self, workload: Workload, start: Tensor) -> None:
        self.workload, self.model = workload, workload.built(SEED)
        named = dict(self.model.named_parameters())
        self.weights = {segment.name: named[segment.name] for segment in workload.segments}
        with torch.no_grad():
            for name, value in views(start.unsqueeze(0), workload.segments).items():
                self.weights[name].copy_(value[0])
        self._kept, self._before = kept_in_evaluation(self.model), _states(self.model)

    def changed(self) -> str | None:
        """What the model keeps besides the values of weights and buffers and has changed since it was built."""
        now = _states(self.model)
        names = [*now, *(name for name in self._before if name not in now)]
        return next((name for name in names if now.get(name, [])[:1] != self._before.get(name, [])[:1]), None)

    @property
    def theta(self) -> Tensor:
        return self._flat({name: weight.detach() for name, weight in self.weights.items()})

    @property
    def grad(self) -> Tensor:
        return self._flat({name: weight.grad for name, weight in self.weights.items() if weight.grad is not None})

    @property
    def buffers(self) -> dict[str, Tensor]:
        return {name: buffer.unsqueeze(0) for name, buffer in self.model.named_buffers()}

    def _flat(self, values: dict[str, Tensor]) -> Tensor:
        flat = torch.zeros(1, self.workload.width, device=self.workload.device, dtype=self.workload.dtype)
        for name, view in views(flat, self.workload.segments).items():
            if name in values:
                view.copy_(values[name])
        return flat

    def outputs(self, x: Tensor) -> Tensor:
        """Outputs ``[1, ..., B]`` in evaluation mode."""
        with torch.no_grad(), self._told(len(x)):
            return self.model.eval()(x.clone()).movedim(0, -1).unsqueeze(0)

    def losses_and_grad(self, seed: int, step: int) -> Tensor:
        """The loss ``[1]`` of a batch in training mode; leaves its gradients in the weights."""
        x, y = self.workload.batch(seed, step)
        for weight in self.weights.values():
            weight.grad = None
        with torch.enable_grad(), self._told(len(x)):
            with seeded(self.workload.draw(seed, step), self.workload.device):
                turn(self.model, self._kept, train=True)
                output = self.model(x.clone())
            loss = _mean_loss(self.workload.task, output, y)
            loss.backward()
        return loss.detach().unsqueeze(0)

    @contextlib.contextmanager
    def _told(self, count: int) -> Iterator[None]:
        """Say what fails, as an error of the task's."""
        try:
            yield
        except Exception as error:
            task, size = self.workload.task, self.workload.train_size
            reason = textwrap.shorten(one_line(error), 200, placeholder=" …")
            if count >= min(task.batch, size):
                raise UserError(f"task {task.name!r}: a training step fails in plain torch too: {reason}") from error
            raise UserError(
                f"task {task.name!r}: the model fails on the last batch of an epoch, which has {count} of {size} "
                f"samples: {reason}: give a batch that leaves more or none, such as batch={_fuller(size, task.batch)}"
            ) from error

    def descend(self, rate: float) -> None:
        with torch.no_grad():
            for weight in self.weights.values():
                if weight.grad is not None:
                    weight -= rate * weight.grad


def _states(model: nn.Module) -> dict[str, list[Any]]:
    """All that a module keeps in Python: which tensors its weights and buffers are, and its other attributes.

    Each with the object itself, which therefore lives on: another one cannot have its address.
    """
    found: dict[str, list[Any]] = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        for name, value in (*vars(module).items(), *module._parameters.items(), *module._buffers.items()):
            if name != "training" and not (name.startswith("_") and isinstance(value, dict)):
                found[f"{path}.{name}".strip(".")] = [_state(value), value]
    return found


def _state(value: Any, depth: int = 3) -> Any:
    if isinstance(value, bool | int | float | str | None):
        return value
    if depth and isinstance(value, list | tuple | set | dict):
        inner = [*value, *value.values()] if isinstance(value, dict) else list(value)
        return [_state(one, depth - 1) for one in inner]
    return id(value), getattr(value, "requires_grad", None)


def _fuller(size: int, batch: int) -> int:
    """The next smaller batch that leaves more samples for the last batch than ``batch`` does, or none."""
    left = size % batch
    return next((other for other in range(batch - 1, 1, -1) if size % other == 0 or size % other > left), size)


def _mean_loss(task: Task, output: Tensor, target: Tensor) -> Tensor:
    if not isinstance(task.loss, str):
        return task.loss(output, target).mean()
    return {"cross_entropy": functional.cross_entropy, "mse": functional.mse_loss}[task.loss](output, target)

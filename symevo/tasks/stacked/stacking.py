"""How the rows of a chunk are trained as one model: three ways behind one interface.

A row is one candidate optimizer's copy of the model. All rows of a chunk see the same batch, or each one of its
own; their weights are the rows of one flat tensor ``theta [R, W]``, their gradients the rows of ``grad [R,
W]``. Each parameter starts at a multiple of 16 elements there (`symevo.tasks.stacked.layers` says why); the few
elements between are 0, and their gradients too.

- ``products``: a Sequential of known layers as batched matrix products, backward pass written out. Fastest
  for small nets on a CPU.
- ``vmap``: any module, by ``torch.func.functional_call`` under ``vmap``.
- ``single``: any module, one row: the user's module itself, whose weights are views into ``theta``. Fastest
  for large nets on a CPU.

Which one is used is a setting of a run: they agree up to rounding only. Within one of them the bits of a row
do not depend on the other rows or on their number. Whether a model may be stacked at all is found out by
`symevo.tasks.stacked.by_hand`, which compares with the same training in plain torch.

Linear maps and convolutions as one product per row, wherever a module under ``vmap`` calls them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from symevo.errors import UserError
from symevo.registry import Registry
from symevo.tasks.stacked.layers import ALIGNMENT, LAYERS, Layer, Masks, rounded, segments_of, views, width_of


class RowProducts(TorchFunctionMode):
    """Compute ``linear`` and ``conv2d`` by ``bmm`` while it is active.

    Under ``vmap`` torch may fold the rows of a ``linear`` into one large product, and makes a ``conv2d`` a grouped
    convolution. The bits of both depend on the number of rows; those of a ``bmm`` per row do not.

    Calls are replaced instead of layers, so the user's module stays what it is: its layers keep their types,
    attributes and hooks, and ``torch.nn.functional`` called in its ``forward`` is covered too.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))


def _widened(x: Tensor, *, rows: bool) -> Tensor:
    """A matrix, its columns filled up with zeros to a multiple of `ALIGNMENT`; with ``rows`` its rows too.

    Then every matrix of a stack of them is aligned alike, which its products' bits depend on.
    """
    return functional.pad(x, (0, -x.shape[-1] % ALIGNMENT, 0, -x.shape[-2] % ALIGNMENT if rows else 0))


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``functional.linear``: input ``[..., in]``, weight ``[out, in]``."""
    if weight.dim() != 2:
        return functional.linear(input, weight, bias)
    samples = _widened(input.reshape(-1, input.shape[-1]), rows=False)
    y = torch.bmm(samples.unsqueeze(0), _widened(weight, rows=True).t().unsqueeze(0))
    y = y[0, :, : weight.shape[0]].reshape(*input.shape[:-1], weight.shape[0])
    return y if bias is None else y + bias


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """``functional.conv2d``, by unfolding where it is plain: images ``[B, C, H, W]``, one group, no dilation."""
    if isinstance(padding, str) or groups != 1 or _pair(dilation) != (1, 1) or input.dim() != 4:
        return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)
    (kh, kw), (ph, pw), (sh, sw) = weight.shape[2:], _pair(padding), _pair(stride)
    height = (input.shape[2] + 2 * ph - kh) // sh + 1
    width = (input.shape[3] + 2 * pw - kw) // sw + 1
    columns = functional.unfold(input, (kh, kw), padding=(ph, pw), stride=(sh, sw)).transpose(0, 1)
    columns = _widened(columns.reshape(columns.shape[0], -1), rows=True)
    y = torch.bmm(_widened(weight.flatten(1), rows=True).unsqueeze(0), columns.unsqueeze(0))
    y = y[0, : weight.shape[0], : input.shape[0] * height * width]
    y = y.reshape(-1, input.shape[0], height, width).transpose(0, 1)
    return y if bias is None else y + bias.view(-1, 1, 1)


def _pair(value: Any) -> tuple[int, int]:
    """One number for both directions, or one each."""
    first, *more = value if isinstance(value, Sequence) else (value,)
    return first, (more or [first])[0]


_REPLACED: Mapping[Callable[..., Any], Callable[..., Any]] = {functional.linear: _linear, functional.conv2d: _conv2d}


class Stack(Protocol):
    """A stacked model on buffers of its own.

    Attributes:
        random: Whether a training pass draws random numbers (so that a seed must be given).
        theta: Weights ``[R, W]``; whoever trains changes them in place.
        grad: Gradients ``[R, W]``, filled by `gradient`.
        buffers: What the model keeps besides weights (running statistics), by name, each ``[R, ...]``.
    """

    random: bool
    theta: Tensor
    grad: Tensor
    buffers: dict[str, Tensor]

    def __init__(self, model: nn.Module, rows: int) -> None:
        """Lays out ``rows`` copies of ``model``, on its device, in its dtype, and leaves ``model`` as it is."""
        ...

    @staticmethod
    def obstacle(model: nn.Module, x: Tensor) -> str | None:
        """Why ``model``, built for this, cannot be stacked this way on inputs like ``x [B, ...]``; None if it can."""
        ...

    def restart(self, model: nn.Module) -> None:
        """Begins a training of ``model``, which was built for it and is the stack's from now on.

        Every row takes its buffers and its frozen weights; the caller fills ``theta``.
        """
        ...

    def outputs(self, x: Tensor, *, seed: int | None) -> Tensor:
        """Inputs ``x [1, B, ...]``, shared by all rows, or ``[R, B, ...]`` -> outputs ``[R, ..., B]``.

        With a seed in training mode, its randomness drawn from that seed; `gradient` may then be called once.
        Without one (None) in evaluation mode.
        """
        ...

    def gradient(self, d_outputs: Tensor) -> None:
        """Fills ``grad`` from the derivative ``[R, ..., B]`` of the loss with respect to the outputs."""
        ...


STACKINGS: Registry[type[Stack]] = Registry("stacking")


def _stacked_buffers(model: nn.Module, rows: int) -> dict[str, Tensor]:
    return {name: b.detach().expand(rows, *b.shape).clone() for name, b in model.named_buffers()}


def _leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers of a (nested) Sequential in order, each with the prefix of its parameters' names."""
    if type(model) is nn.Sequential:
        # Not named_children: it passes over a module that stands there a second time, such as one shared
        # ReLU.
        for name, child in model._modules.items():
            yield from _leaves(child, f"{prefix}{name}.")
    else:
        yield prefix, model


@STACKINGS.register("products")
class Products:
    """A Sequential of the layers in `symevo.tasks.stacked.layers`, forward and backward as batched products."""

    def __init__(self, model: nn.Module, rows: int) -> None:
        segments = segments_of(model)
        like = next(p for p in model.parameters() if p.requires_grad)
        # One row alone gets a companion: torch has other kernels for a single product with a vector.
        self._rows, padded = rows, max(2, rows)
        theta = like.new_zeros(padded, width_of(segments), requires_grad=False)
        grad = torch.zeros_like(theta)
        self.theta, self.grad = theta[:rows], grad[:rows]
        self._buffers = _stacked_buffers(model, padded)
        self.buffers = {name: b[:rows] for name, b in self._buffers.items()}
        self._masks = Masks(like.device, like.dtype)
        self._layers: list[Layer] = []
        for prefix, module in _leaves(model):
            layer = LAYERS[type(module)][0](module)
            weights, grads, buffers = (
                {name[len(prefix) :]: view for name, view in found.items() if name.startswith(prefix)}
                for found in (views(theta, segments), views(grad, segments), self._buffers)
            )
            layer.bind(weights, grads, buffers)
            self._layers.append(layer)
        self._first = next(i for i, layer in enumerate(self._layers) if layer.weighted)
        self.random = _draws(model)

    @staticmethod
    def obstacle(model: nn.Module, x: Tensor) -> str | None:
        if any(type(module) is nn.Sequential and not _plain(module) for module in model.modules()):
            return "a Sequential has hooks, or a forward of its own"
        if kept_in_evaluation(model):
            return "some of its layers are in evaluation mode"
        model.eval()
        seen: set[int] = set()
        for _, module in _leaves(model):
            layer, can = LAYERS.get(type(module), (None, None))
            if layer is None or can is None:
                return f"{type(module).__name__} is not among {', '.join(sorted(k.__name__ for k in LAYERS))}"
            if not can(module):
                return f"{module} has settings that are not supported"
            if not _plain(module):
                return f"{type(module).__name__} has hooks, or a forward of its own"
            if id(module) in seen and layer.weighted:
                return f"{type(module).__name__} is used twice"
            seen.add(id(module))
            if x.dim() != layer.dims and layer.dims:
                return f"{type(module).__name__} gets inputs of {x.dim()} dimensions instead of {layer.dims}"
            x = module(x)
        parameters = [p for _, m in _leaves(model) for p in m.parameters(recurse=False)]
        if not parameters or not all(p.requires_grad for p in parameters):
            return "it has no weights, or frozen ones"
        return "two layers share weights" if len({id(p) for p in parameters}) < len(parameters) else None

    def restart(self, model: nn.Module) -> None:
        for name, initial in model.named_buffers():
            self._buffers[name].copy_(initial)

    def outputs(self, x: Tensor, *, seed: int | None) -> Tensor:
        if seed is not None and self.random:
            self._masks.seed(seed)
        # A leading axis of 1 is shared by all rows until the first layer with weights.
        activation = x.movedim(1, -1)
        for layer in self._layers:
            activation = layer.forward(activation, train=seed is not None, mask=self._masks)
        return activation[: self._rows]

    def gradient(self, d_outputs: Tensor) -> None:
        if self._rows == 1:
            d_outputs = torch.cat([d_outputs, torch.zeros_like(d_outputs)])
        for index in range(len(self._layers) - 1, self._first - 1, -1):
            d_outputs = self._layers[index].backward(d_outputs, need_dx=index > self._first)


_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_post_accumulate_grad_hooks",
)  # fmt: skip


def hooked(one: nn.Module | nn.Parameter) -> bool:
    """Whether a module or a weight has hooks that run in a training step."""
    return any(getattr(one, name, None) for name in _HOOKS)


def _plain(module: nn.Module) -> bool:
    """Whether a module computes what its class does, from weights that are what they seem."""
    own = [p for p in module._parameters.values() if p is not None]
    return (
        "forward" not in vars(module)
        and not hooked(module)
        and not any(hooked(p) or type(p) is not nn.Parameter for p in own)
    )


@contextlib.contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for what a module draws, and put them back afterwards; None: do neither."""
    if seed is None:
        yield
    elif device.type == "cpu":  # fork_rng takes 70 times as long: it visits every kind of device
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_rng_state(before)
    else:
        with torch.random.fork_rng(devices=[device], device_type=device.type):
            torch.manual_seed(seed)
            yield


def kept_in_evaluation(model: nn.Module) -> list[nn.Module]:
    """The layers that a model in training mode has in evaluation mode, such as batch normalisation that is frozen."""
    return [module for module in model.modules() if not module.training] if model.training else []


def turn(model: nn.Module, kept: list[nn.Module], *, train: bool) -> None:
    """Switch between training and evaluation mode; what was built in evaluation mode stays there."""
    if model.training != train:
        model.train(train)
        for module in kept:
            module.eval()


class _Steady:
    """Weights that get a gradient in one step of a training must get one in each.

    Torch's optimizers leave a weight without a gradient alone in that step, and its memory too. A rule that trains
    all weights of a row together would take the gradient as 0, and memory would differ from then on.
    """

    def __init__(self) -> None:
        self._before: set[str] | None = None

    def fill(self, grads: Mapping[str, Tensor], found: Sequence[Tensor | None]) -> None:
        """Takes over the gradients of one step, 0 for a weight that has none."""
        missing = {name for name, value in zip(grads, found, strict=True) if value is None}
        before = missing if self._before is None else self._before
        self._before = missing
        if missing != before:
            name = min(missing ^ before)
            raise UserError(
                f"weight {name!r} gets a gradient in some steps and none in others, and symevo moves all weights in "
                "each step: let the model use it each time, if only multiplied by 0"
            )
        for grad, value in zip(grads.values(), found, strict=True):
            if value is None:
                grad.zero_()
            else:
                grad.copy_(value)


def _draws(model: nn.Module) -> bool:
    """Whether training passes may draw random numbers: unless all of the modules are known, they may."""
    calm = {kind for kind in LAYERS if kind is not nn.Dropout} | {nn.Sequential}
    return not all(type(module) in calm and _plain(module) for module in model.modules())


@STACKINGS.register("vmap")
class Vmap:
    """Any module, by ``functional_call`` under ``vmap``.

    The number of rows is rounded up inside to a multiple of 32, two vectors of the widest CPU registers: some
    element-wise kernels (sigmoid, pow) compute what is left over at the end of a tensor by another formula,
    and a row's bits would depend on whether it lies there.
    """

    def __init__(self, model: nn.Module, rows: int) -> None:
        like = next(p for p in model.parameters() if p.requires_grad)
        self._device = like.device
        self._model, self._kept, self._steady = model, kept_in_evaluation(model), _Steady()
        self.random = _draws(model)
        segments = segments_of(model)
        padded = rounded(rows, 32)
        self._theta = like.new_zeros(padded, width_of(segments), requires_grad=False)
        grad = torch.zeros_like(self._theta)
        self.theta, self.grad = self._theta[:rows], grad[:rows]
        self._weights = {n: v.detach().requires_grad_() for n, v in views(self._theta, segments).items()}
        self._grads = views(grad, segments)
        self._buffers = _stacked_buffers(model, padded)
        self.buffers = {name: b[:rows] for name, b in self._buffers.items()}
        self._rows, self._padded = rows, padded
        self._outputs: Tensor | None = None

    @staticmethod
    def obstacle(model: nn.Module, x: Tensor) -> str | None:
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            return "it has scripted modules"
        # The weights of the rows take the place of the module's own, and have no hooks.
        return next((f"weight {name!r} has hooks" for name, one in model.named_parameters() if hooked(one)), None)

    def restart(self, model: nn.Module) -> None:
        self._model, self._kept, self._steady = model, kept_in_evaluation(model), _Steady()
        self._theta[self._rows :] = self._theta[:1]
        for name, initial in model.named_buffers():
            self._buffers[name].copy_(initial)

    def _call(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(self._model, (weights, buffers), (x,))

    def outputs(self, x: Tensor, *, seed: int | None) -> Tensor:
        train = seed is not None
        turn(self._model, self._kept, train=train)
        own = len(x) > 1
        # A module may write into its inputs, so they are always copies.
        x = torch.cat([x, x[:1].expand(self._padded - len(x), *x.shape[1:])]) if own else x[0].clone()
        run = torch.func.vmap(self._call, in_dims=(0, 0, 0 if own else None), randomness="same")
        with torch.set_grad_enabled(train), seeded(seed if self.random else None, self._device), RowProducts():
            outputs = run(self._weights, self._buffers, x)[: self._rows].movedim(1, -1)
        self._outputs = outputs if train else None
        return outputs.detach()

    def gradient(self, d_outputs: Tensor) -> None:
        assert self._outputs is not None, "a training pass comes first"
        found = torch.autograd.grad(self._outputs, list(self._weights.values()), d_outputs, allow_unused=True)
        self._outputs = None
        self._steady.fill(self._grads, found)


@STACKINGS.register("single")
class Single:
    """Any module, one row: the user's module as it is, with weights that live in ``theta``."""

    def __init__(self, model: nn.Module, rows: int) -> None:
        if rows != 1:
            raise UserError(f"stacking 'single' trains one row at a time, not {rows}")
        like = next(p for p in model.parameters() if p.requires_grad)
        self.random = _draws(model)
        self._segments = segments_of(model)
        self.theta = like.new_zeros(1, width_of(self._segments), requires_grad=False)
        self.grad = torch.zeros_like(self.theta)
        self._model, self._kept, self._steady = model, kept_in_evaluation(model), _Steady()
        self._frozen: list[tuple[str, nn.Parameter]] = []
        self._weights: list[tuple[nn.Parameter, Tensor]] = []  # each with its view into theta
        self._grads = {name: view[0] for name, view in views(self.grad, self._segments).items()}
        self._outputs: Tensor | None = None

    @staticmethod
    def obstacle(model: nn.Module, x: Tensor) -> str | None:
        return None

    @property
    def buffers(self) -> dict[str, Tensor]:
        """The module's own buffers; a module may have put new ones in their place."""
        return {name: buffer.unsqueeze(0) for name, buffer in self._model.named_buffers()}

    def restart(self, model: nn.Module) -> None:
        self._model, self._kept, named = model, kept_in_evaluation(model), dict(model.named_parameters())
        self._steady = _Steady()
        self._frozen = [(name, weight) for name, weight in named.items() if not weight.requires_grad]
        self._weights = [(named[name], view[0]) for name, view in views(self.theta, self._segments).items()]
        for weight, view in self._weights:
            weight.data = view

    def outputs(self, x: Tensor, *, seed: int | None) -> Tensor:
        train = seed is not None
        turn(self._model, self._kept, train=train)
        with torch.set_grad_enabled(train), seeded(seed if self.random else None, self.theta.device):
            # A module may write into its inputs, so they are always a copy.
            outputs = self._model(x[0].clone()).movedim(0, -1).unsqueeze(0)
        self._outputs = outputs if train else None
        if not train:
            self._settle()
        return outputs.detach()

    def gradient(self, d_outputs: Tensor) -> None:
        assert self._outputs is not None, "a training pass comes first"
        for name, weight in self._frozen:
            if weight.requires_grad:
                raise UserError(f"weight {name!r} is frozen at first and not later, which no stacking can follow")
        for weight, _ in self._weights:
            weight.grad = None
        self._outputs.backward(d_outputs)  # not autograd.grad, which passes over some hooks
        self._outputs = None
        self._steady.fill(self._grads, [weight.grad for weight, _ in self._weights])
        for weight, _ in self._weights:
            weight.grad = None
        self._settle()

    def _settle(self) -> None:
        """Take over weights that the module has put elsewhere, as ``weight.data = ...`` in a forward does."""
        for weight, view in self._weights:
            if weight.data_ptr() != view.data_ptr():
                view.copy_(weight.data)
                weight.data = view

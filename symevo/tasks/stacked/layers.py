"""Layers of stacked models: each knows its products forward and backward, for all rows at once.

Activations are *feature-major*: ``[R, features, B]`` or ``[R, C, H, W, B]``, rows first and the batch innermost. A
leading axis of 1 is an activation that all rows still share (the input, up to the first layer with weights).

Two reasons for writing the backward pass out instead of asking autograd: it costs a fifth less time at this
size of net, and weight gradients go straight into the flat gradient buffer.

Sameness: weights meet activations in ``bmm``/``baddbmm`` only, one product per row, and every sum stays
within a row. So the bits of a row do not depend on the other rows. One large product over all rows would be a
little faster and would break this. It takes one thing more: MKL sums in another order when a matrix starts at
another alignment. Therefore every operand and result of a product, in every row, starts at a multiple of 64
bytes (`aligned_empty`). Measured on 3,024 products of small and odd shapes, chunks of 3 to 100 rows: 132 had
bits that depend on the row's position otherwise, none with it. A single row differs where a product is with a
vector, which `Products` avoids by never running one row alone.

Where the parameters of a model lie in one flat row of weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.native.cache import CACHE_LINE
from symevo.rules.backends.layout import Segment

# Draws a dropout mask: (shape of one sample, batch size, probability) -> [B, *shape].
MaskSource = Callable[[torch.Size, int, float], Tensor]


class Masks:
    """Dropout masks from a private generator on the CPU, so that they are the same on every device.

    A mask is drawn in the layout ``[B, *shape of a sample]`` whatever the layout of the activation: it is the mask
    that ``nn.Dropout`` of a plain model draws when torch is seeded alike.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.generator = torch.Generator()
        self.device, self.dtype = device, dtype

    def seed(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    def __call__(self, shape: torch.Size, batch: int, probability: float) -> Tensor:
        """``[B, *shape]``: 0 with ``probability``, else 1 / (1 − probability)."""
        keep = 1.0 - probability
        mask = torch.empty(batch, *shape, dtype=self.dtype).bernoulli_(keep, generator=self.generator)
        return mask.div_(keep or 1.0).to(self.device)


ALIGNMENT = CACHE_LINE // torch.float32.itemsize  # elements


def aligned_empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """An uninitialised tensor ``[R, ...]`` whose rows start at multiples of `ALIGNMENT` elements."""
    count = math.prod(shape[1:])
    return like.new_empty(shape[0], rounded(count, ALIGNMENT))[:, :count].unflatten(1, shape[1:])


class Layer:
    """One layer without weights; subclasses with weights read the views that `bind` hands them.

    ``forward`` keeps what ``backward`` needs when ``train`` is set; ``backward`` may overwrite what it is given.
    """

    weighted = False
    dims = 0  # dimensions of the module's input [B, ...]; 0: any

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module
        self.saved: Any = None
        self._spaces: dict[tuple[str | int, ...], Tensor] = {}

    def space(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """An uninitialised aligned tensor (see `aligned_empty`) that is the same memory at each step.

        Large tensors that are allocated anew at each step cost page faults: for small convolutions these took
        more time than the products.
        """
        key = (name, *shape)
        if key not in self._spaces:
            if len(self._spaces) > 24:  # shapes of a full and of a last batch, in training and evaluation
                self._spaces.clear()
            self._spaces[key] = aligned_empty(shape, like)
        return self._spaces[key]

    def aligned(self, name: str, x: Tensor) -> Tensor:
        """``x``, copied if its rows are not aligned; one row too, so that its layout is that of a row among many."""
        if x.stride(0) % ALIGNMENT == 0:
            return x
        return self.space(name, x.shape, x).copy_(x)

    def bind(self, weights: dict[str, Tensor], grads: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
        """Takes the views of this layer's parameters, gradients and buffers, each with a leading row axis."""

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        raise NotImplementedError

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        """Fills this layer's gradients; returns that of its input (anything when ``need_dx`` is off)."""
        raise NotImplementedError


# The type of a module -> (its stacked layer, whether the settings of that module are among those it can do).
LAYERS: dict[type[nn.Module], tuple[type[Layer], Callable[[Any], bool]]] = {}


def layer_for(kind: type[nn.Module], can: Callable[[Any], bool] = lambda module: True) -> Callable[[Any], Any]:
    """Registers the decorated class as the stacked form of modules of exactly the type ``kind``."""

    def add(layer: type[Layer]) -> type[Layer]:
        if kind in LAYERS:
            raise UserError(f"layer {kind.__name__!r} is registered already")
        LAYERS[kind] = (layer, can)
        return layer

    return add


@layer_for(nn.Linear)
class Linear(Layer):
    """y = W x + b with W ``[R, out, in]``, x ``[R, in, B]``."""

    weighted = True
    dims = 2

    def bind(self, weights: dict[str, Tensor], grads: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
        # A matrix for each row; flatten(2) of a strided view is a view, so out= fills the gradient in place.
        self.weight, self.d_weight = weights["weight"].flatten(2), grads["weight"].flatten(2)
        self.bias, self.d_bias = weights.get("bias"), grads.get("bias")
        self.rows = self.weight.shape[0]

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        x = self.aligned("x", x).expand(self.rows, -1, -1)
        self.saved = x if train else None
        return self.product(x)

    def product(self, x: Tensor) -> Tensor:
        """W x + b for columns ``x [R, in, n]``."""
        y = self.space("y", (self.rows, self.weight.shape[1], x.shape[2]), x)
        if self.bias is None:
            return torch.bmm(self.weight, x, out=y)
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, x, out=y)

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        return self.product_backward(self.aligned("dy", dy), self.saved, need_dx=need_dx)

    def product_backward(self, dy: Tensor, x: Tensor, *, need_dx: bool) -> Tensor:
        """Fills the gradients of W and b; returns that of the columns."""
        torch.bmm(dy, x.transpose(1, 2), out=self.d_weight)
        if self.d_bias is not None:
            torch.sum(dy, 2, out=self.d_bias)
        return torch.bmm(self.weight.transpose(1, 2), dy, out=self.space("dx", x.shape, dy)) if need_dx else dy


@layer_for(nn.ReLU)
class ReLU(Layer):
    """max(x, 0); NaN stays NaN."""

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        y = torch.clamp_min(x, 0, out=self.space("y", x.shape, x))  # relu has no out=
        self.saved = y if train else None
        return y

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        return torch.ops.aten.threshold_backward.grad_input(dy, self.saved, 0, grad_input=dy)


@layer_for(nn.Tanh)
class Tanh(Layer):
    """tanh x, with derivative 1 − tanh² x."""

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        y = torch.tanh(x)
        self.saved = y if train else None
        return y

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        return torch.ops.aten.tanh_backward.grad_input(dy, self.saved, grad_input=dy)


@layer_for(nn.Flatten, lambda module: (module.start_dim, module.end_dim) == (1, -1))
class Flatten(Layer):
    """All features of a sample in one axis, in torch's order."""

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        self.saved = x.shape if train else None
        return x if x.dim() == 3 else x.flatten(1, -2)

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        return dy.view(-1, *self.saved[1:])


@layer_for(nn.Dropout)
class Dropout(Layer):
    """One mask for all rows: its shape has no row axis, so it cannot depend on how many there are."""

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        self.saved = None
        if not train or self.module.p == 0:
            return x
        self.saved = mask(x.shape[1:-1], x.shape[-1], self.module.p).movedim(0, -1).contiguous()
        return x * self.saved

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        return dy if self.saved is None else dy.mul_(self.saved)


def _plain_convolution(module: nn.Conv2d) -> bool:
    """Whether unfolding with zeros around the image gives this convolution."""
    return (
        module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


@layer_for(nn.Conv2d, _plain_convolution)
class Conv2d(Linear):
    """A convolution as one product per row: W ``[R, out, C·kh·kw]`` times the unfolded input."""

    dims = 4
    saved: Any
    _bordered: Tensor | None = None

    def _windows(self, padded: Tensor) -> Tensor:
        """``[R, C, H, W, B]`` -> a view ``[R, C, kh, kw, H', W', B]``."""
        (kh, kw), (sh, sw) = self.module.kernel_size, self.module.stride
        return padded.unfold(2, kh, sh).unfold(3, kw, sw).permute(0, 1, 5, 6, 2, 3, 4)

    def _padded(self, x: Tensor) -> Tensor:
        """``x`` inside a border of zeros; the border is written once per shape."""
        rows, channels, height, width, batch = x.shape
        ph, pw = self.module.padding
        if not (ph or pw):
            return x
        shape = (rows, channels, height + 2 * ph, width + 2 * pw, batch)
        if self._bordered is None or self._bordered.shape != shape:
            self._bordered = x.new_zeros(shape)
        self._bordered[:, :, ph : ph + height, pw : pw + width] = x
        return self._bordered

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        windows = self._windows(self._padded(x))
        out_shape = windows.shape[4:]
        columns = self.space("columns", windows.shape, x).copy_(windows)
        columns = columns.flatten(4).flatten(1, 3).expand(self.rows, -1, -1)
        self.saved = (columns, x.shape, out_shape) if train else None
        return self.product(columns).unflatten(2, out_shape)

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        columns, shape, out_shape = self.saved
        found = self.product_backward(self.aligned("dy", dy).flatten(2), columns, need_dx=need_dx)
        return self._fold(found, shape, out_shape) if need_dx else found

    def _fold(self, columns: Tensor, shape: torch.Size, out_shape: torch.Size) -> Tensor:
        """The adjoint of `_windows`: adds every window back to where it was read."""
        (kh, kw), (sh, sw), (ph, pw) = self.module.kernel_size, self.module.stride, self.module.padding
        _, channels, height, width, batch = shape
        padded = self.space("dx", (self.rows, channels, height + 2 * ph, width + 2 * pw, batch), columns).zero_()
        windows = columns.unflatten(2, out_shape).unflatten(1, (channels, kh, kw))
        for i in range(kh):
            for j in range(kw):
                padded[:, :, i : i + sh * out_shape[0] : sh, j : j + sw * out_shape[1] : sw] += windows[:, :, i, j]
        return padded[:, :, ph : ph + height, pw : pw + width]


@layer_for(nn.BatchNorm2d)
class BatchNorm2d(Layer):
    """Batch normalisation with statistics of its own for every row (over the batch and the pixels)."""

    weighted = True
    dims = 4

    def bind(self, weights: dict[str, Tensor], grads: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
        self.weight, self.bias = weights.get("weight"), weights.get("bias")
        self.d_weight, self.d_bias = grads.get("weight"), grads.get("bias")
        self.mean, self.variance = buffers.get("running_mean"), buffers.get("running_var")
        self.count = buffers.get("num_batches_tracked")
        self.rows = next(iter((weights or buffers or {"": torch.empty(1)}).values())).shape[0]

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        x = x.expand(self.rows, -1, -1, -1, -1)
        # Rows × channels take the place of the channels: one fused call normalises them all.
        flat = x.reshape(1, -1, x.shape[2:].numel())
        use_batch = train or self.mean is None
        momentum = self.module.momentum
        if train and self.count is not None:
            self.count += 1
            momentum = 1.0 / float(self.count[0]) if momentum is None else momentum
        # The running statistics are contiguous, so their flat forms are views and are updated in place.
        y, mean, scale = torch.ops.aten.native_batch_norm(
            flat, _flat(self.weight), _flat(self.bias), _flat(self.mean), _flat(self.variance),
            use_batch, momentum or 0.0, self.module.eps,
        )  # fmt: skip
        self.saved = (flat, mean, scale) if train else None
        return y.view(x.shape)

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        flat, mean, scale = self.saved
        wanted = [need_dx, self.weight is not None, self.bias is not None]
        dx, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            dy.reshape(flat.shape), flat, _flat(self.weight), _flat(self.mean), _flat(self.variance),
            mean, scale, True, self.module.eps, wanted,
        )  # fmt: skip
        if self.d_weight is not None and self.d_bias is not None:
            self.d_weight.copy_(d_weight.view(self.rows, -1))
            self.d_bias.copy_(d_bias.view(self.rows, -1))
        return dx.view(dy.shape) if need_dx else dy


def _flat(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.reshape(-1)


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _tiles(module: Any) -> bool:
    """Windows that neither overlap nor leave gaps nor reach outside: kernel = stride, no padding."""
    return (
        _pair(module.kernel_size) == _pair(module.stride)
        and _pair(module.padding) == (0, 0)
        and _pair(getattr(module, "dilation", 1)) == (1, 1)
        and not module.ceil_mode
        and not getattr(module, "return_indices", False)
        and getattr(module, "divisor_override", None) is None
    )


def _cells(x: Tensor, kernel: tuple[int, int]) -> list[Tensor]:
    """The kh·kw views ``[R, C, H', W', B]`` that hold the same corner of every window, in reading order."""
    kh, kw = kernel
    height, width = x.shape[2] // kh * kh, x.shape[3] // kw * kw
    return [x[:, :, i:height:kh, j:width:kw] for i in range(kh) for j in range(kw)]


@layer_for(nn.MaxPool2d, _tiles)
class MaxPool2d(Layer):
    """The maximum of each window; of equal values the first in reading order gets the gradient."""

    dims = 4

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        first, *others = _cells(x, _pair(self.module.kernel_size))
        y = self.space("y", first.shape, x).copy_(first)
        for cell in others:
            torch.maximum(y, cell, out=y)
        self.saved = (x, y) if train else None
        return y

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        x, y = self.saved
        kernel = _pair(self.module.kernel_size)
        dx = self._blank(x, kernel)
        # Comparisons that write floats run in vector registers, those that write booleans do not.
        hit = self.space("hit", y.shape, y)
        left = self.space("left", y.shape, y).copy_(dy)
        for source, target in zip(_cells(x, kernel), _cells(dx, kernel), strict=True):
            torch.eq(source, y, out=hit)
            torch.mul(left, hit, out=target)
            left -= target  # dy until its first hit, 0 from then on
        return dx

    def _blank(self, x: Tensor, kernel: tuple[int, int]) -> Tensor:
        """Memory for the gradient of ``x``; the caller writes every window, the rest is 0."""
        dx = self.space("dx", x.shape, x)
        return dx if x.shape[2] % kernel[0] == 0 and x.shape[3] % kernel[1] == 0 else dx.zero_()


@layer_for(nn.AvgPool2d, _tiles)
class AvgPool2d(Layer):
    """The mean of each window."""

    dims = 4

    def forward(self, x: Tensor, *, train: bool, mask: MaskSource) -> Tensor:
        self.saved = x if train else None
        first, *others = _cells(x, _pair(self.module.kernel_size))
        y = first.clone()
        for cell in others:
            y += cell
        return y.div_(len(others) + 1)

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        kernel = _pair(self.module.kernel_size)
        dx = torch.zeros_like(self.saved)
        share = dy / (kernel[0] * kernel[1])
        for target in _cells(dx, kernel):
            target.copy_(share)
        return dx


def segments_of(model: nn.Module) -> tuple[Segment, ...]:
    """The trainable parameters of ``model`` in torch's order, each starting at a multiple of `ALIGNMENT`."""
    found, start = [], 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found.append(Segment(name, start, start + parameter.numel(), parameter.shape))
            start = rounded(start + parameter.numel(), ALIGNMENT)
    return tuple(found)


def width_of(segments: tuple[Segment, ...]) -> int:
    """W: the elements of a row, a multiple of `ALIGNMENT`; what lies between the segments is unused and 0."""
    return rounded(segments[-1].stop, ALIGNMENT)


def rounded(count: int, multiple: int) -> int:
    """``count``, up to the next multiple."""
    return -(-count // multiple) * multiple


def views(flat: Tensor, segments: tuple[Segment, ...]) -> dict[str, Tensor]:
    """Each parameter as a view ``[R, *shape]`` into ``flat [R, W]``."""
    return {s.name: flat[:, s.start : s.stop].unflatten(1, s.shape) if s.shape else flat[:, s.start] for s in segments}

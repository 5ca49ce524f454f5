"""Layers of stacked models for images: activations are ``[R, C, H, W, B]`` (see `symevo.tasks.stacked.layers`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from symevo.tasks.stacked.layers import Layer, MaskSource, layer_for


def _plain_convolution(module: nn.Conv2d) -> bool:
    """Whether unfolding with zeros around the image gives this convolution."""
    return (
        module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


@layer_for(nn.Conv2d, _plain_convolution)
class Conv2d(Layer):
    """A convolution as one product per row: W ``[R, out, C·kh·kw]`` times the unfolded input."""

    weighted = True
    dims = 4

    def bind(self, weights: dict[str, Tensor], grads: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
        self.weight = weights["weight"].flatten(2)
        self.d_weight = grads["weight"].flatten(2)
        self.bias, self.d_bias = weights.get("bias"), grads.get("bias")
        self.rows = self.weight.shape[0]
        self._bordered: Tensor | None = None

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
        y = self.space("y", (self.rows, self.weight.shape[1], out_shape.numel()), x)
        if self.bias is None:
            torch.bmm(self.weight, columns, out=y)
        else:
            torch.baddbmm(self.bias.unsqueeze(2), self.weight, columns, out=y)
        return y.unflatten(2, out_shape)

    def backward(self, dy: Tensor, *, need_dx: bool) -> Tensor:
        columns, shape, out_shape = self.saved
        dy = self.aligned("dy", dy).flatten(2)
        # The gradient buffer's rows are strided; flatten(2) of a view of it is a view, so out= fills it in
        # place.
        torch.bmm(dy, columns.transpose(1, 2), out=self.d_weight)
        if self.d_bias is not None:
            torch.sum(dy, 2, out=self.d_bias)
        if not need_dx:
            return dy
        d_columns = self.space("d_columns", columns.shape, dy)
        torch.bmm(self.weight.transpose(1, 2), dy, out=d_columns)
        return self._fold(d_columns, shape, out_shape)

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

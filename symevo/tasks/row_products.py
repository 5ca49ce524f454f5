"""Linear maps and convolutions as one product per row, wherever a module under ``vmap`` calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from symevo.tasks.layers import ALIGNMENT


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

"""Modules that stand in for torch's when a model runs under ``vmap`` or one row at a time."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from symevo.tasks.image_layers import plain_convolution
from symevo.tasks.layers import ALIGNMENT


class Masks:
    """Dropout masks from a private generator on the CPU, so that they are the same on every device.

    A mask is drawn in the layout ``[B, *shape of a sample]`` whatever the layout of the activation, so the
    ways of stacking agree on it, and with plain dropout under the same seed.
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


class MaskedDropout(nn.Module):
    """``nn.Dropout`` whose mask comes from `Masks` instead of the global generator."""

    def __init__(self, probability: float, masks: Masks) -> None:
        super().__init__()
        self.probability, self.masks = probability, masks

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        return x * self.masks(x.shape[1:], x.shape[0], self.probability)


def _widened(x: Tensor, *, rows: bool) -> Tensor:
    """A matrix, its columns filled up with zeros to a multiple of `ALIGNMENT`; with ``rows`` its rows too.

    Then every matrix of a stack of them is aligned alike, which its products' bits depend on.
    """
    return functional.pad(x, (0, -x.shape[-1] % ALIGNMENT, 0, -x.shape[-2] % ALIGNMENT if rows else 0))


class ProductLinear(nn.Module):
    """``nn.Linear`` as a ``bmm``.

    Under ``vmap`` it stays one product per row, where ``linear`` may fold the rows into one large product,
    whose bits depend on their number.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        samples = _widened(x.reshape(-1, x.shape[-1]), rows=False)
        y = torch.bmm(samples.unsqueeze(0), _widened(self.weight, rows=True).t().unsqueeze(0))
        y = y[0, :, : self.weight.shape[0]].reshape(*x.shape[:-1], self.weight.shape[0])
        return y if self.bias is None else y + self.bias


class ProductConv2d(nn.Module):
    """``nn.Conv2d`` as unfold and ``bmm``.

    Under ``vmap`` torch makes it a grouped convolution, whose weight gradients have bits that depend on the
    number of rows.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.settings: dict[str, Any] = {"padding": conv.padding, "stride": conv.stride}

    def forward(self, x: Tensor) -> Tensor:
        kernel = tuple(self.weight.shape[2:])
        (ph, pw), (sh, sw) = self.settings["padding"], self.settings["stride"]
        height = (x.shape[2] + 2 * ph - kernel[0]) // sh + 1
        width = (x.shape[3] + 2 * pw - kernel[1]) // sw + 1
        columns = functional.unfold(x, kernel, **self.settings).transpose(0, 1)
        columns = _widened(columns.reshape(columns.shape[0], -1), rows=True)
        y = torch.bmm(_widened(self.weight.flatten(1), rows=True).unsqueeze(0), columns.unsqueeze(0))
        y = y[0, : self.weight.shape[0], : x.shape[0] * height * width]
        y = y.reshape(-1, x.shape[0], height, width).transpose(0, 1)
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)


def prepared(model: nn.Module, masks: Masks, *, products: bool) -> nn.Module:
    """A copy of ``model`` with private dropout masks and, with ``products``, its linear layers as ``bmm``.

    Convolutions too. Only modules of exactly these types are replaced; a subclass may do anything, so it
    stays as it is. The names of the parameters do not change.
    """
    model = copy.deepcopy(model)

    def stand_in(module: nn.Module) -> nn.Module | None:
        if type(module) is nn.Dropout:
            return MaskedDropout(module.p, masks)
        if products and type(module) is nn.Linear:
            return ProductLinear(module)
        if products and type(module) is nn.Conv2d and plain_convolution(module):
            return ProductConv2d(module)
        return None

    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            replacement = None if child is None else stand_in(child)
            if replacement is not None:
                setattr(parent, name, replacement)
    return stand_in(model) or model

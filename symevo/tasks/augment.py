"""Augmentations: random changes to a training batch of images, drawn from a private generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from symevo.registry import Registry

# (x [B, C, H, W] on any device, a CPU generator) -> the changed images; labels are not seen, so they cannot
# change.
Augment = Callable[[Tensor, torch.Generator], Tensor]

AUGMENTS: Registry[Augment] = Registry("augmentation")


@dataclass(frozen=True)
class FlipCrop:
    """A horizontal flip with probability ½, then a crop of the image's own size out of its padded form.

    The draws are made on the CPU, so they are the same on every device; the pixels are gathered on the device
    of the batch in one indexing operation.

    Args:
        padding: Pixels added on each side; the crop moves by up to that many.
        fill: The padded value of each channel. Black of a normalised image is −mean/std, not 0.
    """

    padding: int = 4
    fill: tuple[float, ...] = (0.0,)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        count, channels, height, width = x.shape
        flip = torch.rand(count, generator=generator) < 0.5
        shift = torch.randint(0, 2 * self.padding + 1, (2, count), generator=generator)
        columns = torch.arange(width)
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
        # The flip comes after the crop here; both orders have the same distribution as the shift is
        # symmetric.
        columns = (columns + shift[1][:, None]).to(x.device)
        rows = (torch.arange(height) + shift[0][:, None]).to(x.device)
        padded = self._pad(x)
        sample = torch.arange(count, device=x.device)[:, None, None, None]
        channel = torch.arange(channels, device=x.device)[None, :, None, None]
        return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def _pad(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        p = self.padding
        fill = torch.tensor(self.fill, dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
        padded = fill.expand(count, channels, height + 2 * p, width + 2 * p).clone()
        padded[:, :, p : p + height, p : p + width] = x
        return padded


AUGMENTS.register("flip-crop", FlipCrop())

"""Networks that mix places: an MLP-Mixer for small images, and a transformer for text.

They are no Sequentials, so they are stacked by ``vmap``. Widths are multiples of 16 wherever a product has a choice,
which keeps the matrices of all rows aligned alike (`symevo.tasks.stacked.layers`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from symevo.tasks.zoo.models import mlp


class MixerBlock(nn.Module):
    """x + f(norm(x)) over the places of a channel, then over the channels of a place; x ``[B, places, channels]``."""

    def __init__(self, places: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm_places, self.norm_channels = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.places, self.channels = mlp(places, hidden, places), mlp(channels, hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places(self.norm_places(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021) with ReLU: square patches, blocks, the mean over places, a linear layer.

    Args:
        size: Pixels of a side of the image ``[B, 1, size, size]``; ``patch`` divides it.
        patch: Pixels of a side of a patch.
        channels: Width of a place.
        hidden: Width of the hidden layers.
        blocks: How many.
        classes: Outputs ``[B, classes]``.
    """

    def __init__(self, *, size: int, patch: int, channels: int, hidden: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.patch, count = patch, size // patch
        self.embed = nn.Linear(patch * patch, channels)
        self.blocks = nn.Sequential(*(MixerBlock(count * count, channels, hidden) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        tiles = x.squeeze(1).unflatten(1, (-1, self.patch)).unflatten(3, (-1, self.patch))  # [B, rows, p, columns, p]
        patches = tiles.transpose(2, 3).flatten(3).flatten(1, 2)
        return self.head(self.norm(self.blocks(self.embed(patches))).mean(1))


class Attention(nn.Module):
    """Causal self-attention: softmax(QKᵀ/√d + mask) V with d = width/heads; x ``[B, L, width]``.

    The mask is −∞ where a place would look at a later one (Vaswani et al. 2017).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [B, heads, L, d]
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).masked_fill(later, -torch.inf)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + f(norm(x)): normalised before, not after (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = Attention(width, heads), mlp(width, 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class Transformer(nn.Module):
    """A causal language model: characters ``[B, L]`` -> scores of the next one at each place, ``[B, symbols, L]``.

    Args:
        symbols: How many different characters there are.
        context: The largest L.
        width: Of a place.
        heads: Of the attention; divides ``width``.
        blocks: How many.
    """

    def __init__(self, symbols: int, *, context: int = 32, width: int = 32, heads: int = 2, blocks: int = 1) -> None:
        super().__init__()
        self.symbol, self.place = nn.Embedding(symbols, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, symbols)

    def forward(self, x: Tensor) -> Tensor:
        x = self.symbol(x) + self.place.weight[: x.shape[1]]
        return self.head(self.norm(self.blocks(x))).transpose(1, 2)

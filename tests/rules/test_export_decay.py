"""``split_decay`` of an exported file: what a parameter is decides, and not what a block around it is called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from export_files import module_of
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from symevo.rules.classic import CLASSICS
from symevo.rules.export.writer import source


class PreNorm(nn.Module):
    """A norm before whatever is inside."""

    def __init__(self, width: int, inside: nn.Module) -> None:
        super().__init__()
        self.norm, self.inside = nn.LayerNorm(width), inside


class NormFormer(nn.Module):
    """A whole model with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(9, 4), nn.Parameter(torch.zeros(1, 5, 4))
        self.blocks = nn.ModuleList([PreNorm(4, nn.MultiheadAttention(4, 2)), PreNorm(4, PreNorm(4, nn.Linear(4, 4)))])
        self.head = nn.Linear(4, 9)
        self.head.weight = self.embed.weight


class LlamaRMSNorm(nn.Module):
    """A user's norm."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))


class ChannelNorm2d(LlamaRMSNorm):
    """A user's norm of images, with a number a channel."""


class ConvNormAct(nn.Module):
    """A block as timm has it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)


class NormBlock(nn.Module):
    """Has a norm's name within its own, and a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(4, 4))


class Experts(nn.Module):
    """A layer whose bias has two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(2, 4, 4)), nn.Parameter(torch.zeros(2, 4))


class Odd(nn.LayerNorm):
    """A subclass that is not called a norm."""


class Twice(nn.Module):
    """Doubles a parameter."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def doubled() -> nn.Module:
    layer = nn.LayerNorm([2, 3])
    parametrize.register_parametrization(layer, "weight", Twice())
    return layer


def listed() -> nn.Module:
    return nn.ModuleDict({"norms": nn.ParameterList([nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4, 4))])})


CASES: dict[str, tuple[Any, list[str]]] = {
    "a wrapper": (lambda: PreNorm(8, nn.Linear(8, 8)), ["inside.weight"]),
    "a wrapper in a wrapper": (lambda: PreNorm(4, PreNorm(4, nn.Conv1d(4, 4, 1))), ["inside.inside.weight"]),
    "a model": (
        NormFormer,
        ["place", "embed.weight", "blocks.0.inside.in_proj_weight", "blocks.0.inside.out_proj.weight",
         "blocks.1.inside.inside.weight"],
    ),
    "a block of timm": (ConvNormAct, ["conv.weight"]),
    "a matrix": (NormBlock, ["mix"]),
    "a user's norm": (lambda: nn.Sequential(LlamaRMSNorm(8), nn.Linear(8, 8)), ["1.weight"]),
    "a user's norm of images": (lambda: nn.Sequential(ChannelNorm2d(1, 4, 1, 1), nn.Conv2d(4, 4, 1)), ["1.weight"]),
    "norms of torch": (
        lambda: nn.Sequential(
            nn.LayerNorm([2, 3]), nn.RMSNorm([2, 3]), nn.GroupNorm(2, 4), nn.BatchNorm3d(4), nn.SyncBatchNorm(4)
        ),
        [],
    ),
    "a subclass": (lambda: nn.Sequential(Odd([2, 3]), nn.Bilinear(2, 3, 4)), ["1.weight"]),
    "a parametrized norm": (doubled, []),
    "a parametrized matrix": (
        lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
        ["parametrizations.weight.original0", "parametrizations.weight.original1"],
    ),
    "a spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 4)), ["parametrizations.weight.original"]),
    "parameters in a list": (listed, ["norms.1"]),
    "a bias of two dimensions": (Experts, ["weight"]),
    "a recurrent net": (lambda: nn.LSTM(3, 4), ["weight_ih_l0", "weight_hh_l0"]),
    "a transformer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8),
        ["self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def split() -> Any:
    """The function of a file."""
    return module_of(source(CLASSICS.get("adamw"))).split_decay


@pytest.mark.parametrize(("make", "decayed"), CASES.values(), ids=CASES)
def test_what_is_decayed(split, make, decayed):
    model = make()
    others, exempt = split(model)
    named = dict(model.named_parameters())
    ids = {id(one) for one in others["params"]}
    assert sorted(name for name, one in named.items() if id(one) in ids) == sorted(decayed)
    both = [*others["params"], *exempt["params"]]
    assert len(both) == len(named)  # each once, tied ones too
    assert {id(one) for one in both} == {id(one) for one in named.values()}


def test_what_is_frozen_is_left_out(split):
    model = PreNorm(4, nn.Linear(4, 4))
    model.inside.requires_grad_(False)
    others, exempt = split(model)
    assert others["params"] == []
    assert len(exempt["params"]) == 2

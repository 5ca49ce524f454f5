"""Models of all kinds, to train as tasks and by hand: every layer of torch.nn that takes a tensor, and what people do.

``MODELS`` maps a name to a function that builds the model and the kind of its inputs, a key of ``INPUTS``.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

CLASSES = 2
SAMPLES = 60


def _inputs() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        "features": torch.randn(SAMPLES, 6, generator=g),
        "sequences": torch.randn(SAMPLES, 3, 8, generator=g),
        "images": torch.randn(SAMPLES, 3, 8, 8, generator=g),
        "volumes": torch.randn(SAMPLES, 2, 4, 4, 4, generator=g),
        "tokens": torch.randint(0, 11, (SAMPLES, 5), generator=g),
        "large": torch.randn(SAMPLES, 3, 32, 32, generator=g),
    }


INPUTS = _inputs()
Build = Callable[[], nn.Module]
MODELS: dict[str, tuple[Build, str]] = {}


def model(kind: str, name: str | None = None) -> Callable[[Build], Build]:
    """Enters a function or class that makes a model."""

    def add(build: Build) -> Build:
        key = name or build.__name__.lower().replace("_", "-")
        assert key not in MODELS, key
        MODELS[key] = (build, kind)
        return build

    return add


class Around(nn.Module):
    """Something that takes ``[B, ...]``, its outputs flattened, and a linear layer of the size that they have."""

    def __init__(self, inner: nn.Module, kind: str, before: nn.Module | None = None) -> None:
        super().__init__()
        self.before, self.inner = before or nn.Identity(), inner
        probe = copy.deepcopy(self).eval()
        with torch.no_grad(), torch.random.fork_rng():
            width = probe.features(INPUTS[kind][:2].clone()).shape[1]
        self.head = nn.Linear(width, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        y = self.inner(self.before(x))
        return (y[0] if isinstance(y, tuple) else y).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def _enter(kind: str, before: Callable[[], nn.Module], layers: dict[str, Build]) -> None:
    """Each layer between a layer with weights and a head."""
    for name, layer in layers.items():
        MODELS[name] = (lambda layer=layer: Around(layer(), kind, before()), kind)


def _named(*layers: nn.Module | Build) -> dict[str, Build]:
    return {one.__name__.lower(): one for one in layers}  # type: ignore[union-attr]


_enter(
    "features",
    lambda: nn.Linear(6, 8),
    {
        **_named(
            nn.Identity, nn.ELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardtanh, nn.Hardswish, nn.LeakyReLU, nn.LogSigmoid,
            nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.CELU, nn.GELU, nn.Sigmoid, nn.SiLU, nn.Mish, nn.Softplus,
            nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.GLU, nn.Dropout, nn.AlphaDropout,
            nn.FeatureAlphaDropout, nn.Flatten,
        ),
        "relu-in-place": lambda: nn.ReLU(inplace=True),
        "elu-in-place": lambda: nn.ELU(inplace=True),
        "silu-in-place": lambda: nn.SiLU(inplace=True),
        "dropout-in-place": lambda: nn.Dropout(0.3, inplace=True),
        "threshold": lambda: nn.Threshold(0.1, -1.0),
        "softmax": lambda: nn.Softmax(1),
        "softmin": lambda: nn.Softmin(1),
        "logsoftmax": lambda: nn.LogSoftmax(1),
        "unflatten": lambda: nn.Unflatten(1, (2, 4)),
        "batchnorm1d": lambda: nn.BatchNorm1d(8),
        "batchnorm1d-cumulative": lambda: nn.BatchNorm1d(8, momentum=None),
        "batchnorm1d-batch-only": lambda: nn.BatchNorm1d(8, track_running_stats=False),
        "batchnorm1d-no-weights": lambda: nn.BatchNorm1d(8, affine=False),
        "layernorm": lambda: nn.LayerNorm(8),
        "layernorm-no-bias": lambda: nn.LayerNorm(8, bias=False),
        "rmsnorm": lambda: nn.RMSNorm(8),
        "linear": lambda: nn.Linear(8, 5),
        "linear-no-bias": lambda: nn.Linear(8, 5, bias=False),
        "linear-to-one": lambda: nn.Linear(8, 1),
        "groupnorm-features": lambda: nn.GroupNorm(2, 8),
    },
)  # fmt: skip
_enter(
    "sequences",
    lambda: nn.Conv1d(3, 4, 3, padding=1),
    {
        "conv1d": lambda: nn.Conv1d(4, 5, 3),
        "conv1d-grouped": lambda: nn.Conv1d(4, 6, 3, groups=2),
        "conv1d-dilated": lambda: nn.Conv1d(4, 5, 3, dilation=2),
        "conv1d-circular": lambda: nn.Conv1d(4, 5, 3, padding=1, padding_mode="circular"),
        "convtranspose1d": lambda: nn.ConvTranspose1d(4, 3, 2, stride=2),
        "maxpool1d": lambda: nn.MaxPool1d(2),
        "avgpool1d": lambda: nn.AvgPool1d(3, padding=1),
        "lppool1d": lambda: nn.LPPool1d(2, 2),
        "adaptivemaxpool1d": lambda: nn.AdaptiveMaxPool1d(3),
        "adaptiveavgpool1d": lambda: nn.AdaptiveAvgPool1d(3),
        "batchnorm1d-sequences": lambda: nn.BatchNorm1d(4),
        "instancenorm1d": lambda: nn.InstanceNorm1d(4),
        "instancenorm1d-tracked": lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
        "dropout1d": lambda: nn.Dropout1d(0.3),
        "reflectionpad1d": lambda: nn.ReflectionPad1d(1),
        "replicationpad1d": lambda: nn.ReplicationPad1d(1),
        "zeropad1d": lambda: nn.ZeroPad1d(1),
        "constantpad1d": lambda: nn.ConstantPad1d(1, 0.5),
        "circularpad1d": lambda: nn.CircularPad1d(1),
        "upsample-linear": lambda: nn.Upsample(scale_factor=2, mode="linear"),
        "rnn": lambda: nn.RNN(8, 5, batch_first=True),
        "rnn-relu": lambda: nn.RNN(8, 5, nonlinearity="relu", batch_first=True),
        "lstm": lambda: nn.LSTM(8, 5, batch_first=True),
        "lstm-two-ways": lambda: nn.LSTM(8, 4, num_layers=2, bidirectional=True, batch_first=True),
        "lstm-dropout": lambda: nn.LSTM(8, 4, num_layers=2, dropout=0.3, batch_first=True),
        "lstm-projected": lambda: nn.LSTM(8, 5, proj_size=3, batch_first=True),
        "gru": lambda: nn.GRU(8, 5, batch_first=True),
        "transformerencoderlayer": lambda: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True),
        "transformerencoderlayer-plain": lambda: nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True),
        "transformerencoder": lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 12, 0.1, batch_first=True, norm_first=True), 2, enable_nested_tensor=False
        ),
    },
)
_enter(
    "images",
    lambda: nn.Conv2d(3, 4, 3, padding=1),
    {
        "conv2d": lambda: nn.Conv2d(4, 5, 3),
        "conv2d-strided": lambda: nn.Conv2d(4, 5, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
        "conv2d-grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
        "conv2d-depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
        "conv2d-dilated": lambda: nn.Conv2d(4, 5, 3, dilation=2),
        "conv2d-same": lambda: nn.Conv2d(4, 5, 3, padding="same"),
        "conv2d-reflect": lambda: nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"),
        "convtranspose2d": lambda: nn.ConvTranspose2d(4, 3, 2, stride=2),
        "maxpool2d": lambda: nn.MaxPool2d(2),
        "maxpool2d-overlapping": lambda: nn.MaxPool2d(3, stride=1, padding=1),
        "maxpool2d-ceil": lambda: nn.MaxPool2d(3, ceil_mode=True),
        "avgpool2d": lambda: nn.AvgPool2d(2),
        "avgpool2d-padded": lambda: nn.AvgPool2d(3, padding=1, count_include_pad=False),
        "lppool2d": lambda: nn.LPPool2d(2, 2),
        "fractionalmaxpool2d": lambda: nn.FractionalMaxPool2d(2, output_size=4),
        "adaptivemaxpool2d": lambda: nn.AdaptiveMaxPool2d(3),
        "adaptiveavgpool2d": lambda: nn.AdaptiveAvgPool2d(3),
        "batchnorm2d": lambda: nn.BatchNorm2d(4),
        "batchnorm2d-cumulative": lambda: nn.BatchNorm2d(4, momentum=None),
        "instancenorm2d": lambda: nn.InstanceNorm2d(4, affine=True),
        "groupnorm": lambda: nn.GroupNorm(2, 4),
        "localresponsenorm": lambda: nn.LocalResponseNorm(2),
        "layernorm-images": lambda: nn.LayerNorm([4, 8, 8]),
        "dropout2d": lambda: nn.Dropout2d(0.3),
        "featurealphadropout-images": lambda: nn.FeatureAlphaDropout(0.3),
        "softmax2d": lambda: nn.Softmax2d(),
        "reflectionpad2d": lambda: nn.ReflectionPad2d(1),
        "replicationpad2d": lambda: nn.ReplicationPad2d(1),
        "zeropad2d": lambda: nn.ZeroPad2d(1),
        "constantpad2d": lambda: nn.ConstantPad2d(1, 0.5),
        "circularpad2d": lambda: nn.CircularPad2d(1),
        "upsample": lambda: nn.Upsample(scale_factor=2),
        "upsample-bilinear": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
        "upsample-nearest": lambda: nn.UpsamplingNearest2d(scale_factor=2),
        "pixelshuffle": lambda: nn.PixelShuffle(2),
        "pixelunshuffle": lambda: nn.PixelUnshuffle(2),
        "channelshuffle": lambda: nn.ChannelShuffle(2),
        "unfold": lambda: nn.Unfold(3),
    },
)
_enter(
    "volumes",
    lambda: nn.Conv3d(2, 3, 3, padding=1),
    {
        "conv3d": lambda: nn.Conv3d(3, 4, 2),
        "convtranspose3d": lambda: nn.ConvTranspose3d(3, 2, 2, stride=2),
        "maxpool3d": lambda: nn.MaxPool3d(2),
        "avgpool3d": lambda: nn.AvgPool3d(2),
        "lppool3d": lambda: nn.LPPool3d(2, 2),
        "fractionalmaxpool3d": lambda: nn.FractionalMaxPool3d(2, output_size=2),
        "adaptivemaxpool3d": lambda: nn.AdaptiveMaxPool3d(2),
        "adaptiveavgpool3d": lambda: nn.AdaptiveAvgPool3d(2),
        "batchnorm3d": lambda: nn.BatchNorm3d(3),
        "instancenorm3d": lambda: nn.InstanceNorm3d(3),
        "dropout3d": lambda: nn.Dropout3d(0.3),
        "replicationpad3d": lambda: nn.ReplicationPad3d(1),
        "reflectionpad3d": lambda: nn.ReflectionPad3d(1),
        "zeropad3d": lambda: nn.ZeroPad3d(1),
        "constantpad3d": lambda: nn.ConstantPad3d(1, 0.5),
        "circularpad3d": lambda: nn.CircularPad3d(1),
    },
)
_enter(
    "tokens",
    lambda: nn.Embedding(11, 8),
    {
        "embedding": nn.Identity,
        "embedding-lstm": lambda: nn.LSTM(8, 5, batch_first=True),
        "embedding-layernorm": lambda: nn.LayerNorm(8),
    },
)


def _sequential(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, CLASSES))


class Net(nn.Module):
    """Two linear layers and a hook for subclasses between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, CLASSES)
        self.setup()

    def setup(self) -> None: ...

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.middle(torch.tanh(self.a(x))))

    def middle(self, x: Tensor) -> Tensor:
        return x


MODELS["sequential"] = (_mlp, "features")
MODELS["net"] = (Net, "features")


# --- Layers that are asked what they are -----------------------------------------------------------------------------


@model("features")
class AsksIsInstance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)])

    def like(self, layer: nn.Module) -> bool:
        return isinstance(layer, nn.Linear)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.like(layer) and i < 2:
                x = torch.relu(x)
        return x


@model("features")
class AsksType(AsksIsInstance):
    def like(self, layer: nn.Module) -> bool:
        return type(layer) is nn.Linear


@model("features")
class AsksClassName(AsksIsInstance):
    def like(self, layer: nn.Module) -> bool:
        return layer.__class__.__name__ == "Linear"


@model("features")
class AsksAttribute(AsksIsInstance):
    def like(self, layer: nn.Module) -> bool:
        return getattr(layer, "out_features", 0) == 8


@model("features")
class AsksRepr(AsksIsInstance):
    def like(self, layer: nn.Module) -> bool:
        return "in_features" in repr(layer)


@model("images")
class AsksConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if isinstance(self.conv, nn.Conv2d) and self.conv.kernel_size == (3, 3):
            x = torch.relu(x)
        return self.head(x.mean((2, 3)))


@model("features")
class ReadsDropout(Net):
    def setup(self) -> None:
        self.drop = nn.Dropout(0.3)

    def middle(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.drop.p if self.training else 0.0)


@model("features")
class AsksDropout(Net):
    def setup(self) -> None:
        self.drop = nn.Dropout(0.3)

    def middle(self, x: Tensor) -> Tensor:
        return self.drop(x) if isinstance(self.drop, nn.Dropout) else 5 * x


@model("features")
class FunctionalDropout(Net):
    def middle(self, x: Tensor) -> Tensor:
        return functional.dropout(functional.dropout(x, 0.2, self.training), 0.2, self.training)


@model("features")
class TurnedDropout(Net):
    """A mask over a tensor that does not lie in memory in the order of its axes."""

    def middle(self, x: Tensor) -> Tensor:
        return functional.dropout(x.view(-1, 2, 4).transpose(1, 2), 0.3, self.training).flatten(1)


@model("features")
class RandomNoise(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x + 0.3 * torch.randn_like(x) if self.training else x


@model("features")
class RandomDepth(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x if self.training and torch.rand(()) < 0.5 else 2 * x


@model("features")
class DropPath(Net):
    """As in timm: a mask by sample, drawn in place."""

    def middle(self, x: Tensor) -> Tensor:
        if not self.training:
            return 2 * x
        keep = x.new_empty(len(x), 1).bernoulli_(0.7).div_(0.7)
        return x + x * keep


@model("features")
class Gumbel(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x * functional.gumbel_softmax(x, dim=1) if self.training else x * x.softmax(1)


@model("tokens")
class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv = nn.Embedding(11, 8), nn.Linear(8, 24)
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.embed(x)).view(len(x), -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
        rate = self.drop.p if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        return self.head(y.transpose(1, 2).flatten(2).mean(1))


@model("tokens")
class MultiHead(nn.Module):
    dropout = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.attend = nn.MultiheadAttention(8, 2, dropout=self.dropout, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head((x + self.attend(x, x, x, need_weights=False)[0]).mean(1))


@model("tokens")
class MultiHeadDropout(MultiHead):
    dropout = 0.2


@model("tokens")
class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layer = nn.TransformerDecoderLayer(8, 2, 12, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.layer(x, x).mean(1))


@model("tokens")
class EncoderDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.inner = nn.Transformer(8, 2, 1, 1, 12, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.inner(x, x).mean(1))


@model("tokens")
class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(11, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.bag(x)))


@model("tokens")
class MaxNormEmbedding(nn.Module):
    """An embedding that renews its weight in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8, max_norm=1.0), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x).mean(1))


@model("tokens")
class PaddedEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8, padding_idx=0), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x).tanh().mean(1))


def _cells(cell: nn.Module) -> type[nn.Module]:
    class Cells(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = cell(3, 5), nn.Linear(5, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            state = None
            for part in x.unbind(2):
                state = self.cell(part, state)
            return self.head(state[0] if isinstance(state, tuple) else state)

    return Cells


for _cell in (nn.RNNCell, nn.LSTMCell, nn.GRUCell):
    MODELS[_cell.__name__.lower()] = (_cells(_cell), "sequences")


@model("features")
class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(6, 6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x.tanh())


@model("features")
class Cosine(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a(x))
        return 3 * nn.CosineSimilarity(2)(x.unsqueeze(1), self.b.weight.unsqueeze(0))


@model("features")
class Distance(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a(x))
        return -torch.stack([nn.PairwiseDistance()(x, row.expand_as(x)) for row in self.b.weight], 1)


# --- Functions in place of layers ------------------------------------------------------------------------------------


@model("features")
class FunctionalLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(8, 6) * 0.3), nn.Parameter(torch.randn(CLASSES, 8) * 0.3)
        self.bias = nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(torch.tanh(functional.linear(x, self.a, self.bias)), self.b)


@model("features")
class MatrixProducts(FunctionalLinear):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.a.t() + self.bias) @ self.b.t()


@model("features")
class Einsum(FunctionalLinear):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bi,ji->bj", torch.tanh(torch.einsum("bi,ji->bj", x, self.a) + self.bias), self.b)


@model("features")
class WeightOfALayer(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(functional.linear(x, self.a.weight * 2, self.a.bias)))


@model("images")
class FunctionalConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3) * 0.2)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(functional.conv2d(x, self.kernel, padding=1)).mean((2, 3)))


@model("features")
class OneNumber(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = nn.Linear(6, CLASSES), nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale


@model("features")
class ListsOfParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ParameterList([nn.Parameter(torch.randn(6) * 0.3) for _ in range(3)])
        self.named = nn.ParameterDict({"out": nn.Parameter(torch.randn(6, CLASSES) * 0.3)})

    def forward(self, x: Tensor) -> Tensor:
        for one in self.steps:
            x = torch.tanh(x * one + x.flip(1))
        return x @ self.named["out"]


@model("features")
class DictOfLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"in": nn.Linear(6, 8), "out": nn.Linear(8, CLASSES)})

    def forward(self, x: Tensor) -> Tensor:
        return self.layers["out"](torch.relu(self.layers["in"](x)))


# --- Hooks ------------------------------------------------------------------------------------------------------------


@model("features")
def forward_hook() -> nn.Module:
    net = _mlp()
    net[0].register_forward_hook(lambda module, args, output: 2 * output)
    return net


@model("features")
def forward_pre_hook() -> nn.Module:
    net = _mlp()
    net[2].register_forward_pre_hook(lambda module, args: (args[0].abs(),))
    return net


@model("features")
def hook_on_the_whole() -> nn.Module:
    net = _mlp()
    net.register_forward_hook(lambda module, args, output: output * 3)
    return net


@model("features")
def hook_on_an_activation() -> nn.Module:
    net = _mlp()
    net[1].register_forward_hook(lambda module, args, output: output + 1)
    return net


@model("features")
def backward_hook() -> nn.Module:
    net = _mlp()
    net[2].register_full_backward_hook(lambda module, into, out: tuple(None if g is None else 3 * g for g in into))
    return net


@model("features")
def backward_pre_hook() -> nn.Module:
    net = _mlp()
    net[2].register_full_backward_pre_hook(lambda module, out: tuple(0.5 * g for g in out))
    return net


@model("features")
def noisy_hook() -> nn.Module:
    net = _mlp()
    net[0].register_forward_hook(lambda module, args, y: y + torch.randn_like(y) if module.training else y)
    return net


@model("features")
def hook_in_a_net() -> nn.Module:
    net = Net()
    net.a.register_forward_hook(lambda module, args, output: output.abs())
    return net


@model("features")
def gradient_mask() -> nn.Module:
    net, mask = _mlp(), torch.zeros(8, 6)
    mask[:, :2] = 1
    net[0].weight.register_hook(lambda grad: grad * mask)
    return net


@model("features")
def gradient_mask_in_a_net() -> nn.Module:
    net = Net()
    net.b.weight.register_hook(lambda grad: 0 * grad)
    return net


@model("features")
def clipped_gradient() -> nn.Module:
    net = Net()
    for parameter in net.parameters():
        parameter.register_hook(lambda grad: grad.clamp(-0.01, 0.01))
    return net


@model("features")
def hook_after_accumulation() -> nn.Module:
    net = Net()

    def enlarge(parameter: Tensor) -> None:
        parameter.grad.mul_(5)  # type: ignore[union-attr]

    net.a.weight.register_post_accumulate_grad_hook(enlarge)
    return net


@model("features")
class HookInForward(Net):
    def middle(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x.register_hook(lambda grad: 3 * grad)
        return x


@model("features")
def replaced_forward() -> nn.Module:
    net = _mlp()
    inner = net[0].forward
    net[0].forward = lambda x: inner(x).abs()  # type: ignore[method-assign]
    return net


@model("features")
def replaced_forward_of_the_whole() -> nn.Module:
    net = _mlp()
    inner = net.forward
    net.forward = lambda x: inner(x * 2)  # type: ignore[method-assign]
    return net


@model("features")
def replaced_forward_of_dropout() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, CLASSES))
    net[1].forward = lambda x: 2 * x  # type: ignore[method-assign]
    return net


# --- Subclasses, masks, weights that are made, tied or frozen ---------------------------------------------------------


class MaxNormLinear(nn.Linear):
    """As in ports of EEGNet."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, p=2, dim=0, maxnorm=1.0)
        return super().forward(x)


class MaxNormConvolution(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, p=2, dim=0, maxnorm=0.5)
        return super().forward(x)


class ClampedLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
        return super().forward(x)


class ClampedDataLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        self.weight.data.clamp_(-0.1, 0.1)
        return super().forward(x)


class StandardisedLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight - self.weight.mean(1, keepdim=True)) / self.weight.std(1, keepdim=True)
        return functional.linear(x, weight, self.bias)


class MaskedLinear(nn.Linear):
    mask: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", (torch.rand(outputs, inputs) < 0.5).float())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self.mask, self.bias)


class NoisyLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(self.weight) if self.training else 0
        return functional.linear(x, self.weight + 0.2 * noise, self.bias)


class LoudLinear(nn.Linear):
    def __call__(self, x: Tensor) -> Tensor:
        return 2 * super().__call__(x)


for _layer in (
    MaxNormLinear, ClampedLinear, ClampedDataLinear, StandardisedLinear, MaskedLinear, NoisyLinear, LoudLinear,
):  # fmt: skip
    MODELS[_layer.__name__.lower()] = (
        lambda layer=_layer: nn.Sequential(layer(6, 8), nn.Tanh(), layer(8, CLASSES)),
        "features",
    )


@model("images")
def max_norm_convolution() -> nn.Module:
    return nn.Sequential(MaxNormConvolution(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, CLASSES))


@model("features")
def weight_norm() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, CLASSES))


@model("features")
def spectral_norm() -> nn.Module:
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, CLASSES))


@model("features")
def orthogonal() -> nn.Module:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(6, 6)), nn.Tanh(), nn.Linear(6, CLASSES))


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).transpose(-1, -2)


@model("features")
def symmetric() -> nn.Module:
    layer = nn.Linear(6, 6)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(6, CLASSES))


@model("features")
def old_weight_norm() -> nn.Module:
    return nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, CLASSES))


@model("features")
def old_spectral_norm() -> nn.Module:
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, CLASSES))


@model("features")
def pruned() -> nn.Module:
    layer = nn.Linear(6, 8)
    prune.l1_unstructured(layer, "weight", 0.5)
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(8, CLASSES))


@model("features")
def pruned_whole_units() -> nn.Module:
    layer = nn.Linear(6, 8)
    prune.ln_structured(layer, "weight", 0.5, n=2, dim=0)
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(8, CLASSES))


@model("features")
def scripted() -> nn.Module:
    return torch.jit.script(_mlp())


@model("features")
def traced() -> nn.Module:
    return torch.jit.trace(_mlp(), torch.zeros(4, 6))


@model("features")
def partly_scripted() -> nn.Module:
    return nn.Sequential(torch.jit.script(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, CLASSES))


@model("features")
class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, CLASSES)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.b(torch.tanh(self.a(x)))))


@model("features")
def tied_sequential() -> nn.Module:
    layer, other = nn.Linear(6, 6), nn.Linear(6, 6)
    other.weight = layer.weight
    return nn.Sequential(layer, nn.Tanh(), other, nn.Tanh(), nn.Linear(6, CLASSES))


@model("features")
def one_layer_twice() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(6, CLASSES))


@model("tokens")
class TiedHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x).mean(1).tanh())[:, :CLASSES]


@model("features")
def frozen_first() -> nn.Module:
    net = _mlp()
    net[0].requires_grad_(False)
    return net


@model("features")
def frozen_bias() -> nn.Module:
    net = Net()
    net.a.bias.requires_grad_(False)
    return net


@model("features")
def frozen_normalisation() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))
    net[1].requires_grad_(False)
    return net


@model("features")
class NeverTrainedNormalisation(nn.Module):
    """Batch normalisation that stays in evaluation mode, as in fine-tuning."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES)
        self.norm.running_mean.uniform_()
        self.train()

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.norm(self.a(x))))


@model("features")
class RandomFeatures(nn.Module):
    """Fourier features: a random buffer."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(6, 8))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x @ self.frequencies
        return self.head(torch.cat([x.sin(), x.cos()], 1))


@model("features")
class PullToStart(Net):
    """A buffer that holds the initial weights."""

    def setup(self) -> None:
        self.register_buffer("start", self.a.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(functional.linear(x, 2 * self.a.weight - self.start, self.a.bias)))


@model("features")
class UnusedLayer(Net):
    def setup(self) -> None:
        self.spare = nn.Linear(6, 8)


@model("features")
class DetachedPart(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x.detach()


@model("features")
class NoGradPart(Net):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = torch.tanh(self.a(x))
        return self.b(x)


# --- States of a model's own ------------------------------------------------------------------------------------------


@model("features")
class ReplacedBuffer(Net):
    """A running mean that is a new tensor each time."""

    def setup(self) -> None:
        self.register_buffer("mean", torch.zeros(8))

    def middle(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.7 * self.mean + 0.3 * x.detach().mean(0)
        return x - self.mean


@model("features")
class BufferInPlace(Net):
    def setup(self) -> None:
        self.register_buffer("mean", torch.zeros(8))

    def middle(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.mul_(0.7).add_(x.detach().mean(0), alpha=0.3)
        return x - self.mean


@model("features")
class PlainAttribute(Net):
    """A running mean that is no buffer."""

    def setup(self) -> None:
        self.mean = torch.zeros(8)

    def middle(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.7 * self.mean + 0.3 * x.detach().mean(0)
        return x - self.mean


@model("features")
class CountsCalls(Net):
    """Computes something else from its sixth call on."""

    def setup(self) -> None:
        self.calls = 0

    def middle(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return x if self.calls < 6 else -x


@model("features")
class Annealed(Net):
    def setup(self) -> None:
        self.temperature = 4.0

    def middle(self, x: Tensor) -> Tensor:
        if self.training:
            self.temperature *= 0.8
        return x / self.temperature


@model("features")
class BranchOnMode(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x * 2 if self.training else x.abs()


@model("features")
class BranchOnGrad(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x * 2 if torch.is_grad_enabled() else x


@model("features")
class BranchOnValues(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x if x.sum().item() > 0 else 2 * x


@model("features")
class BranchOnSamples(Net):
    def middle(self, x: Tensor) -> Tensor:
        return torch.where(x.sum(1, keepdim=True) > 0, x, 2 * x)


@model("features")
class BooleanIndex(Net):
    def middle(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[y < 0] = 0.1 * y[y < 0]
        return y


@model("features")
class Sorted(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x.sort(1).values * torch.arange(8)


@model("features")
class ThroughNumpy(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(x.detach().numpy() ** 2)


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


@model("features")
class StraightThrough(Net):
    def middle(self, x: Tensor) -> Tensor:
        return _Straight.apply(x)


@model("features")
class Checkpointed(Net):
    def middle(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        return checkpoint(lambda y: torch.sin(3 * y), x, use_reentrant=False)


@model("features")
class AnnealedBuffer(Net):
    """A buffer that is replaced in every step, by another value only from the sixth on."""

    def setup(self) -> None:
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.register_buffer("heat", torch.ones(()))

    def middle(self, x: Tensor) -> Tensor:
        if self.training:
            self.step += 1
            self.heat = torch.where(self.step > 5, self.heat * 0.8, self.heat)
        return x / self.heat


@model("features")
class WeightFromAList(CountsCalls):
    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        kept = self.__dict__.setdefault("kept", [self.b.weight])
        return functional.linear(torch.tanh(self.a(x)), kept[0] if self.calls > 5 else self.b.weight, self.b.bias)


@model("features")
def late_hook_of_a_sequential() -> nn.Module:
    net, calls = _mlp(), [0]

    def look(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        calls[0] += module.training
        return (args[0] if calls[0] < 6 else -args[0],)

    net.register_forward_pre_hook(look)
    return net


@model("features")
def late_forward_of_a_sequential() -> nn.Module:
    net, calls = _mlp(), [0]
    inner = net.forward

    def forward(x: Tensor) -> Tensor:
        calls[0] += net.training
        return inner(x) * (1 if calls[0] < 6 else 2)

    net.forward = forward  # type: ignore[method-assign]
    return net


@model("features")
def kept_in_evaluation() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES))
    net[1].eval()
    return net


@model("features")
class ComplexBuffer(nn.Module):
    """Rotations, as in rotary embeddings."""

    turns: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, CLASSES)
        self.register_buffer("turns", torch.polar(torch.ones(4), torch.arange(4.0)))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.view_as_complex(self.a(x).reshape(-1, 4, 2)) * self.turns
        return self.b(torch.tanh(torch.view_as_real(x).flatten(1)))


@model("features")
class BrainFloatBackbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8, dtype=torch.bfloat16).requires_grad_(False), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.bfloat16())).float())


# --- Forwards that write in place -------------------------------------------------------------------------------------


@model("features")
class WritesItsInput(Net):
    def forward(self, x: Tensor) -> Tensor:
        x *= 0.5
        return super().forward(x)


@model("features")
class WritesItsInputInTraining(Net):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x.add_(0.1)
        return super().forward(x)


@model("images")
class NormalisesItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(192, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(x.mean((2, 3), keepdim=True))
        return self.head(x.flatten(1))


@model("features")
def relu_in_place_first() -> nn.Module:
    return nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, CLASSES))


@model("features")
class InPlaceInside(Net):
    def middle(self, x: Tensor) -> Tensor:
        y = x * 1
        y.mul_(2).relu_()
        z = torch.zeros_like(y)
        z[:, 1:] = y[:, 1:]
        return z


# --- Layouts ----------------------------------------------------------------------------------------------------------


@model("images")
class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop, self.head = nn.Conv2d(3, 4, 3), nn.Dropout(0.3), nn.Linear(4, CLASSES)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(torch.relu(self.conv(x.contiguous(memory_format=torch.channels_last))))
        return self.head(x.mean((2, 3)))


@model("images")
class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x + self.norm(self.b(torch.relu(self.a(x))))).mean((2, 3)))


@model("images")
class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = _sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.b = _sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.up, self.out = nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return self.out(torch.cat([self.up(self.b(functional.max_pool2d(a, 2))), a], 1)).mean((2, 3))


@model("features")
class WrappedInAnother(nn.Module):
    """A Sequential inside a module that does nothing but call it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Doubling(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@model("features")
def sequential_subclass() -> nn.Module:
    return Doubling(*_mlp())


@model("features")
def nested_sequential() -> nn.Module:
    return nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.ReLU()), nn.Sequential(nn.Linear(8, CLASSES)))


@model("features")
def hook_in_a_nested_sequential() -> nn.Module:
    inner = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    inner.register_forward_hook(lambda module, args, output: output - 0.5)
    return nn.Sequential(inner, nn.Linear(8, CLASSES))


_kept = _mlp()


@model("features")
def handed_out_again() -> nn.Module:
    return _kept


_backbone = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8)).requires_grad_(False)


@model("features")
def shared_backbone() -> nn.Module:
    return nn.Sequential(_backbone, nn.Linear(8, CLASSES))


@model("features")
def data_parallel() -> nn.Module:
    return nn.DataParallel(_mlp())


@model("features")
def averaged() -> nn.Module:
    return torch.optim.swa_utils.AveragedModel(_mlp()).module


# --- Models of libraries ----------------------------------------------------------------------------------------------


class Picked(nn.Module):
    """A model whose outputs are logits under a name, or for many classes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return getattr(y, "logits", y)[..., :CLASSES]


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _resnet() -> nn.Module:
    from torchvision.models import ResNet
    from torchvision.models.resnet import BasicBlock

    return Picked(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=CLASSES))


def _mobilenet() -> nn.Module:
    from torchvision.models import MobileNetV2

    return Picked(MobileNetV2(CLASSES, width_mult=0.25, inverted_residual_setting=[[2, 8, 1, 1]]))


def _timm() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=32, patch_size=16, embed_dim=16, depth=2, num_heads=2, num_classes=CLASSES,
        drop_rate=0.1, proj_drop_rate=0.1, attn_drop_rate=0.1, drop_path_rate=0.1,
    )  # fmt: skip


def _gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(
        vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2, num_labels=CLASSES, pad_token_id=10
    )
    return Picked(GPT2ForSequenceClassification(config))


def _bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=8, num_labels=CLASSES,
    )  # fmt: skip
    return Picked(BertForSequenceClassification(config))


for _name, _library, _build, _kind in (
    ("torchvision-resnet", "torchvision", _resnet, "large"),
    ("torchvision-mobilenet", "torchvision", _mobilenet, "large"),
    ("timm-vit", "timm", _timm, "large"),
    ("hf-gpt2", "transformers", _gpt2, "tokens"),
    ("hf-bert", "transformers", _bert, "tokens"),
):
    if _installed(_library):
        MODELS[_name] = (_build, _kind)

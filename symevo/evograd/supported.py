"""Which models :class:`symevo.EvoGrad` trains: as the parts of a network, or the reason why it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import nn

from symevo.errors import UserError
from symevo.evograd.network import Convolution, Dense, Part, Pool, Rectifier
from symevo.evograd.products import Windows
from symevo.evograd.statistics import REALS

_SUPPORTED = "EvoGrad trains an nn.Sequential of Linear or Conv2d layers, each with bias, and ReLUs between them"
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_GLOBAL_HOOKS = tuple(f"_global{name}" for name in _HOOKS)
_FORWARD = ("forward", "_conv_forward")

Weighted: TypeAlias = nn.Linear | nn.Conv2d


class Model:
    """What `EvoGrad` sees of a model.

    Attributes:
        parts: What it is made of.
        layers: Those of its layers that have weights.
        parameters: Matrix and bias of each of them.
        flattens: Whether it has a Flatten.
    """

    def __init__(self, model: nn.Module) -> None:
        """Reads a model.

        Raises:
            UserError: It is no model, or has a layer that is not supported, or computes something else than its layers.
        """
        if not isinstance(model, nn.Module):
            found = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
            raise UserError(f"the model must be an nn.Sequential, not {found}")
        if any(map(vars(nn.modules.module).get, _GLOBAL_HOOKS)):
            raise _wrong("", model, "runs under hooks that were registered for all modules, which no step would run")
        self.parts: list[Part] = []
        self.layers: list[Weighted] = []
        self.parameters: list[Any] = []
        self.flattens = self._bent = False
        name, last = "", None
        for name, layer in model.named_modules(remove_duplicate=False):
            why = None
            if not (isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward):
                last = layer
                why = self._add(layer) or ("has layers of its own" if layer._modules else None)
            if why := why or _altered(layer):
                raise _wrong(name, layer, why)
        if not isinstance(last, nn.Linear):
            raise _wrong(name, last, "is last, where a Linear must be") if last else _wrong("", model, "has no Linear")

    @property
    def dtype(self) -> torch.dtype:
        """That of its weights."""
        return self.parameters[0].dtype

    def _add(self, layer: nn.Module) -> str | None:
        """Adds a layer, or says why it is none that can follow."""
        if type(layer) is nn.Flatten:  # a subclass may compute something else
            return self._flatten(layer)
        if type(layer) is nn.ReLU:
            return self._rectify()
        if type(layer) is nn.Linear:
            return self._linear(layer)
        if type(layer) is nn.Conv2d:
            return self._convolve(layer)
        if type(layer) is nn.MaxPool2d or type(layer) is nn.AvgPool2d:
            return self._pool(layer)
        return "is not supported"

    @property
    def _images(self) -> bool:
        """Whether the last layer makes images."""
        return bool(self.layers) and isinstance(self.layers[0], nn.Conv2d) and not self.flattens

    def _flatten(self, layer: nn.Flatten) -> str | None:
        if self.flattens or (self.layers and not self._images):
            return "is not the first layer, nor the first after a Conv2d"
        self.flattens = True
        return None if (layer.start_dim, layer.end_dim) == (1, -1) else "has a start_dim or end_dim of its own"

    def _rectify(self) -> str | None:
        if not self.layers or self._bent:
            return "does not follow a Linear or Conv2d"
        self._bent = True
        self.parts.append(Rectifier())
        return None

    def _linear(self, layer: nn.Linear) -> str | None:
        outputs, inputs = layer.weight.shape
        self.parts.append(Dense(inputs, outputs))
        return "follows a Conv2d without a Flatten between them" if self._images else self._weigh(layer)

    def _convolve(self, layer: nn.Conv2d) -> str | None:
        if self.flattens or (self.layers and not self._images):
            return "follows a Flatten or Linear"
        if why := _other(layer, dilation=1, groups=1, padding_mode="zeros"):
            return why
        outputs, inputs, *size = layer.weight.shape
        if isinstance(layer.padding, str):  # where the border is odd, torch has the larger part below and beyond
            tall, wide = (side - 1 if layer.padding == "same" else 0 for side in size)
            border = (tall // 2, tall - tall // 2, wide // 2, wide - wide // 2)
        else:
            tall, wide = _pair(layer.padding)
            border = (tall, tall, wide, wide)
        self.parts.append(Convolution(inputs, outputs, Windows(_pair(size), _pair(layer.stride), border)))
        return self._weigh(layer)

    def _pool(self, layer: nn.MaxPool2d | nn.AvgPool2d) -> str | None:
        if not self._images:
            return "does not follow a Conv2d"
        settings = {"padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False, "divisor_override": None}
        self.parts.append(Pool(Windows(_pair(layer.kernel_size), _pair(layer.stride)), isinstance(layer, nn.MaxPool2d)))
        return _other(layer, **settings)

    def _weigh(self, layer: Weighted) -> str | None:
        """Adds weights, or says why they cannot be trained, or not with those before."""
        before, weight = self.layers[-1:], layer.weight
        if before and not self._bent:
            return f"follows a {type(before[0]).__name__} without a ReLU between them"
        if why := self._unfit(weight, layer.bias):
            return why
        if before:
            inputs, outputs = weight.shape[1], self.parameters[-2].shape[0]
            # How many places of images a Linear sees of each channel depends on their size.
            alike = type(layer) is type(before[0])
            if inputs != outputs if alike else inputs % outputs:
                return f"takes {inputs} inputs from a {type(before[0]).__name__} with {outputs} outputs"
        self.layers.append(layer)
        self.parameters += [weight, layer.bias]
        self._bent = False
        return None

    def _unfit(self, weight: Any, bias: Any) -> str | None:
        if bias is None:
            return "has no bias"
        for parameter in (weight, bias):
            if any(parameter is other for other in self.parameters):
                return "shares its weights with another"
            if not isinstance(parameter, nn.Parameter) or not parameter.requires_grad:
                return "has frozen or computed weights"
            if parameter.is_inference():
                return "has weights that were made in inference mode, which cannot change outside it"
            if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
                return "has weights with hooks, which no step would run"
            if parameter.device.type != "cpu" or parameter.dtype not in REALS:
                return f"is in {parameter.dtype} on {parameter.device}"
            if parameter.dtype != (*self.parameters, weight)[0].dtype:
                return "has another dtype than others"
        return None


def _altered(layer: nn.Module) -> str | None:
    """What makes a layer compute something else than its class says."""
    own = vars(layer)
    if any(map(own.get, _HOOKS)):
        return "has hooks, which no step would run"
    for name in _FORWARD:
        if name in own:
            return f"has a {name} of its own, which no step would run"
    return None


def _other(layer: nn.Module, **settings: Any) -> str | None:
    """Which setting of a layer is another than these; one may stand for height and width."""
    for name, value in settings.items():
        found = getattr(layer, name, value)
        if found not in (value, (value,), (value, value)):
            return f"has {name}={found!r}, where only {value!r} is supported"
    return None


def _pair(value: Any) -> tuple[int, int]:
    """Of height and width, for which torch takes one number too."""
    both = tuple(value) if isinstance(value, Sequence) else (value,)
    return int(both[0]), int(both[-1])


def _wrong(name: str, layer: nn.Module, why: str) -> UserError:
    return UserError(f"{f'layer {name!r}' if name else 'the model'} ({type(layer).__name__}) {why}: {_SUPPORTED}")

"""Training of a torch model with evolved controllers.

    trainer = EvoGrad(model, "controllers.safetensors", lr=1e-3)
    for x, y in loader:
        loss = trainer.step(x, y)

The model stays the user's: weights are read from it before a step and written back after it, so that evaluating, saving
and changing it between steps just work.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.neural.files import opened
from symevo.neural.layout import SIZE
from symevo.neural.learner import Learner
from symevo.neural.statistics import REALS

_SUPPORTED = (
    "EvoGrad trains an nn.Sequential of Linear layers with bias and one ReLU between each two, "
    "after at most one Flatten, in float32 or float64 on the CPU"
)
_SETTINGS = ("lr", "beta1", "beta2", "eps")
_MEMORY = ("m", "v", "h", "c")


class EvoGrad:
    """Trains a model by softmax cross-entropy, as evolved controllers make its updates.

    With controllers of zeros it is :class:`torch.optim.Adam`.

    Attributes:
        model: The model, whose parameters hold the new weights after each step. Their ``grad`` is not used.
    """

    def __init__(
        self,
        model: nn.Module,
        controllers: np.ndarray[Any, Any] | Tensor | str | os.PathLike[str],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] | None = None,
        eps: float | None = None,
    ) -> None:
        """Takes a model; nothing of it changes before the first `step`.

        Args:
            model: An ``nn.Sequential``, nested or not: Linear layers with bias, one ReLU between each two, and before
                them a Flatten or none. In float32 or float64, on the CPU.
            controllers: 3,375 numbers (:mod:`symevo.neural.layout`), or a safetensors file with the tensor
                ``controllers`` (:mod:`symevo.neural.files`).
            lr: Adam's learning rate.
            betas: Adam's decay rates; None: as the file says, else 0.9 and 0.999.
            eps: Adam's ε; None: as the file says, else 1e-8.

        Raises:
            UserError: The model has another layer, the file is damaged, or a number is not as above.
        """
        self.model = model
        found = opened(controllers)
        settings = _checked(lr, found.betas if betas is None else betas, found.eps if eps is None else eps)
        self._start(_numbers(found.numbers), settings)

    def _start(self, controllers: Tensor, settings: tuple[float, ...]) -> None:
        layers = linear_layers(self.model)
        dtype = layers[0].weight.dtype
        lr, beta1, beta2, eps = settings
        with torch.inference_mode(False):
            self._learner = Learner(_sizes(layers), controllers, lr=lr, betas=(beta1, beta2), eps=eps, dtype=dtype)
        self._controllers, self._settings = controllers, settings
        self._weights = [one.value[0] for pair in self._learner.weights for one in pair]
        # Tensors of weights have gaps between them, which no state holds.
        self._places = torch.cat([torch.arange(w.numel()) + w.storage_offset() for w in self._weights])

    @property
    def lr(self) -> float:
        """Adam's learning rate, which may be set between steps."""
        return self._settings[0]

    @lr.setter
    def lr(self, value: float) -> None:
        _, beta1, beta2, eps = self._settings
        self._settings = _checked(value, (beta1, beta2), eps)
        self._learner.lr = torch.tensor(self._settings[:1], dtype=torch.float64)

    def step(self, x: Tensor, y: Tensor) -> float:
        """One training step, from the weights that the model has now.

        Args:
            x: Inputs ``[B, …]`` of the model's dtype.
            y: Class numbers ``[B]``, int64.

        Returns:
            The mean cross-entropy of the batch before the step.

        Raises:
            UserError: The batch does not fit the model, or the model is no longer as it was; nothing changed.
        """
        # A step may be the first with its size of batches: buffers made in inference mode could not be filled outside.
        with torch.inference_mode(False), torch.no_grad():
            parameters = self._parameters()
            x = self._inputs(x, y)
            for own, parameter in zip(self._weights, parameters, strict=True):
                own.copy_(parameter)
            loss = float(self._learner.step(x, y))
            for own, parameter in zip(self._weights, parameters, strict=True):
                parameter.copy_(own)
        return loss

    def state_dict(self) -> dict[str, Tensor]:
        """All that goes on bit for bit with ``model.state_dict()``; copies.

        ``m`` and ``v`` have a number, ``h`` and ``c`` eight, for each weight in the order of ``model.parameters()``.
        """
        memory = self._learner.memory
        state = {"sizes": torch.tensor(self._learner.sizes), "t": torch.tensor(self._learner.t)}
        state |= {name: getattr(memory, name)[0][..., self._places] for name in _MEMORY}
        settings = torch.tensor(self._settings, dtype=torch.float64)
        state |= {name: value.clone() for name, value in zip(_SETTINGS, settings, strict=True)}
        return state | {"controllers": self._controllers[0].clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a state, with its controllers and settings; the weights are those of the model.

        Raises:
            UserError: It is not the state of a trainer of such a model; nothing changed.
        """
        for name, own in self.state_dict().items():
            found = state.get(name)
            if not isinstance(found, Tensor):
                raise UserError(f"the state has no tensor {name!r}: give what state_dict() of an EvoGrad returned")
            if name == "sizes" and found.tolist() != own.tolist():
                raise UserError(f"the state is of a model of sizes {found.tolist()}, this one has {own.tolist()}")
            if (found.shape, found.dtype) != (own.shape, own.dtype):
                wrong, right = (f"{list(one.shape)} of {one.dtype}" for one in (found, own))
                raise UserError(f"{name!r} of the state is {wrong}, and for this model it must be {right}")
        lr, beta1, beta2, eps = (state[name].item() for name in _SETTINGS)
        self._start(_numbers(state["controllers"]), _checked(lr, (beta1, beta2), eps))
        memory = self._learner.memory
        values = [torch.zeros_like(getattr(memory, name)) for name in _MEMORY]
        for value, name in zip(values, _MEMORY, strict=True):
            value[0][..., self._places] = state[name].to(value)
        memory.restore(*values)
        self._learner.t = int(state["t"])

    def _parameters(self) -> list[Tensor]:
        layers = linear_layers(self.model)
        now, before = (_sizes(layers), layers[0].weight.dtype), (self._learner.sizes, self._learner.dtype)
        if now != before:
            was, found = (f"{list(sizes)} in {dtype}" for sizes, dtype in (before, now))
            raise UserError(f"the model had sizes {was} and now has {found}: make a new EvoGrad for it")
        return [one for layer in layers for one in (layer.weight, layer.bias)]

    def _inputs(self, x: Tensor, y: Tensor) -> Tensor:
        """Inputs ``[B, in]`` of a batch that fits."""
        if not isinstance(x, Tensor) or not isinstance(y, Tensor):
            raise UserError(f"x and y must be tensors, not {type(x).__name__} and {type(y).__name__}")
        sizes, dtype = self._learner.sizes, self._learner.dtype
        flat = x.flatten(1) if x.dim() > 1 and any(isinstance(m, nn.Flatten) for m in self.model.modules()) else x
        if flat.shape[1:] != sizes[:1] or not len(x) or x.dtype != dtype or x.device.type != "cpu":
            found = f"{list(x.shape)} of {x.dtype} on {x.device.type}"
            raise UserError(f"the model takes inputs [B, {sizes[0]}] of {dtype} on the CPU, not {found}")
        if y.shape != x.shape[:1] or y.dtype != torch.int64 or y.device.type != "cpu":
            found = f"{list(y.shape)} of {y.dtype} on {y.device.type}"
            raise UserError(f"y must be class numbers [{len(x)}] of torch.int64 on the CPU, not {found}")
        least, most = (int(one) for one in y.aminmax())
        if least < 0 or most >= sizes[-1]:
            raise UserError(f"y must be class numbers from 0 to {sizes[-1] - 1}, not {least if least < 0 else most}")
        return flat


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """The Linear layers of a model that `EvoGrad` trains.

    Raises:
        UserError: It has a layer that is not supported.
    """
    found: list[nn.Linear] = []
    name, last = "", None
    for name, layer in model.named_modules(remove_duplicate=False):
        if isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
            continue
        if isinstance(layer, nn.Linear):
            why = _misplaced(layer, last) or _unfit(layer, found)
            found.append(layer)
        else:
            why = _misplaced(layer, last)
        if why:
            raise _wrong(name, layer, why)
        last = layer
    if not isinstance(last, nn.Linear):
        raise _wrong(name, last, "is last, where a Linear must be") if last else _wrong("", model, "has no Linear")
    return found


def _misplaced(layer: nn.Module, last: nn.Module | None) -> str | None:
    """Why a layer may not follow the last one."""
    if isinstance(layer, nn.Flatten):
        if last:
            return "is not the first layer"
        return None if (layer.start_dim, layer.end_dim) == (1, -1) else "has a start_dim or end_dim of its own"
    if isinstance(layer, nn.ReLU):
        return None if isinstance(last, nn.Linear) else "does not follow a Linear"
    if type(layer) is not nn.Linear:  # a subclass may compute something else
        return "is not supported"
    return "follows a Linear without a ReLU between them" if isinstance(last, nn.Linear) else None


def _unfit(layer: nn.Linear, before: Sequence[nn.Linear]) -> str | None:
    """Why the weights of a layer cannot be trained, or not with those before."""
    if layer.bias is None:
        return "has no bias"
    others = {id(one) for other in before for one in (other.weight, other.bias)}
    for parameter in (layer.weight, layer.bias):
        if id(parameter) in others:
            return "shares its weights with another"
        if not isinstance(parameter, nn.Parameter) or not parameter.requires_grad:
            return "has frozen or computed weights"
        if parameter.device.type != "cpu" or parameter.dtype not in REALS:
            return f"is in {parameter.dtype} on {parameter.device}"
        if parameter.dtype != [*before, layer][0].weight.dtype:
            return "has another dtype than others"
    if before and layer.weight.shape[1] != len(before[-1].weight):
        return f"takes {layer.weight.shape[1]} inputs from a Linear with {len(before[-1].weight)} outputs"
    return None


def _wrong(name: str, layer: nn.Module, why: str) -> UserError:
    return UserError(f"{f'layer {name!r}' if name else 'the model'} ({type(layer).__name__}) {why}: {_SUPPORTED}")


def _sizes(layers: Sequence[nn.Linear]) -> tuple[int, ...]:
    return layers[0].weight.shape[1], *(len(layer.weight) for layer in layers)


def _checked(lr: float, betas: tuple[float, float], eps: float) -> tuple[float, ...]:
    """lr, β1, β2 and ε."""
    try:
        found = float(lr), *map(float, betas), float(eps)
        rate, beta1, beta2, small = found
    except (TypeError, ValueError):
        raise UserError(f"lr and eps are numbers and betas two, not {lr!r}, {eps!r} and {betas!r}") from None
    if not (0 <= rate < math.inf and 0 <= small < math.inf and 0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise UserError(f"lr {rate} and eps {small} must be finite and not negative, betas {betas} in [0, 1)")
    return found


def _numbers(controllers: Any) -> Tensor:
    """Controllers as a tensor ``[1, 3375]`` of their own, float64."""
    try:
        found = torch.as_tensor(controllers).detach().to("cpu", torch.float64, copy=True)
    except (TypeError, ValueError, RuntimeError):
        what = type(controllers).__name__
        raise UserError(f"controllers are {SIZE} numbers or a safetensors file, not {what}") from None
    if found.shape not in ((SIZE,), (1, SIZE)):
        raise UserError(f"controllers of one individual are {SIZE} numbers, not of shape {list(found.shape)}")
    if not found.isfinite().all():
        raise UserError(f"controllers must be finite: {int((~found.isfinite()).sum())} of {SIZE} numbers are not")
    return found.reshape(1, SIZE)

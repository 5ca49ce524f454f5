"""Training of a torch model with evolved controllers.

    trainer = EvoGrad(model, "controllers.safetensors", lr=1e-3)
    for x, y in loader:
        loss = trainer.step(x, y)

The model stays the user's: weights are read from it before a step and written back after it, so that evaluating, saving
and changing it between steps just work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.evograd.files import brief, decay_rates, epsilon, number, numbers, opened
from symevo.evograd.learner import Learner
from symevo.evograd.network import Convolution, Dense, Part, Pool, Rectifier, sample_shapes
from symevo.evograd.products import Windows
from symevo.evograd.statistics import REALS

_SETTINGS = ("lr", "beta1", "beta2", "eps")
_MEMORY = ("m", "v", "h", "c")
_SUPPORTED = "EvoGrad trains an nn.Sequential of Linear or Conv2d layers, each with bias, and ReLUs between them"
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_GLOBAL_HOOKS = tuple(f"_global{name}" for name in _HOOKS)
_FORWARD = ("forward", "_conv_forward")

Weighted: TypeAlias = nn.Linear | nn.Conv2d


class EvoGrad:
    """Trains a model by softmax cross-entropy, as evolved controllers make its updates.

    With controllers of zeros it is :class:`torch.optim.Adam`. It can be pickled and copied, and brings its model along:
    ``copy.deepcopy((model, trainer))`` is a trainer of the copied model, which goes on bit for bit.

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
            model: An ``nn.Sequential``, nested or not, in float32 or float64, on the CPU: Linear layers with bias, one
                ReLU between each two, and before them a Flatten, or none, or Conv2d layers with bias and a Flatten.
                Those too have a ReLU after each, and may have a MaxPool2d or AvgPool2d. Controllers of linear layers
                act on convolutions' outputs.
            controllers: 3,375 numbers (:mod:`symevo.evograd.layout`), or a safetensors file with the tensor
                ``controllers`` (:mod:`symevo.evograd.files`).
            lr: Adam's learning rate.
            betas: Adam's decay rates; None: as the file says, else 0.9 and 0.999.
            eps: Adam's ε; None: as the file says, else 1e-8.

        Raises:
            UserError: The model has another layer, the file is damaged, or a number is not as above.
        """
        self.model = model
        found = opened(controllers)
        betas, eps = found.betas if betas is None else betas, found.eps if eps is None else eps
        self._start(found.numbers, settings(lr, betas, eps))

    def _start(self, given: Any, settings: tuple[float, float, float, float]) -> None:
        model = Model(self.model)
        controllers = numbers(given, model.dtype)
        lr, beta1, beta2, eps = settings
        with torch.inference_mode(False):
            self._learner = Learner(model.parts, controllers, lr=lr, betas=(beta1, beta2), eps=eps, dtype=model.dtype)
        self._controllers, self._settings = controllers, settings
        matrices = [matrix.value.shape[1:] for matrix, _ in self._learner.weights]
        self._sizes = matrices[0][1], *(shape[0] for shape in matrices)
        self._kernels = [tuple(shape[2:]) for shape in matrices if len(shape) > 2]
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
        self._settings = settings(value, (beta1, beta2), eps)
        self._learner.lr = torch.tensor(self._settings[:1], dtype=torch.float64)

    def step(self, x: Tensor, y: Tensor) -> float:
        """One training step, from the weights that the model has now.

        As in torch, a loss or weights that are not finite are no error: training goes on with them, so look at the loss
        where it may diverge.

        Args:
            x: Inputs ``[B, …]`` of the model's dtype, or images ``[B, C, H, W]`` where it begins with a Conv2d.
            y: Class numbers ``[B]``, int64.

        Returns:
            The mean cross-entropy of the batch before the step.

        Raises:
            UserError: The batch does not fit the model, or the model is no longer as it was; nothing changed.
        """
        # A step may be the first with its size of batches: buffers made in inference mode could not be filled outside.
        with torch.inference_mode(False), torch.no_grad():
            model = self._model_now()
            x, parameters = self._inputs(model, x, y), model.parameters
            for own, parameter in zip(self._weights, parameters, strict=True):
                own.copy_(parameter)
            loss = float(self._learner.step(x, y))
            for own, parameter in zip(self._weights, parameters, strict=True):
                parameter.copy_(own)
        return loss

    def state_dict(self) -> dict[str, Tensor]:
        """All that goes on bit for bit with ``model.state_dict()``; copies.

        ``sizes`` are the inputs of the first layer and the outputs of each; of convolutions these are channels, and
        ``kernels`` has height and width of their windows. ``m`` and ``v`` have a number, ``h`` and ``c`` eight, for
        each weight in the order of ``model.parameters()``.
        """
        memory = self._learner.memory
        state = {"sizes": torch.tensor(self._sizes), "t": torch.tensor(self._learner.t)}
        if self._kernels:
            state["kernels"] = torch.tensor(self._kernels)
        state |= {name: getattr(memory, name)[0][..., self._places] for name in _MEMORY}
        settings = torch.tensor(self._settings, dtype=torch.float64)
        state |= {name: value.clone() for name, value in zip(_SETTINGS, settings, strict=True)}
        return state | {"controllers": self._controllers[0].clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a state, with its controllers and settings; the weights are those of the model.

        Raises:
            UserError: It is not the state of a trainer of such a model, or not of finite numbers; nothing changed.
        """
        fitting(state, self.state_dict())
        sound(state)
        self._resume(state)

    def __getstate__(self) -> dict[str, Any]:
        self._model_now()
        return {"model": self.model, "state": self.state_dict()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.model = saved["model"]
        self._resume(saved["state"])  # a training that diverged can be copied too

    @torch.no_grad()
    def _resume(self, state: Mapping[str, Tensor]) -> None:
        lr, beta1, beta2, eps = (state[name].item() for name in _SETTINGS)
        self._start(state["controllers"], settings(lr, (beta1, beta2), eps))
        memory = self._learner.memory
        values = [torch.zeros_like(getattr(memory, name)) for name in _MEMORY]
        for value, name in zip(values, _MEMORY, strict=True):
            value[0][..., self._places] = state[name].to(value)
        memory.restore(*values)
        self._learner.t = int(state["t"])

    def _model_now(self) -> Model:
        model, own = Model(self.model), self._learner
        if (now := (tuple(model.parts), model.dtype)) != (before := (own.network, own.dtype)):
            was, found = (f"{', '.join(map(str, parts))} in {dtype}" for parts, dtype in (before, now))
            raise UserError(f"the model was {was} and now is {found}: make a new EvoGrad for it")
        return model

    def _inputs(self, model: Model, x: Tensor, y: Tensor) -> Tensor:
        """Inputs of a batch that fits: images as they are, or ``[B, in]``."""
        if not isinstance(x, Tensor) or not isinstance(y, Tensor):
            raise UserError(f"x and y must be tensors, not {type(x).__name__} and {type(y).__name__}")
        first, dtype = model.parts[0], self._learner.dtype
        images = isinstance(first, Convolution)
        flat = x.flatten(1) if model.flattens and not images and x.dim() > 1 else x
        fits = flat.dim() == (4 if images else 2) and flat.shape[1] == self._sizes[0]
        if not fits or not len(x) or x.dtype != dtype or x.device.type != "cpu":
            right = f"{'images' if images else 'inputs'} [B, {self._sizes[0]}{', H, W' if images else ''}]"
            found = f"{list(x.shape)} of {x.dtype} on {x.device.type}"
            raise UserError(f"the model takes {right} of {dtype} on the CPU, not {found}")
        sample_shapes(model.parts, flat.shape[1:])
        if y.shape != x.shape[:1] or y.dtype != torch.int64 or y.device.type != "cpu":
            found = f"{list(y.shape)} of {y.dtype} on {y.device.type}"
            raise UserError(f"y must be class numbers [{len(x)}] of torch.int64 on the CPU, not {found}")
        least, most = (int(one) for one in y.aminmax())
        if least < 0 or most >= self._sizes[-1]:
            wrong = least if least < 0 else most
            raise UserError(f"y must be class numbers from 0 to {self._sizes[-1] - 1}, not {wrong}")
        return flat


def settings(lr: Any, betas: Any, eps: Any) -> tuple[float, float, float, float]:
    """Adam's learning rate, β1, β2 and ε as numbers.

    Raises:
        UserError: One is none, or out of range; it names that one alone.
    """
    return number("lr", lr), *decay_rates(betas), epsilon(eps)


def fitting(state: Any, own: Mapping[str, Tensor]) -> None:
    """Sees whether a state is of such a model as another one.

    Raises:
        UserError: It is not.
    """
    if not isinstance(state, Mapping):
        raise UserError(f"a state is a dictionary, as state_dict() of an EvoGrad returns it, not {brief(state)}")
    for name, expected in own.items():
        found = state.get(name)
        if not isinstance(found, Tensor) or found.layout != torch.strided or found.is_meta:
            raise UserError(f"the state has no tensor {name!r}: give what state_dict() of an EvoGrad returned")
        if name in ("sizes", "kernels") and found.tolist() != expected.tolist():
            raise UserError(f"the state is of a model of {name} {found.tolist()}, this one has {expected.tolist()}")
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            wrong, right = (f"{list(one.shape)} of {one.dtype}" for one in (found, expected))
            raise UserError(f"{name!r} of the state is {wrong}, and for this model it must be {right}")


def sound(state: Mapping[str, Tensor]) -> None:
    """Sees whether training can have come to such a state.

    Raises:
        UserError: Its number of steps is negative, or its memory no finite numbers with second moments from 0 on.
    """
    if (t := int(state["t"])) < 0:
        raise UserError(f"'t' of the state is a number of steps, at least 0, not {t}")
    for name in ("m", "v", "h", "c"):
        if wrong := int((~state[name].isfinite()).sum()):
            raise UserError(f"{name!r} of the state must be finite: {wrong} of {state[name].numel()} numbers are not")
    if (least := float(state["v"].min())) < 0:
        raise UserError(f"'v' of the state are second moments, at least 0, not {least}")


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

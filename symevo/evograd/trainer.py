"""Training of a torch model with evolved controllers.

    trainer = EvoGrad(model, "controllers.safetensors", lr=1e-3)
    for x, y in loader:
        loss = trainer.step(x, y)

The model stays the user's: weights are read from it before a step and written back after it, so that evaluating, saving
and changing it between steps just work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.evograd import checks
from symevo.evograd.files import opened
from symevo.evograd.learner import Learner
from symevo.evograd.network import Convolution, sample_shapes
from symevo.evograd.supported import Model

_SETTINGS = ("lr", "beta1", "beta2", "eps")
_MEMORY = ("m", "v", "h", "c")


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
        self._start(found.numbers, checks.settings(lr, betas, eps))

    def _start(self, given: Any, settings: tuple[float, float, float, float]) -> None:
        model = Model(self.model)
        controllers = checks.numbers(given, model.dtype)
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
        self._settings = checks.settings(value, (beta1, beta2), eps)
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
        checks.fitting(state, self.state_dict())
        checks.sound(state)
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
        self._start(state["controllers"], checks.settings(lr, (beta1, beta2), eps))
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

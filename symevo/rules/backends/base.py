"""The three ways to run an update on a stack of rows. They agree up to rounding; which one ran is a setting.

====================  ==============================  ============================================================
backend               rows                            cost
====================  ==============================  ============================================================
``"compiled"``        one program                     seconds to compile each program, then the fastest
``"interpreter"``     any mix of programs, CPU only   nothing to compile, 1 to 2 times the compiled time
``"eager"``           one program                     nothing to compile, about 10 times the compiled time
====================  ==============================  ============================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from symevo.errors import UserError
from symevo.rules.backends.compiled import BACKENDS as KERNELS
from symevo.rules.backends.compiled import kernel_for
from symevo.rules.backends.layout import Segment
from symevo.rules.program import Program

BACKENDS = (*KERNELS, "interpreter")
MIXING = frozenset({"interpreter"})
"""Backends whose rows may have different programs."""


class Update(Protocol):
    """One step for a stack of rows.

    Attributes:
        states: Number of state tensors that a call needs.
        layout: Where each parameter of the model lies in a row, with name and shape; empty where there is no model.
    """

    @property
    def states(self) -> int: ...
    @property
    def layout(self) -> tuple[Segment, ...]: ...

    def table(self, hypers: Sequence[Mapping[str, float]], lrs: Sequence[np.ndarray], total: int) -> torch.Tensor:
        """The scalars of a whole training, float64 ``[steps, slots, rows, 1]``.

        Args:
            hypers: Hyperparameters of each row.
            lrs: Scheduled learning rate of each row, ``[steps]``.
            total: T.
        """
        ...

    def __call__(
        self,
        theta: torch.Tensor,
        grad: torch.Tensor,
        states: Sequence[torch.Tensor],
        slots: torch.Tensor,
        alive: torch.Tensor,
    ) -> None:
        """One step, in place; see :meth:`symevo.rules.backends.compiled.Kernel.__call__`."""
        ...


def update_for(
    programs: Sequence[Program],
    weights: int,
    *,
    dtype: torch.dtype,
    device: torch.device,
    backend: str,
    layout: tuple[Segment, ...] = (),
) -> Update:
    """The update of a stack of rows of ``weights`` weights, each with its own program.

    Raises:
        UserError: The interpreter is asked for on another device than a CPU.
        ValueError: Different programs, and a backend that is not in :data:`MIXING`.
    """
    if backend in MIXING:
        if device.type != "cpu":
            raise UserError(f"the interpreter runs on a CPU, not on {device.type}: use another backend")
        from symevo.rules.backends.interpreter import Interpreter

        return Interpreter(programs, weights, dtype, layout=layout)
    if any(program.lines != programs[0].lines for program in programs):
        raise ValueError(f"rows of backend {backend!r} must have the same program")
    shape = len(programs), weights
    return kernel_for(programs[0], shape, dtype=dtype, device=device, backend=backend, layout=layout)

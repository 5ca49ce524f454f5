"""Losses of stacked models, with their gradient with respect to the outputs.

Outputs are ``[R, ..., B]``: rows first, the batch last. With the batch innermost, a softmax over the classes
and every sum run over whole vectors of samples, which was measured to be faster than torch's usual ``[R, B,
classes]``. Targets are ``[1, B, ...]`` where all rows share a batch, ``[R, B, ...]`` where each has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from symevo.errors import UserError
from symevo.registry import Registry


class Loss(NamedTuple):
    """A loss in two parts, so that evaluation does not pay for gradients.

    ``value(outputs [R, ..., B], target [1 or R, B, ...]) -> (losses [R, B], saved)``; ``gradient(outputs, target,
    saved)`` is the derivative of the sum over rows of the mean over the batch, of the shape of the outputs.
    """

    value: Callable[[Tensor, Tensor], tuple[Tensor, Any]]
    gradient: Callable[[Tensor, Tensor, Any], Tensor]


LOSSES: Registry[Loss] = Registry("loss")


def _classes(target: Tensor) -> Tensor:
    """Class numbers ``[1 or R, B, ...]`` as an index ``[1 or R, 1, ..., B]`` of the axis of classes."""
    return target.movedim(1, -1).unsqueeze(1)


def _cross_entropy(outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs ``[R, classes, ..., B]``; a sample with several targets has the mean of their losses."""
    log_p = torch.log_softmax(outputs, 1)
    index = _classes(target)
    each = log_p.gather(1, index.expand(len(outputs), *index.shape[1:])).squeeze(1).neg_()
    return (each if each.dim() == 2 else each.flatten(1, -2).mean(1)), log_p


def _cross_entropy_gradient(outputs: Tensor, target: Tensor, log_p: Tensor) -> Tensor:
    """(softmax − one-hot) / (targets of a sample · B)."""
    one_hot = log_p.new_zeros(len(target), *log_p.shape[1:]).scatter_(1, _classes(target), 1.0)
    return log_p.exp_().sub_(one_hot).div_(target[0].numel())


LOSSES.register("cross_entropy", Loss(_cross_entropy, _cross_entropy_gradient))


def _squared_error(outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    difference = outputs - target.movedim(1, -1)
    squared = difference * difference
    return (squared if squared.dim() == 2 else squared.flatten(1, -2).mean(1)), difference


def _squared_error_gradient(outputs: Tensor, target: Tensor, difference: Tensor) -> Tensor:
    """2 (output − target) / (outputs of a sample · B)."""
    return difference.mul_(2.0 / target[0].numel())


LOSSES.register("mse", Loss(_squared_error, _squared_error_gradient))


def custom(function: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A user's ``(output [B, ...], target [B, ...]) -> losses [B]``, applied row by row.

    Row by row, because a row's bits must not depend on its neighbours and nothing is known of the function.
    """

    def value(outputs: Tensor, target: Tensor) -> tuple[Tensor, Any]:
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            targets = target.expand(len(leaf), *target.shape[1:])
            # Copies, for a function may write into what it is given.
            each = [function(row.movedim(-1, 0).clone(), one) for row, one in zip(leaf, targets, strict=True)]
            if not isinstance(each[0], Tensor) or each[0].shape != target.shape[1:2]:
                shape = list(getattr(each[0], "shape", ()))
                raise UserError(f"the loss returned {shape}; it must return one loss per sample, [{target.shape[1]}]")
            losses = torch.stack(each)
        return losses.detach(), (leaf, losses)

    def gradient(outputs: Tensor, target: Tensor, saved: Any) -> Tensor:
        leaf, losses = saved
        (found,) = torch.autograd.grad(losses.mean(1).sum(), [leaf])
        return found

    return Loss(value, gradient)

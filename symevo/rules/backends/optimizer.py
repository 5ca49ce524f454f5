"""Any rule as a ``torch.optim.Optimizer``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from symevo.errors import UserError
from symevo.native.inductor import ShapeGuard
from symevo.rules.backends.compiled import Item, compute_dtype, tensor_update
from symevo.rules.backends.lowering import Scalars
from symevo.rules.hyper import GROUP_KEYS, mistaken, number, plain
from symevo.rules.program import Rule, Ruled, RuleWarning
from symevo.rules.rule import rule as as_rule

COUNT = "t"
"""Key of a parameter's step count in its state: no state of a rule can be called so."""
Pair = tuple[torch.Tensor, torch.Tensor]
"""A parameter and its gradient."""
Row = tuple[torch.Tensor, dict[str, float]]
"""Slots of a step, and the scalar states after it."""


class Optimizer(torch.optim.Optimizer):
    """Runs a rule of the symevo language.

    For each parameter with a gradient: t ← t + 1, then the rule's lines, with
    lr = (the group's lr) · (the rule's schedule at step t − 1 of ``total_steps``).

    States are kept in the parameter's type (float32 for half precision), named as in the rule; numbers that
    the rule keeps once for all weights, and the step count ``"t"``, are Python numbers kept for each
    parameter.

    Args:
        params: Parameters, named parameters, or param groups; a group may set lr and any hyperparameter of
            the rule.
        rule: What :func:`symevo.rule` takes: a classic's name, program text, a path of rule JSON, a dict, a rule, or
            a run, its folder or one of its candidates.
        lr: Learning rate, a number or a tensor of one element; the rule's own by default.
        total_steps: T. Without it the rule's schedule does not run, which a warning says, and lr stays what the
            group says; torch's schedulers multiply on top in either case. Of these, OneCycleLR and CyclicLR need
            ``cycle_momentum=False``, unless the rule has a hyperparameter called momentum.
        compile: Update parameters by compiled code; without, by torch's operations one by one. The two agree up to
            rounding. It is compiled in the first step (:attr:`compile_seconds`), on a CPU once for all shapes, and
            kept on disk for later processes: see :mod:`symevo.rules.backends.compiled`.
        **hyper: Hyperparameters of the rule.

    Raises:
        UserError: No such rule, an unknown or missing hyperparameter, a value that is no number or out of range, a
            program that reads T without ``total_steps``, or (in :meth:`step`) a sparse or complex gradient.

    Warns:
        RuleWarning: The rule has a schedule, and no ``total_steps`` lets it run; or, once for each, a group has a key
            that looks like a misspelt hyperparameter, or a weight decay that the rule does not have. All other keys of
            a group are their owner's, and left alone.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = Optimizer([weight], "theta = theta - lr*sign(g)", lr=0.5, compile=False)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.tolist()
        [0.5, 0.5, 0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        rule: str | os.PathLike[str] | Mapping[str, Any] | Ruled | Rule,
        lr: float | torch.Tensor | None = None,
        *,
        total_steps: int | None = None,
        compile: bool = True,
        **hyper: float,
    ) -> None:
        self.rule = as_rule(rule, **hyper)  # type: ignore
        self.total_steps = _whole(total_steps)
        self.compile = compile
        if "T" in self.rule.program.reads and total_steps is None:
            raise UserError("the rule reads T, the number of steps: give total_steps")
        self._prepare()
        super().__init__(params, {**self.rule.hyper, "lr": self.rule.lr if lr is None else lr})
        if total_steps is None and not self.rule.schedule.is_constant:
            message = f"the rule's schedule ({self.rule.schedule}) does not run: give total_steps=STEPS"
            warnings.warn(message, RuleWarning, stacklevel=2)

    def _prepare(self) -> None:
        self._fused = tensor_update(self.rule.program)
        self._scalars = Scalars(self._fused.lowered)
        self._seen: dict[int, ShapeGuard] = {}
        self._keys, self._told = 0, getattr(self, "_told", set())
        self._names, self._scalar_names = self.rule.states, self.rule.program.scalar_states

    @property
    def compile_seconds(self) -> float:
        """How long this process has compiled the rule: in the first step, for every optimizer of the same program."""
        return self._fused.seconds

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters, with its own lr and hyperparameters where it sets them.

        Raises:
            UserError: A value that is no number, a complex parameter.

        Warns:
            RuleWarning: A key that looks like a misspelt hyperparameter.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for name in self.rule.hyper:
                number(name, group[name])
            if any(param.is_complex() for param in group["params"]):
                raise UserError("complex parameters are not supported: use torch.view_as_real")
        except UserError:
            self.param_groups.pop()
            raise
        self._keys += len(group)
        self._look_at_keys(len(self.param_groups) - 1)

    def _look_at_keys(self, first: int = 0) -> None:
        """Warns of keys that were probably meant as hyperparameters, once of each, in groups from ``first`` on."""
        for index, group in enumerate(self.param_groups[first:], first):
            for key in group.keys() - GROUP_KEYS - self._told:
                message = mistaken(key, group[key], self.rule.hyper)
                if message:
                    self._told.add(key)
                    warnings.warn(f"param_groups[{index}]: {message}", RuleWarning, stacklevel=3)

    def get_last_lr(self) -> list[float]:
        """The learning rate of the last step, one for each group, as torch's schedulers tell theirs.

        It is the group's lr, as it stands, times the rule's schedule; before the first step, the rate of that. A
        group's ``"lr"`` is the factor that schedulers set, and knows nothing of the rule's own schedule.
        """
        rates = []
        for group in self.param_groups:
            lr = number("lr", group["lr"])
            begun = [self.state[param].get(COUNT, 1) for param in group["params"] if param in self.state]
            rates.append(self._clock(max(begun, default=1), lr).get("lr", lr))
        return rates

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step for every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        keys = sum(map(len, self.param_groups))
        if keys != self._keys:
            self._keys = keys
            self._look_at_keys()
        numbers = [self._numbers(group) for group in self.param_groups]
        ready = [[(p, _checked(p.grad)) for p in group["params"] if p.grad is not None] for group in self.param_groups]
        for index, pairs in enumerate(ready):  # nothing changes where one of the checks above fails
            work = self._work(numbers[index], pairs)
            self._fused(work, compile=self.compile, checked=self._seen.setdefault(index, ShapeGuard()))
        return loss

    def _numbers(self, group: dict[str, Any]) -> dict[str, float]:
        """A group's hyperparameters: any may have been set since the last step."""
        found = {}
        for name in self.rule.hyper:
            value = group[name]
            known = type(value) is float and 0 <= value < 1  # in order, whatever it is
            found[name] = value if known else number(name, value)
        return found

    def _work(self, hyper: dict[str, float], pairs: list[Pair]) -> list[Item]:
        rows: dict[Any, Row] = {}
        work: list[Item] = []
        for param, grad in pairs:
            state = self.state[param]
            if COUNT not in state:
                self._start(param)
            state[COUNT] += 1
            key: Any = (state[COUNT], param.dtype, param.is_cpu or param.device)
            if self._scalar_names:
                key += tuple(state[name] for name in self._scalar_names)
            row = rows.get(key)
            if row is None:
                row = rows[key] = self._row(hyper, param, state)
            state.update(row[1])
            work.append(([param, grad, *[state[name] for name in self._names]], row[0]))
        return work

    def _start(self, param: torch.Tensor) -> None:
        state = self.state[param]
        state[COUNT] = 0
        for name in self.rule.states:
            dtype = compute_dtype(param.dtype)
            state[name] = torch.zeros_like(param, dtype=dtype, memory_format=torch.preserve_format)
        state |= dict.fromkeys(self.rule.program.scalar_states, 0.0)

    def _row(self, hyper: dict[str, float], param: torch.Tensor, state: dict[str, Any]) -> Row:
        """The scalars of a step for all parameters of one type and device, step count and scalar states."""
        names = self._scalar_names
        inputs = {**hyper, **self._clock(state[COUNT], hyper["lr"]), **{name: state[name] for name in names}}
        slots, memory = self._scalars(inputs, np.float64 if param.dtype is torch.float64 else np.float32)
        row = torch.from_numpy(slots)
        return row if param.is_cpu else row.to(param.device), dict(zip(names, memory, strict=True))

    def _clock(self, t: float, lr: float) -> dict[str, float]:
        if self.total_steps is None:
            return {"t": t}
        factor = self.rule.schedule.factor(t - 1, self.total_steps)
        return {"t": t, "T": self.total_steps, "lr": float(lr * factor)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from :meth:`state_dict` of an optimizer with the same rule, bit for bit.

        What else a parameter's state holds, such as a wrapper's buffer, is kept as torch keeps it. Hooks run as in
        torch: what the last pre-hook hands on is checked before anything changes, and loaded before the first
        post-hook.

        Raises:
            UserError: The states are those of another rule or another model.
        """
        last = self.register_load_state_dict_pre_hook(Optimizer._check_states)  # type: ignore[arg-type]
        try:
            super().load_state_dict(state_dict)
        finally:
            last.remove()
            self.__dict__.pop("_loaded", None)

    def _check_states(self, state_dict: dict[str, Any]) -> None:
        """Makes the states that :meth:`__setstate__` puts in place; torch itself compares the numbers of groups."""
        groups, states = state_dict["param_groups"], state_dict["state"]
        needed = {COUNT, *self.rule.program.memory}
        saved = [index for group in groups for index in group["params"]]
        params = [param for group in self.param_groups for param in group["params"]]
        pairs = [(index, param) for index, param in zip(saved, params, strict=False) if states.get(index)]
        begun = [(index, param) for index, param in pairs if not needed.isdisjoint(states[index])]
        for index, _ in begun or pairs:  # with none begun, what there is belongs to another optimizer
            if not needed.issubset(states[index]):
                raise UserError(
                    f"the state dict holds {', '.join(sorted(map(str, states[index])))}; this rule needs "
                    f"{', '.join(sorted(needed))}: load it into an optimizer of the rule that wrote it"
                )
        for group in groups:
            missing = sorted(set(self.rule.hyper) - set(group))
            if missing:
                raise UserError(f"the state dict has no {', '.join(missing)}: it is not one of this rule")
            for name in self.rule.hyper:
                number(name, group[name])
        for index, param in begun:
            for name in self.rule.states:
                _check_shape(name, states[index][name], index, param)
        self._loaded = {param: self._copied(states[index], param) for index, param in begun}

    def _copied(self, state: Mapping[str, Any], param: torch.Tensor) -> dict[str, Any]:
        """The rule's part of a saved state: torch casts it to the parameter's type, and may share the memory."""
        dtype = compute_dtype(param.dtype)
        own: dict[str, Any] = {name: plain(state[name]) for name in (COUNT, *self.rule.program.scalar_states)}
        wrong = next((name for name, value in own.items() if not isinstance(value, int | float)), None)
        if wrong is not None:
            raise UserError(f"the state dict's {wrong} must be a number, not {type(own[wrong]).__name__}")
        return own | {name: torch.empty_like(param, dtype=dtype).copy_(state[name]) for name in self.rule.states}

    def __getstate__(self) -> dict[str, Any]:
        own = {"rule": self.rule, "total_steps": self.total_steps, "compile": self.compile, "_told": self._told}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare()
        self.defaults.pop("differentiable", None)  # torch's addition, which every new group would get
        for param, own in self.__dict__.pop("_loaded", {}).items():
            self.state[param].update(own)


# A graph of torch.compile's would be made anew for a step's numbers. As a decorator, this would hide the method's type.
Optimizer.step = torch.compiler.disable(Optimizer.step)  # type: ignore[method-assign]


def _check_shape(name: str, value: Any, index: Any, param: torch.Tensor) -> None:
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
    if shape != tuple(param.shape):
        raise UserError(
            f"the state dict has {name} of shape {shape} for parameter {index} of shape {tuple(param.shape)}: "
            "load it into an optimizer of the model that it was saved with"
        )


def _checked(grad: Any) -> torch.Tensor:
    if grad.layout is not torch.strided:
        raise UserError("sparse gradients are not supported: use a dense one, such as nn.Embedding(sparse=False)")
    if grad.is_complex():
        raise UserError("complex gradients are not supported: use torch.view_as_real")
    return grad


def _whole(total_steps: int | None) -> int | None:
    number_like = isinstance(total_steps, int | float) and not isinstance(total_steps, bool)
    if total_steps is not None and not (number_like and total_steps >= 1 and total_steps % 1 == 0):
        raise UserError(f"total_steps must be a whole number of at least 1, not {total_steps!r}")
    return total_steps

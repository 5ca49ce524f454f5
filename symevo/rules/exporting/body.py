"""The functions of an exported file: what is computed once a step, for a tensor, and for lists of tensors."""

from __future__ import annotations

import re

from symevo.errors import UserError
from symevo.rules.exporting.helpers import Helpers
from symevo.rules.exporting.layout import called, indented
from symevo.rules.exporting.lines import list_lines, list_names, scalar_lines, tensor_lines
from symevo.rules.exporting.parts import Parts
from symevo.rules.exporting.text import ScalarCode, TensorCode
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule

DECAY_RATE = re.compile(r"beta\d*|rho")
"""Hyperparameters in [0, 1), as :mod:`symevo.rules.hyper` has them."""


class Body:
    """The functions below the class.

    Args:
        rule: What they compute.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule, self.parts, self.helpers = rule, Parts.of(rule.program), Helpers()
        self.lists = list_names(self.parts)
        self.tensors = ["theta", "g", *(self.parts.spelling[name] for name in self.parts.states)]
        self.rates = [self.parts.spelling[name] for name in rule.program.hyper_names if DECAY_RATE.fullmatch(name)]
        self.given = [name for name in ("t", "T", "lr", *rule.program.hyper_names) if self.parts.reads(name)]

    def text(self) -> str:
        """All functions, with two empty lines between them."""
        functions = [self.numbers(), self.update(), self.update_lists(), self.update_one(), self.together()]
        if not self.rule.schedule.is_constant:
            functions.insert(0, schedule_function(self.rule.schedule))
        return "\n\n\n".join([*functions, *self.helpers.texts])

    def numbers(self) -> str:
        """What a step computes once for all weights."""
        spelling, memory = self.parts.spelling, self.parts.scalar_states
        names = [spelling[name] for name in (*self.given, *memory)]
        kinds = ", ".join(["tuple[float, ...]", *["float"] * len(memory)])
        returned = f"tuple[{kinds}]" if memory else kinds
        head = called("def _numbers(", [f"{name}: float" for name in names], f") -> {returned}:")
        doc = '"""What a step computes once for all weights, in float64."""'
        if memory:
            doc = f'"""What a step computes once for all weights, in float64, and the new {" and ".join(memory)}."""'
        lines = [doc, *scalar_lines(self.parts, ScalarCode(self.helpers, self.rates))]
        if memory:
            lines.append(called("numbers = (", self._items(), ")", margin=4))
            lines.append(f"return {', '.join(['numbers', *(spelling[name] for name in memory)])}")
        elif len(", ".join(self.parts.numbers)) < 100 and len(self.parts.numbers) > 1:
            lines.append(f"return {', '.join(self.parts.numbers)}")
        else:
            lines.append(called("return (", self._items(), ")", margin=4))
        return "\n".join([head, indented("\n".join(lines))])

    def _items(self) -> list[str]:
        """The numbers as items of a tuple."""
        names = list(self.parts.numbers)
        return [f"{names[0]},"] if len(names) == 1 else names

    def update(self) -> str:
        """What happens to one tensor."""
        names = [*self.tensors, *self.parts.numbers]
        head = called("def _update(", [f"{name}: Tensor" for name in names], ") -> None:")
        lines = tensor_lines(self.parts, TensorCode(self.helpers))
        doc = '"""One step of one tensor, in place: the rule, line by line."""'
        return "\n".join([head, indented("\n".join([doc, *lines]))])

    def update_lists(self) -> str:
        """What happens to lists of tensors."""
        names = [f"{self.lists[name]}: list[Tensor]" for name in self.tensors]
        head = called("def _update_lists(", [*names, *(f"{name}: Tensor" for name in self.parts.numbers)], ") -> None:")
        lines = list_lines(self.parts, TensorCode(self.helpers), self.lists)
        doc = '"""One step of many tensors, in place, by foreach functions; the same bits as :func:`_update`."""'
        return "\n".join([head, indented("\n".join([doc, *lines]))])

    def update_one(self) -> str:
        """One tensor of any type."""
        arguments = ["numbers: Tensor", *(f"{name}: Tensor" for name in self.tensors)]
        rest = "".join(f", {name}" for name in self.tensors[2:])
        return f'''{called("def _one(", arguments, ") -> None:")}
    """One step of one tensor; float16 and bfloat16 go by way of the numbers' float32."""
    wide = theta.to(numbers.dtype)
    _update(wide, g.to(numbers.dtype){rest}, *numbers.unbind())
    if theta.dtype != numbers.dtype:
        theta.copy_(wide)'''

    def together(self) -> str:
        """All tensors together."""
        thetas, gs, *states = (self.lists[name] for name in self.tensors)
        rest = "".join(f", {name}" for name in states)
        return f'''def _together(numbers: Tensor, rows: list[tuple[Tensor, ...]]) -> None:
    """One step of all tensors together; see :func:`_one`."""
    {thetas}, {gs}{rest} = map(list, zip(*rows, strict=True))
    wide = [theta.to(numbers.dtype) for theta in {thetas}]
    {gs} = [g.to(numbers.dtype) for g in {gs}]
    _update_lists(wide, {gs}{rest}, *numbers.unbind())
    if {thetas}[0].dtype != numbers.dtype:
        torch._foreach_copy_({thetas}, wide)'''


_DECAYS = {"cosine": "0.5 * (1.0 + math.cos(math.pi * (step / total)))", "linear": "1.0 - step / total"}


def schedule_function(schedule: Schedule) -> str:
    """The factor on the learning rate."""
    from symevo.rules.symbolic import describe

    if schedule.decay not in ("constant", *_DECAYS):
        raise UserError(f"decay {schedule.decay!r} cannot be exported: known: constant, {', '.join(_DECAYS)}")
    factors = []
    if schedule.warmup:
        steps = f"({schedule.warmup!r} * total)" if schedule.warmup < 1 else f"{int(schedule.warmup)}"
        factors.append(f"min(1.0, (step + 1) / {steps})")
    if schedule.decay in _DECAYS:
        term = _DECAYS[schedule.decay]
        factors.append(f"({term})" if schedule.decay == "linear" or factors else term)
    if schedule.every:
        factors.append(f"{schedule.gamma!r} ** (step // {schedule.every})")
    if factors == [f"({_DECAYS['linear']})"]:
        factors = [_DECAYS["linear"]]
    return "\n".join(
        [
            "def _schedule(step: int, total: int) -> float:",
            f'    """The factor on lr at step 0, 1, …: {describe(schedule)}."""',
            "    step = min(step, total - 1)",
            f"    return {' * '.join(factors)}",
        ]
    )

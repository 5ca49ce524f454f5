"""What is tuned of a rule, and where: learning rate, weight decay, momenta and schedule, told from the program itself.

A name says little (``b``, ``decay1``), so a number's part in the rule is read from what it does: a factor of the weight
is weight decay, what says how long a state is kept is a momentum. So rules that differ in words alone are tuned alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from symevo.genomes.box import Range
from symevo.rules.expression import Expr, Name, Num, Op, fold, names_in, replace_names, signed, walk
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule

LR_DECADES = 2.0
"""The pilot looks so many decades up and down from a rule's own learning rate."""
WIDENED = 2.0
"""So many decades are added at an edge."""
KEPT = 3.0
"""The range in which replicates tune is so many decades wide."""
EDGE = 0.125
"""Share of a range that counts as its edge, at either end."""
WARMUP = 0.2
"""Warmups are at most so large a share of all steps."""
_WEIGHT_DECAY = Range(1e-5, 1.0, "log")
_L2 = Range(1e-6, 1e-2, "log")
"""Where weight decay is added to the gradient, as people do, before momenta are taken."""
_LEAST, _MOST = 1e-12, 1e6
"""A learning rate's range is not widened beyond these."""
AXES = 12
"""Coordinates of a point; a rule with more momenta than they allow keeps the rest as it is."""
_SHORTEST, _TINY = 0.01, 1e-9
_FIRST = ("lr", "weight decay", "schedule")
"""The axes that all rules share; momenta follow, the shortest memory first."""


@dataclass(frozen=True)
class Space:
    """Where a rule's numbers are looked for: a range of each that is tuned; ``decays`` are weight decay."""

    rule: Rule
    ranges: Mapping[str, Range]
    decays: tuple[str, ...] = ()

    @property
    def tuned(self) -> list[str]:
        """The names of what is tuned, ``schedule`` included."""
        return [*self.ranges, "schedule"]

    @property
    def axes(self) -> dict[str, int]:
        """Which coordinate of a point each name reads: the same one for the same part in every rule."""
        momenta = [name for name in self.ranges if name != "lr" and name not in self.decays]
        found = {"lr": 0, **dict.fromkeys(self.decays, 1), "schedule": 2}
        return found | {name: len(_FIRST) + at for at, name in enumerate(momenta)}

    def at(self, point: Sequence[float]) -> Rule:
        """The rule at a point of the unit cube.

        The lower half of the schedule's axis is a constant learning rate, the upper half cosine decay after a warmup
        of 0 to 20 % of the steps.
        """
        axes = self.axes
        numbers = {name: one.at(point[axes[name]]) for name, one in self.ranges.items()}
        place = point[axes["schedule"]]
        schedule = Schedule() if place < 0.5 else Schedule((2 * place - 1) * WARMUP, "cosine")
        return replace(self.rule.with_hyper(**numbers), schedule=schedule)

    def widened(self, rule: Rule) -> Space:
        """More room for the learning rate if that of ``rule``, the best, lies at an edge; else the same space."""
        one, place = self.ranges["lr"], self.ranges["lr"].place(rule.lr)
        low = one.low / 10**WIDENED if place < EDGE else one.low
        high = one.high * 10**WIDENED if place > 1 - EDGE else one.high
        return self.with_lr(Range(max(low, min(one.low, _LEAST)), min(high, max(one.high, _MOST)), "log"))

    def around(self, lr: float) -> Space:
        """The range of the learning rate in which replicates tune: three decades around ``lr``."""
        half = 10 ** (KEPT / 2)
        return self.with_lr(Range(lr / half, lr * half, "log"))

    def with_lr(self, one: Range) -> Space:
        """Another range for the learning rate; the others stay."""
        return replace(self, ranges={**self.ranges, "lr": one})


def space_of(rule: Rule) -> Space:
    """Where the pilot looks.

    A learning rate is looked for two decades up and down from the rule's own, a momentum β where 1 − β is a tenth to
    ten times the rule's own, weight decay from 10⁻⁵ to 1, or from 10⁻⁶ to 0.01 where it is part of the gradient.
    """
    program = rule.program
    decays, momenta = tuple(weight_decays(program)), list(momenta_of(rule))
    coupled = set(_decaying(program, [expr for target, expr in program.statements if target != "theta"]))
    lr = rule.lr if rule.lr > 0 else 1e-3
    found = {"lr": Range(lr / 10**LR_DECADES, lr * 10**LR_DECADES, "log")}
    for name in decays:
        own = rule.hyper[name]
        wide = _L2 if name in coupled else _WEIGHT_DECAY
        found[name] = Range(min(wide.low, own / 10), max(wide.high, own * 10), "log") if own > 0 else wide
    free = [name for name in momenta if name not in decays][: AXES - len(_FIRST)]
    found |= {name: _memory(rule.hyper[name]) for name in free}
    return Space(rule, found, decays)


def weight_decays(program: Program) -> Iterator[str]:
    """Hyperparameters by which the weight is multiplied, as in ``wd*theta`` and ``theta*(1 - lr*wd)``."""
    pulled = set(_decaying(program, [expr for _, expr in program.statements]))
    yield from (name for name in program.hyper_names if name in pulled or name in ("weight_decay", "wd"))


def _decaying(program: Program, exprs: Iterable[Expr]) -> Iterator[str]:
    """Hyperparameters by which the weight is multiplied in some expressions of a program."""
    for factors in (factors for expr in exprs for factors in _factor_lists(expr)):
        if Name("theta") in factors:
            shrunk = [one.args[1] for one in factors if isinstance(one, Op) and one.name == "-"]
            near = [*factors, *(factor for part in shrunk for factor in _factors(part))]
            yield from (one.id for one in near if isinstance(one, Name) and one.id in program.hyper_names)


def momenta_of(rule: Rule) -> Iterator[str]:
    """Hyperparameters β in [0, 1) that say how long a state is kept; the shortest memory first.

    A step is made with numbers instead of tensors. β is one if the share of a state that its next value keeps depends
    on it, or if it mixes a state with something else: b·m + (1 − b)·g is 1 for m = g = 1, whatever b is. So it does not
    matter how that is written.
    """
    program, found = rule.program, []
    for name in program.hyper_names:
        if _may_keep(rule.hyper[name]) and (_keeps(program, name) or _mixes(program, name)):
            found.append(name)
    yield from sorted(found, key=lambda name: rule.hyper[name])


def _may_keep(own: float) -> bool:
    """Whether a value may be a momentum's: not one as small as an ε is."""
    return own == 0 or _SHORTEST <= own < 1


def _keeps(program: Program, name: str) -> bool:
    """Whether the share of some state that a step keeps depends on a hyperparameter."""

    def kept(state: str, beta: float) -> float:
        low, high = (_step(program, {name: beta, state: at})[state] for at in (10.0, 20.0))
        return high - low

    return any(abs(kept(state, 0.75) - kept(state, 0.25)) > _TINY for state in program.states)


def _mixes(program: Program, name: str) -> bool:
    """Whether some sum is a weighted mean of a state and more, with a hyperparameter as weight."""
    tensors = {"g", "theta", *program.assigned}
    for _, expr in program.statements:
        for node in walk(expr):
            names = set(names_in(node))
            if isinstance(node, Op) and node.name in "+-" and name in names and names & set(program.states):
                ones = dict.fromkeys(names, 1.0)
                means = [_number(node, {**ones, **_hyper(names - tensors), name: beta}) for beta in (0.25, 0.75)]
                if all(abs(mean - 1) < _TINY for mean in means):
                    return True
    return False


def _step(program: Program, said: Mapping[str, float]) -> dict[str, float]:
    """What a step makes of numbers: those that are said, and others that are unlike each other."""
    names = {*program.reads, *program.assigned}
    values = {**_hyper(names), "t": 3.0, "T": 100.0, "lr": 0.01, **said}
    for target, expr in program.statements:
        values[target] = _number(expr, values)
    return values


def _hyper(names: Iterable[str]) -> dict[str, float]:
    return {name: 0.3 + 0.05 * at for at, name in enumerate(sorted(names))}


def _number(expr: Expr, values: Mapping[str, float]) -> float:
    """An expression's value; NaN where it has none."""
    found = fold(replace_names(expr, {name: signed(values[name]) for name in names_in(expr) if name in values}))
    if isinstance(found, Op) and found.name == "neg" and isinstance(found.args[0], Num):
        return -found.args[0].value
    return found.value if isinstance(found, Num) else math.nan


def _memory(own: float) -> Range:
    return Range(max(0.0, 1 - 10 * (1 - own)), min(1 - (1 - own) / 10, 1 - 1e-9), "complement")


def _factor_lists(expr: Expr) -> Iterator[list[Expr]]:
    """The factors of every product in an expression."""
    for node in walk(expr):
        if isinstance(node, Op) and node.name == "*":
            yield list(_factors(node))


def _factors(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, Op) and expr.name == "*":
        for argument in expr.args:
            yield from _factors(argument)
    elif isinstance(expr, Op) and expr.name == "neg":
        yield from _factors(expr.args[0])
    else:
        yield expr

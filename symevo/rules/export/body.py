"""The statements of an exported file, one on a line where there is room, in place where that gives the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from symevo.errors import UserError
from symevo.rules.export.names import Names
from symevo.rules.export.parts import Parts, Statement
from symevo.rules.export.text import Code, ListCode, TensorCode, is_literal, scalar_text
from symevo.rules.expression import Expr, Name, Op, names_in, walk
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.schedule import Schedule

WIDTH = 116
"""Columns of a line in a function's body."""
Write = Callable[[str, Expr], list[str]]


def scalar_lines(parts: Parts, code: Code) -> list[str]:
    """What a step computes once, in float64."""
    free = Names([*parts.spelling.values(), *parts.numbers])
    return _lines(parts.scalars, lambda target, expr: [f"{target} = {code.text(expr)}"], lambda: free.numbered("part"))


def tensor_lines(parts: Parts, code: TensorCode) -> list[str]:
    """What happens to the weights of one tensor."""
    free = Names([*parts.spelling.values(), *parts.numbers])
    kept = {"theta", *(parts.spelling[name] for name in parts.states)}
    writer = _Tensors(code, kept)
    return _lines(parts.tensors, writer.statement, lambda: free.numbered("part"))


def list_names(parts: Parts) -> dict[str, str]:
    """The name of the list of each tensor: ``ms`` for ``m``."""
    free = Names([*parts.spelling.values(), *parts.numbers])
    names = ["theta", "g", *(parts.spelling[name] for name in parts.states), *(target for target, _ in parts.tensors)]
    return {name: free.new(f"{name}s") for name in dict.fromkeys(names)}


def list_lines(parts: Parts, code: TensorCode, lists: Mapping[str, str]) -> list[str]:
    """What happens to the weights of many tensors at once."""
    names = dict(lists)
    free = Names([*parts.spelling.values(), *parts.numbers, *lists.values()])
    kept = {"theta", *(parts.spelling[name] for name in parts.states)}

    def part() -> str:
        name = free.numbered("part")
        names[name] = free.new(name.replace("part", "parts"))
        return name

    return _lines(parts.tensors, _Lists(code, kept, names).statement, part)


def _lines(statements: Iterable[Statement], write: Write, part: Callable[[], str]) -> list[str]:
    """All lines; what is too long for one has lines of its own for its parts."""
    return [line for target, expr in statements for line in _fitting(target, expr, write, part)]


def _fitting(target: str, expr: Expr, write: Write, part: Callable[[], str]) -> list[str]:
    lines: list[str] = []
    while _too_long(found := write(target, expr)):
        largest = _largest(expr, write)
        if largest is None:
            break
        name = part()
        lines += write(name, largest)
        expr = _replaced(expr, largest, Name(name))
    return [*lines, *found]


def _too_long(lines: list[str]) -> bool:
    return any(len(line) > WIDTH for text in lines for line in text.split("\n"))


def _largest(expr: Expr, write: Write) -> Expr | None:
    """The largest part that has room on a line; all or a comparison only where there is nothing else."""
    inner = [one for one in walk(expr) if isinstance(one, Op) and one is not expr and not is_literal(one)]
    inner = [one for one in inner if not _too_long(write("part_10", one))]
    values = [one for one in inner if PRIMITIVES.get(one.name).kind != "comparison"]
    whole = [] if _too_long(write("part_10", expr)) else [expr]
    return max(values or whole or inner, key=lambda one: sum(1 for _ in walk(one)), default=None)


def _replaced(expr: Expr, old: Expr, new: Expr) -> Expr:
    if expr == old:
        return new
    if isinstance(expr, Op):
        return Op(expr.name, tuple(_replaced(one, old, new) for one in expr.args))
    return expr


class _Tensors:
    """Statements on tensors. Those in ``kept``, theta and the states, stay and are written to."""

    def __init__(self, code: TensorCode, kept: set[str]) -> None:
        self.code, self.kept = code, kept

    def statement(self, target: str, expr: Expr) -> list[str]:
        if target not in self.kept:
            copied = ".clone()" if isinstance(expr, Name) and expr.id in self.kept else ""
            return [f"{target} = {self.code.text(expr)}{copied}"]
        steps = in_place(target, expr) or [("copy", expr)]
        return [target + "".join(f".{name}_({self.code.text(one)})" for name, one in steps)]


class _Lists:
    """Statements on lists of tensors, see :class:`_Tensors`."""

    def __init__(self, code: TensorCode, kept: set[str], lists: Mapping[str, str]) -> None:
        self.code, self.kept, self.lists = code, kept, lists
        self.foreach = ListCode(lists)

    def statement(self, target: str, expr: Expr) -> list[str]:
        name = self.lists.get(target, target)
        if target not in self.kept:
            if isinstance(expr, Name) and expr.id in self.kept:
                return [f"{name} = [{expr.id}.clone() for {expr.id} in {self.lists[expr.id]}]"]
            return [self.value(f"{name} = ", expr, "")]
        return [self.step(name, *one) for one in in_place(target, expr) or [("copy", expr)]]

    def step(self, name: str, what: str, expr: Expr) -> str:
        if self.foreach.is_list(expr):
            return self.value(f"torch._foreach_{what}_({name}, ", expr, ")")
        if what == "copy":
            return f"torch._foreach_copy_({name}, [{scalar_text(expr)}] * len({name}))"
        if what == "sub" and not is_literal(expr):  # torch takes a tensor of no dimension for adding only
            return f"torch._foreach_add_({name}, -{scalar_text(expr)})"
        return f"torch._foreach_{what}_({name}, {scalar_text(expr)})"

    def value(self, start: str, expr: Expr, end: str) -> str:
        """A line with an expression in it; torch's other functions take the tensors of a list one by one."""
        try:
            return f"{start}{self.foreach.text(expr)}{end}"
        except LookupError:
            pass
        read = [one for one in dict.fromkeys(names_in(expr)) if one in self.lists]
        source = ", ".join(self.lists[one] for one in read)
        loop = f"for {', '.join(read)} in {f'zip({source})' if len(read) > 1 else source}"
        element = self.code.text(expr)
        line = f"{start}[{element} {loop}]{end}"
        if len(line) <= WIDTH or end:
            return line
        inside = f"    {element} {loop}"
        inside = inside if len(inside) <= WIDTH else f"    {element}\n    {loop}"
        return f"{start}[\n{inside}\n]"


def in_place(target: str, expr: Expr) -> list[tuple[str, Expr]]:
    """The steps that turn a tensor into the value of ``expr`` with the same bits; none where there are no such.

    ``theta - x`` is one step, ``beta*m + x`` two, provided that x does not read m.
    """
    if not isinstance(expr, Op) or expr.name not in ("+", "-", "*", "/"):
        return []
    x, y = expr.args
    me = Name(target)
    if expr.name in ("+", "*") and y == me:
        x, y = y, x
    if x == me:
        return [({"+": "add", "-": "sub", "*": "mul", "/": "div"}[expr.name], y)]
    if expr.name == "+" and _scaled(me, y) is not None:
        x, y = y, x
    factor = _scaled(me, x)
    if expr.name not in ("+", "-") or factor is None or target in names_in(y):
        return []
    return [("mul", factor), ("add" if expr.name == "+" else "sub", y)]


def _scaled(me: Name, expr: Expr) -> Expr | None:
    """The factor in ``factor*me``."""
    if not isinstance(expr, Op) or expr.name != "*" or me not in expr.args:
        return None
    factor = expr.args[1] if expr.args[0] == me else expr.args[0]
    return None if me.id in names_in(factor) else factor


_DECAYS = {"cosine": "0.5 * (1.0 + math.cos(math.pi * (step / total)))", "linear": "1.0 - step / total"}


def schedule_function(schedule: Schedule) -> str:
    """The factor on the learning rate."""
    from symevo.rules.printing.symbolic import describe

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

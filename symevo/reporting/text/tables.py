"""Tables and rules as plain text for 80 columns.

Forms of the grammar in words, and trees as text pictures.
"""

from __future__ import annotations

import io
import os
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.genomes.expression.grammar import OLD, Form, Number, Rate
from symevo.rules.expression import Expr, Name, replace_names
from symevo.rules.printing.text import Unicode, rounded

if TYPE_CHECKING:
    from symevo.rules.rule import Rule

WIDTH = 80
MAX_ROWS = 10
_INDENT = "     "


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Rows below their heads, in lines of at most :data:`WIDTH`; all columns but the first stand on the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for at, name in enumerate(head):
        table.add_column(Text(name), justify="right" if at else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def number(value: float | None, form: str = ".4f", *, none: str = "-") -> str:
    """A number as text; ``none`` for what is no finite one."""
    return none if value is None or not isfinite(value) else f"{value:{form}}"


def count(number: int, thing: str) -> str:
    """``1 task``, ``1,234 tasks``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def tree_picture(tree: Any) -> list[str]:
    r"""A tree of nested lists, ``[name, argument, …]``, a node a line; numbers stand behind the name of their node.

    Example:
        >>> print("\n".join(tree_picture(["sign", ["mix", ["last", "g"], "g", 0.9]])))
        sign
        └─ mix 0.9
           ├─ last
           │  └─ g
           └─ g
    """
    if not isinstance(tree, list | tuple):
        return [_word(tree)]
    name, *args = tree
    below = [one for one in args if not isinstance(one, int | float)]
    lines = [" ".join([str(name), *(_word(one) for one in args if isinstance(one, int | float))])]
    for place, branch in enumerate(below, 1):
        last = place == len(below)
        first, *rest = tree_picture(branch)
        lines += [f"{'└─' if last else '├─'} {first}", *(f"{' ' if last else '│'}  {line}" for line in rest)]
    return lines


def _word(value: Any) -> str:
    return rounded(value, 4) if isinstance(value, int | float) else str(value)


LEGEND = (
    "x, y, z: a value for each weight; g, the gradient, is where a tree begins. β: a rate from 0 to 0.9999. "
    "c: a number from 1e-8 to 100. s: a state, kept for each weight, 0 at first."
)


def form_lines(forms: Mapping[str, Form]) -> dict[str, str]:
    """For each form how it is called, and what it means."""
    return dict(map(_described, forms.values()))


_NUMBERS = {Rate: "beta", Number: "c"}


def _described(form: Form) -> tuple[str, str]:
    signals = iter("xyz")
    letters = [_NUMBERS.get(kind) or next(signals) for kind in form.args]
    printer = Unicode(["x", "y", "z", "c", "beta", "s", "t"])
    call = f"{form.name}({', '.join(map(printer.name, letters))})"

    def text(expr: Expr, **states: Name) -> str:
        return printer.text(replace_names(replace_names(expr, states), dict(zip("xyz", letters, strict=False))))

    if form.update is None:
        return call, text(form.value)
    value, update = text(form.value, s=Name("s_{t}"), **{OLD: Name("s_{t-1}")}), text(form.update, s=Name("s_{t-1}"))
    return call, f"{value}, where s_t = {update}"


def run_report(run: Any) -> str:
    """The closing report of a :class:`symevo.runs.run.Run`: what was done, the best rules, and the winner in full."""
    summary = run.summary()
    parts = [
        "\n".join([*headline(run), *proposals_lines(summary.get("proposals", {}))]),
        front_table(run.front, pick=run.pick),
        f"The best rule\n\n{rule_report(run.best.rule, numbers=True)}",
        operators_table(summary.get("operators", {})),
        f"{usage(run)}\nanother     symevo show {shlex.quote(shown(run.path))} --rank N",
    ]
    return "\n\n".join(part for part in parts if part)


def headline(run: Any) -> list[str]:
    """What was done, in a line or two."""
    summary, settings = run.summary(), run.settings
    head = (
        f"{settings.system}: {len(summary['generations'])} of {settings.generations} generations, "
        f"{summary['evaluations']:,} evaluations, {summary['seconds']:.0f} s, seed {settings.seed}"
    )
    return textwrap.wrap(head, WIDTH)


def usage(run: Any) -> str:
    """Where the run is, and the two lines of code that use its best rule."""
    path = shown(run.path)
    steps = "" if run.best.rule.schedule.is_constant else ", total_steps=STEPS"
    return (
        f'run folder  {path}\nuse it      rule = symevo.load("{path}").best.rule\n'
        f"            optimizer = symevo.Optimizer(model.parameters(), rule{steps})"
    )


def shown(path: Path) -> str:
    """A path as seen from the current folder, if it lies in that."""
    return os.path.relpath(path) if Path.cwd() in path.absolute().parents else str(path)


def candidate_report(one: Any, *, title: str) -> str:
    """One rule of a front in full: its scores, its equations, and its tree where it is one."""
    scores = ", ".join(f"{name} {score:.4f}" for name, score in one.per_task.items())
    head = f"{title}: fitness {one.fitness:.4f}, size {one.complexity}, states {len(one.rule.states)}"
    report = rule_report(one.rule, numbers=True)
    if tree := tree_of(one):
        report += "\n" + "\n".join(["tree", *(_INDENT + line for line in tree)])
    return "\n".join([*textwrap.wrap(head, WIDTH), *_wrapped(scores)]) + f"\n\n{report}"


def tree_of(one: Any) -> list[str]:
    """The picture of a candidate's tree; empty where it is none."""
    return tree_picture(one.genome["tree"]) if isinstance(one.genome, dict) and "tree" in one.genome else []


def proposals_lines(proposals: Mapping[str, Any]) -> list[str]:
    """What became of all that was proposed, as one sentence; nothing where all of it was trained."""
    shares = proposals.get("shares", {})
    if set(shares) <= {"trained"}:
        return []
    words = ", ".join(f"{_percent(share)} {name}" for name, share in shares.items())
    return textwrap.wrap(f"{proposals['count']:,} proposals: {words}", WIDTH)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def operators_table(operators: Mapping[str, Mapping[str, int]]) -> str:
    """How each operator fared; empty where a loop does not judge its children one by one."""
    if set(operators) <= {"seed", "random"}:
        return ""
    keys = ("tried", "valid", "improved")
    rows = ([name, *(f"{row[key]:,}" for key in keys)] for name, row in operators.items())
    return "\n".join(columns(["operator", *keys], rows))


def spread(records: Sequence[Any], rows: int = MAX_ROWS) -> list[Any]:
    """At most ``rows`` of the records, evenly, the first and the last among them."""
    most = min(rows, len(records))
    places = {round(at * (len(records) - 1) / max(1, most - 1)) for at in range(most)}
    return [records[at] for at in sorted(places)]


def front_table(front: Sequence[Any], *, pick: Any = None) -> str:
    """Rules with their scores, each above its equation; more than :data:`MAX_ROWS` are counted.

    Scores by task stand in columns where these fit into a line, else on a line of their own.

    Args:
        front: Best first.
        pick: Which of them to mark, see :func:`symevo.search.pareto.pick`.
    """
    if not front:
        return "no rule has a score yet"
    names = list(front[0].per_task)
    wide = sum(max(len(name), 7) + 2 for name in names) + 28 <= WIDTH
    shown = front[:MAX_ROWS]
    first, *lines = columns(
        [" #", "fitness", *(names if wide else []), "size", "states", ""],
        (
            [f"{rank:>2}", number(one.fitness), *(number(one.per_task[name]) for name in names if wide), one.complexity,
             len(one.rule.states), "*" if one is pick else ""]
            for rank, one in enumerate(shown, 1)
        ),
    )  # fmt: skip
    found = [first]
    for one, line in zip(shown, lines, strict=True):
        found.append(line)
        if not wide:
            found += _wrapped(", ".join(f"{name} {one.per_task[name]:.4f}" for name in names))
        found += _wrapped(_shortest(one.rule))
    if len(front) > MAX_ROWS:
        found.append(f"and {len(front) - MAX_ROWS} more: symevo show RUN --json")
    for rank in (rank for rank, one in enumerate(front, 1) if one is pick):
        what = "it gains most for what it adds in size" if rank <= MAX_ROWS else f"symevo show RUN --rank {rank}"
        found.append(f" *  the pick: {what}")
    return "\n".join(found)


_WORTH_IT = 12
"""Rules of a smaller size are not simplified for a table: that takes sympy a fraction of a second each."""


def _shortest(rule: Rule) -> str:
    """:func:`one_line` with numbers, simplified where that is shorter."""
    found = one_line(rule, numbers=True)
    if rule.complexity < _WORTH_IT:
        return found
    return min(found, _last_weight_line(rule.unicode(numbers=True, simplified=True)), key=len)


def rule_report(rule: Rule, *, numbers: bool = False) -> str:
    """One rule in full: equations, numbers, the schedule if there is one, program text.

    Args:
        rule: What to show.
        numbers: Write values into the equations, to four digits, instead of the names of hyperparameters.
    """
    sections = {
        "equations": rule.unicode(numbers=numbers).splitlines(),
        "numbers": [rule.numbers()],
        "schedule": [] if rule.schedule.is_constant else [str(rule.schedule)],
        "program": list(rule.program.lines),
    }
    blocks = [
        [title, *(part for line in lines for part in _wrapped(line))] for title, lines in sections.items() if lines
    ]
    return "\n".join(line for block in blocks for line in block)


def one_line(rule: Rule, *, numbers: bool = False) -> str:
    """What the rule does to a weight, as one equation in unicode; see :func:`rule_report` for ``numbers``."""
    found = _last_weight_line(rule.unicode(numbers=numbers))
    # θ′ is a value from an earlier line, which one line cannot show: write it out. That is slower.
    return _last_weight_line(rule.unicode(numbers=numbers, simplified=True)) if "′" in found else found


def _last_weight_line(equations: str) -> str:
    lines = equations.splitlines()
    return next((line for line in reversed(lines) if line.startswith("θ")), lines[-1])


def listing(entries: Mapping[str, str]) -> str:
    """Names with one description each, in two columns."""
    names = max(map(len, entries), default=0)
    blank = " " * (names + 2)
    return "\n".join(
        textwrap.fill(text or "-", WIDTH, initial_indent=f"{name:<{names}}  ", subsequent_indent=blank)
        for name, text in entries.items()
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT + "    ", break_on_hyphens=False
    ) or [_INDENT]

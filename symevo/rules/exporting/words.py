"""What an exported file says of itself: how it is used, where it came from, its equations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from symevo.rules.exporting.layout import comment, paragraph
from symevo.rules.expression import names_in
from symevo.rules.printing import Unicode
from symevo.rules.program import Program
from symevo.rules.rule import Rule


def module_words(name: str, module: str, *, splits: bool, counts: bool) -> str:
    """The module's docstring.

    Args:
        name: Of the class.
        module: Of the file, as it is imported.
        splits: Whether the file has ``split_decay``.
        counts: Whether the constructor takes ``total_steps``.
    """
    params = "split_decay(model)" if splits else "model.parameters()"
    more = ", total_steps=10_000" if counts else ""
    return f'''"""An optimizer written by symevo, in one file that needs torch alone.

::

    from {module} import {name}{", split_decay" if splits else ""}

    optimizer = {name}({params}{more})
"""'''


def origin(rule: Rule, about: Mapping[str, Any]) -> str:
    """Where the rule is from, as comments, in ASCII: no text of a run or a rule can become code."""
    rows = [f"{key}: {json.dumps(value)}" for key, value in about.items()]
    rule_json = json.dumps(rule.to_json(), indent=1)
    return "\n".join([*map(comment, rows), "# The rule, as symevo.rule takes it:", comment(rule_json)])


def class_words(rule: Rule, *, counts: bool) -> str:
    """The class's docstring, without quotes: the equations, and every argument."""
    program, states = rule.program, rule.states
    kept = f"keeps {len(states)} number{'s' * (len(states) != 1)} per weight" if states else "keeps nothing per weight"
    rows = [
        paragraph(f"A rule that {kept}. With g the gradient and t the step of a weight:"),
        "\n::\n",
        *(paragraph(line, indent=4, hanging=4) for line in rule.unicode().split("\n")),
    ]
    rows += ["\nArgs:", *(paragraph(line, indent=4, hanging=4) for line in _arguments(rule, program, counts))]
    rows += [
        "\nRaises:",
        "    ValueError: A number that is out of range.",
        "    RuntimeError: A sparse or complex gradient; nothing has changed then.",
    ]
    return "\n".join(rows)


def _arguments(rule: Rule, program: Program, counts: bool) -> list[str]:
    printer = Unicode([*rule.hyper, *program.memory, *program.temporaries, "theta", "g"])
    rows = [
        "params: Parameters, named parameters or param groups; a group may have its own lr and numbers.",
        "lr: Learning rate, a number or a tensor of one element.",
    ]
    for name in program.hyper_names:
        decay = f"; {_decay(program)}" if name == "weight_decay" else ""
        rows.append(f"{name}: {printer.name(name)} in the equations{decay}.")
    if counts:
        rows.append("total_steps: T, the number of steps in all.")
        if "T" not in program.reads:
            rows[-1] = "total_steps: T, the number of steps in all; without it lr stays what the group says."
    rows.append("foreach: Where nothing is compiled, update all tensors together and not one by one: the same bits.")
    rows.append("compile: On a CPU, update by compiled code; it agrees with the other ways up to rounding.")
    return rows


def _decay(program: Program) -> str:
    coupled = any("weight_decay" in names_in(expr) and target != "theta" for target, expr in program.statements)
    return "coupled, as a part of the gradient" if coupled else "decoupled, a step of its own"

"""Any rule as one Python file that needs torch alone: a documented ``torch.optim.Optimizer``.

The file is ``optimizer.jinja``, filled in with what the rule decides.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader

from symevo.about import __version__
from symevo.errors import UserError
from symevo.rules.export.body import list_lines, list_names, scalar_lines, schedule_function, tensor_lines
from symevo.rules.export.names import RESERVED, called, class_name, comment, paragraph
from symevo.rules.export.parts import Parts
from symevo.rules.export.text import Helpers, ScalarCode, TensorCode
from symevo.rules.expression import names_in
from symevo.rules.hyper import CLOSE, DECAY_RATE, NOT_NEGATIVE, number
from symevo.rules.printing.text import Unicode
from symevo.rules.program import Program, Rule, is_finite


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


TAKEN = frozenset({"super", "warnings", "ValueError"})
"""Names that the constructor reads, which no hyperparameter of an exported rule may have."""


def _filled(rule: Rule) -> dict[str, Any]:
    """What the template reads of a rule.

    Raises:
        UserError: The rule holds what no file can have.
    """
    program, parts, helpers = rule.program, Parts.of(rule.program), Helpers()
    clash = sorted(TAKEN.intersection(rule.hyper))
    if clash:
        raise UserError(f"hyperparameter {clash[0]!r} has a name that the exported class uses: rename it")
    if not any(target == "theta" for target, _ in parts.tensors):
        raise UserError("the rule changes no weight: there is nothing to export")
    needs_total, scheduled = "T" in program.reads, not rule.schedule.is_constant
    counts = needs_total or scheduled
    switches = [*(["total_steps"] if counts else []), "foreach", "compile"]
    spelling, memory = parts.spelling, parts.scalar_states
    numbers = {name: value for name, value in rule.hyper.items() if name != "lr"}
    rates = [name for name in rule.hyper if DECAY_RATE.fullmatch(name)]
    given = [name for name in ("t", "T", "lr", *program.hyper_names) if parts.reads(name)]
    values = {name: f'float(group["{name}"])' for name in rule.hyper}
    values |= {"t": "float(t)", "T": "float(self.total_steps)"}
    if scheduled:
        values["lr"] = "self._rate(group, t)"
    total = ["total_steps: int" if needs_total else "total_steps: int | None = None"] if counts else []
    lists = list_names(parts)
    tensors = ["theta", "g", *(spelling[name] for name in parts.states)]
    return {
        "words": class_words(rule, counts=counts),
        "splits": "weight_decay" in rule.hyper,
        "needs_total": needs_total,
        "counts": counts,
        "switches": switches,
        "arguments": [
            "self",
            "params: Iterable[Any]",
            f"lr: float | Tensor = {rule.lr!r}",
            "*",
            *(f"{name}: float = {value!r}" for name, value in numbers.items()),
            *total,
            "foreach: bool = True",
            "compile: bool = True",
        ],
        "defaults": [f'"{name}": {name}' for name in ("lr", *numbers)],
        "hyper": list(rule.hyper),
        "bounded": [name for name in rule.hyper if name in NOT_NEGATIVE],
        "rates": rates,
        "states": parts.states,
        "scalar_states": memory,
        "counted": ["t", *memory],
        "bucket_key": [
            'getattr(param, "device_mesh", None)',
            "param.device",
            "param.dtype",
            *(f'state["{name}"]' for name in ("t", *memory)),
        ],
        "row": ["param", "param.grad", *(f'state["{name}"]' for name in parts.states)],
        # Scalar states have no names in the class, so that none meets a name of the code's own.
        "step_key": ["_", "device", "dtype", "t" if counts or "t" in given else "_", *(["*memory"] if memory else [])],
        "given": [*(values[name] for name in given), *(["*memory"] if memory else [])],
        "kept": ["**super().__getstate__()", *(f'"{name}": self.{name}' for name in (*switches, "_told"))],
        "schedule": schedule_function(rule.schedule) if scheduled else "",
        "scalar_names": [spelling[name] for name in (*given, *memory)],
        "returned": f"tuple[tuple[float, ...]{', float' * len(memory)}]" if memory else "tuple[float, ...]",
        "and_states": f", and the new {' and '.join(memory)}" if memory else "",
        "new_states": [spelling[name] for name in memory],
        "numbers": list(parts.numbers),
        "scalar_lines": scalar_lines(parts, ScalarCode(helpers, [spelling[name] for name in rates])),
        "tensors": tensors,
        "tensor_lines": tensor_lines(parts, TensorCode(helpers)),
        "lists": [lists[name] for name in tensors],
        "list_lines": list_lines(parts, TensorCode(helpers), lists),
        "helpers": helpers.texts,
        "close": repr(CLOSE),
    }


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _typed(names: Iterable[str], kind: str) -> list[str]:
    return [f"{name}: {kind}" for name in names]


def _tuple_items(items: Iterable[str]) -> list[str]:
    """Items of a tuple: one alone has a comma."""
    items = list(items)
    return [f"{items[0]},"] if len(items) == 1 else items


MAX_NAME = 60
MODULE = "my_optimizer"
_TAKEN = RESERVED - frozenset(keyword.softkwlist)


def source(rule: Rule, *, name: str | None = None, about: Mapping[str, Any] | None = None, module: str = MODULE) -> str:
    """The text of a Python file with the rule as an optimizer.

    The file needs torch, and nothing of symevo. It has the equations in its class's docstring, the rule in comments,
    and runs as :class:`symevo.Optimizer` does: bit for bit where nothing is compiled.

    Args:
        rule: What to write.
        name: Of the class; by default the rule's, in capitals.
        about: What else to tell of the rule, such as its run and its scores; plain data.
        module: The file's name without its ending, which its docstring imports from, if it is a name in Python.

    Raises:
        UserError: A name that no class can have, or a rule that cannot be exported; the message says why.
    """
    if not is_finite(rule):
        raise UserError("every hyperparameter of an exported rule is a finite number")
    for hyper, value in rule.hyper.items():  # the file refuses what is out of range, its own defaults too
        number(hyper, value)
    told = {"symevo": __version__, **(about or {})}
    imported = module if module.isascii() and module.isidentifier() and not keyword.iskeyword(module) else MODULE
    own = checked(name) if name is not None else _own(rule)
    filled = _filled(rule)
    functions = "\n".join([filled["schedule"], *filled["scalar_lines"], *filled["helpers"]])
    environment = Environment(
        loader=PackageLoader("symevo.rules", "export"), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.globals |= {"called": called, "quoted": _quoted, "typed": _typed, "tuple_items": _tuple_items}
    return environment.get_template("optimizer.jinja").render(
        name=own, module=imported, origin=origin(rule, told), uses_math="math." in functions, **filled
    )


def checked(name: str) -> str:
    """A class's name as a user gives it.

    Raises:
        UserError: Python cannot have it, or the file uses it for something else.
    """
    if keyword.iskeyword(name) or not (name.isascii() and name.isidentifier()) or len(name) > MAX_NAME:
        raise UserError(
            f"{name[:MAX_NAME]!r} is no name of a class: give letters, digits and underscores, such as MyOptimizer"
        )
    if name in _TAKEN or name.startswith("_") or name == "split_decay":
        raise UserError(f"the exported file uses {name!r} for something else: give another name, such as MyOptimizer")
    return name


def _own(rule: Rule) -> str:
    name = class_name(rule.name)[:MAX_NAME]
    return f"{name}Optimizer" if name in _TAKEN else name

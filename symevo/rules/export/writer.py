"""Any rule as one Python file that needs torch alone: a documented ``torch.optim.Optimizer``.

An exported file as a whole.

What an exported file says of itself: how it is used, where it came from, its equations.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

from symevo.about import __version__
from symevo.errors import UserError
from symevo.rules.export.body import DECAY_RATE, Body
from symevo.rules.export.class_text import (
    CHECKING,
    COMMON,
    COMPILED,
    DISABLED,
    KEYS,
    LAST,
    LOADING,
    MEMORY,
    MISTAKEN,
    NUMBER,
    RATES,
    SCHEDULED,
    SETTING,
    STEP,
    TENSORS,
    ZEROS,
)
from symevo.rules.export.names import RESERVED, called, class_name, comment, indented, paragraph
from symevo.rules.expression import names_in
from symevo.rules.hyper import CLOSE, NOT_NEGATIVE, number
from symevo.rules.printing.text import Unicode
from symevo.rules.program import Program, Rule, is_finite


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


TAKEN = frozenset({"super", "warnings", "ValueError"})
"""Names that the constructor reads, which no hyperparameter of an exported rule may have."""


class File:
    """The text of an exported file.

    Args:
        rule: The rule.
        name: Of the class.
        about: What else to tell of the rule: its run, its scores; plain data.
        module: Of the file, as it is imported.

    Raises:
        UserError: The rule holds what no file can have.
    """

    def __init__(self, rule: Rule, name: str, about: Mapping[str, Any], module: str) -> None:
        self.rule, self.name, self.about, self.module, self.body = rule, name, about, module, Body(rule)
        clash = sorted(TAKEN.intersection(rule.hyper))
        if clash:
            raise UserError(f"hyperparameter {clash[0]!r} has a name that the exported class uses: rename it")
        if not any(target == "theta" for target, _ in self.body.parts.tensors):
            raise UserError("the rule changes no weight: there is nothing to export")
        self.splits = "weight_decay" in rule.hyper
        self.needs_total = "T" in rule.program.reads
        self.counts = self.needs_total or not rule.schedule.is_constant
        self.switches = [*(["total_steps"] if self.counts else []), "foreach", "compile"]

    def text(self) -> str:
        """The file."""
        parts = [
            self.class_text(),
            DISABLED.replace("CLASS", self.name),
            SPLIT if self.splits else "",
            self.body.text(),
            self.checking(),
            MISTAKEN.replace("CLOSE", repr(CLOSE)),
            COMMON,
            NUMBER,
            ZEROS if self.rule.states else "",
            COMPILED,
        ]
        code = "\n\n\n".join(part.strip("\n") for part in parts if part)
        imports = [f"import {name}" for name in ("difflib", "math", "warnings") if re.search(rf"\b{name}\.", code)]
        return "\n".join(
            [
                module_words(self.name, self.module, splits=self.splits, counts=self.counts),
                origin(self.rule, self.about),
                "",
                "from __future__ import annotations",
                "",
                *imports,
                "from collections.abc import Callable, Iterable",
                "from typing import Any",
                "",
                "import torch",
                "from torch import Tensor",
                "",
                "",
                code,
                "",
            ]
        )

    def class_text(self) -> str:
        """The optimizer's class."""
        methods = [self.constructor(), STEP, *self.rates(), KEYS, self.buckets(), self.update()]
        methods += [self.loading(), SETTING, self.pickling()]
        doc = f'"""{class_words(self.rule, counts=self.counts)}\n"""'
        text = "\n\n".join([doc, *(method.strip("\n") for method in methods)])
        return f"class {self.name}(torch.optim.Optimizer):\n{indented(text)}"

    def constructor(self) -> str:
        """Arguments, and torch's own constructor."""
        numbers = {name: value for name, value in self.rule.hyper.items() if name != "lr"}
        arguments = [
            "self",
            "params: Iterable[Any]",
            f"lr: float | Tensor = {self.rule.lr!r}",
            "*",
            *(f"{name}: float = {value!r}" for name, value in numbers.items()),
        ]
        if self.counts:
            arguments.append("total_steps: int" if self.needs_total else "total_steps: int | None = None")
        arguments += ["foreach: bool = True", "compile: bool = True"]
        lines = [called("def __init__(", arguments, ") -> None:", margin=4)]
        if self.counts:
            given = "" if self.needs_total else "total_steps is not None and "
            message = "total_steps must be a whole number of at least 1: {total_steps}"
            lines += [
                f"    if {given}not (total_steps >= 1 and total_steps % 1 == 0):",
                f'        raise ValueError(f"{message}")',
            ]
        items = [f'"{name}": {name}' for name in ("lr", *numbers)]
        lines.append(called("defaults: dict[str, Any] = {", items, "}", indent=4, margin=4))
        lines += ["    _check_numbers(defaults)", "    super().__init__(params, defaults)"]
        lines += [f"    self.{name} = {name}" for name in self.switches]
        lines += ['    self._told = {"params", "param_names"}', "    self._look_at_keys()"]
        if self.counts and not self.needs_total:
            lines += [
                "    if total_steps is None:",
                '        warnings.warn("the schedule does not run: give total_steps", stacklevel=2)',
            ]
        return "\n".join(lines)

    def buckets(self) -> str:
        """Parameters that have their numbers in common."""
        parts = self.body.parts
        start = [('"t"', "0"), *((f'"{name}"', "0.0") for name in parts.scalar_states)]
        start += [(f'"{name}"', "_zeros(param)") for name in parts.states]
        key = [
            'getattr(param, "device_mesh", None)',
            "param.device",
            "param.dtype",
            *(f'state["{name}"]' for name in ("t", *parts.scalar_states)),
        ]
        row = ["param", "param.grad", *(f'state["{name}"]' for name in parts.states)]
        started = "\n".join(f"            state[{name}] = {value}" for name, value in start)
        keyed = called("key = (", key, ")", indent=8, margin=4)
        listed = called("row = (", row, ")", indent=8, margin=4)
        return f'''
def _buckets(self, group: dict[str, Any]) -> dict[Any, list[tuple[Tensor, ...]]]:
    """Counts the step; rows of a parameter, its gradient and its states, those together that have equal numbers."""
    buckets: dict[Any, list[tuple[Tensor, ...]]] = {{}}
    for param in group["params"]:
        if param.grad is None:
            continue
        state = self.state[param]
        if "t" not in state:
{started}
        state["t"] += 1
{keyed}
{listed}
        buckets.setdefault(key, []).append(row)
    return buckets
'''

    def update(self) -> str:
        """One step of a group. Scalar states have no names here, so that none meets a name of the code's own."""
        memory = [f'"{name}"' for name in self.body.parts.scalar_states]
        given = [self._argument(name) for name in self.body.given]
        key, result = ["_", "device", "dtype", "t" if self.counts or "t" in self.body.given else "_"], "numbers"
        names = remembered = ""
        if memory:
            given, key, result = [*given, "*memory"], [*key, "*memory"], "numbers, *memory"
            items = [f"{memory[0]},"] if len(memory) == 1 else memory
            names = "\n" + called("names = (", items, ")", indent=4, margin=4)
            remembered = MEMORY.rstrip("\n")
        return f'''
def _update(self, group: dict[str, Any]) -> None:
    """One step of a group."""
    update = _compiled if self.compile else _together if self.foreach else _each{names}
    for ({", ".join(key)}), rows in self._buckets(group).items():
{called(f"{result} = _numbers(", given, ")", indent=8, margin=4)}{remembered}
        values = torch.tensor(numbers, dtype=_wide(dtype), device=device)
        (_each if values.is_meta else update)(values, rows)
'''

    def rates(self) -> list[str]:
        """What the learning rate is, in a step and after it."""
        if self.rule.schedule.is_constant:
            return [LAST]
        lines = ["def _rate(self, group: dict[str, Any], t: int) -> float:"]
        lines += ['    """The learning rate of step t: the group\'s times the factor of the rule\'s schedule."""']
        if not self.needs_total:
            lines += ["    if self.total_steps is None:", '        return float(group["lr"])']
        lines += ['    return float(group["lr"]) * _schedule(t - 1, self.total_steps)']
        return [SCHEDULED, "\n".join(lines)]

    def _argument(self, name: str) -> str:
        """What the rule's name stands for in a step."""
        if name == "t":
            return "float(t)"
        if name == "T":
            return "float(self.total_steps)"
        scheduled = name == "lr" and not self.rule.schedule.is_constant
        return "self._rate(group, t)" if scheduled else f'float(group["{name}"])'

    def checking(self) -> str:
        """The ranges of numbers, where no hyperparameter's name can have another meaning."""
        text = CHECKING.replace("BOUNDED", _named("bounded", filter(NOT_NEGATIVE.__contains__, self.rule.hyper)))
        rates = list(filter(DECAY_RATE.fullmatch, self.rule.hyper))
        return text.replace("RATES", _named("rates", rates)) + RATES if rates else text.replace("RATES\n", "")

    def loading(self) -> str:
        """How a state dict is taken."""
        parts = self.body.parts
        counted = _named("counted", ("t", *parts.scalar_states))
        text = LOADING.replace("NUMBERS", _named("numbers", self.rule.hyper))
        if parts.states:
            tensors = _named("tensors", parts.states)
            return text.replace("COUNTED", f"{counted}\n{tensors}").replace("NEEDED", "counted | tensors") + TENSORS
        return text.replace("COUNTED", counted).replace("NEEDED", "counted")

    def pickling(self) -> str:
        """What a copy needs beside what torch copies."""
        items = ["**super().__getstate__()", *(f'"{name}": self.{name}' for name in (*self.switches, "_told"))]
        return "def __getstate__(self) -> dict[str, Any]:\n" + called("return {", items, "}", indent=4, margin=4)


def _named(name: str, items: Iterable[str]) -> str:
    """A line of a function of a method's depth, with a set of names."""
    return called(f"{name} = {{", [f'"{item}"' for item in items], "}", indent=4, margin=4)


SPLIT = '''
def split_decay(model: torch.nn.Module, weight_decay: float | None = None) -> list[dict[str, Any]]:
    """Two param groups: no weight decay for biases and what norms have, the weight decay for all others.

    Exempt are parameters of fewer than two dimensions, those called bias, and what a norm itself holds; not what is in
    a block that has a norm inside, whatever the block is called.

    Args:
        model: Its parameters that need a gradient are taken.
        weight_decay: Of the others; by default the optimizer's.
    """
    spared = {one for name, one in model.named_parameters(remove_duplicate=False) if name.split(".")[-1] == "bias"}
    for part in filter(_is_norm, model.modules()):
        named = part.named_parameters()
        spared.update(one for name, one in named if "." not in name or name.startswith("parametrizations."))
    exempt, others = [], []
    for param in model.parameters():
        if param.requires_grad:
            (exempt if param.dim() < 2 or param in spared else others).append(param)
    decayed = {} if weight_decay is None else {"weight_decay": weight_decay}
    return [{"params": others, **decayed}, {"params": exempt, "weight_decay": 0.0}]


def _is_norm(part: torch.nn.Module) -> bool:
    """Whether a module is a norm: one of torch's, or one called so, as LlamaRMSNorm is, that holds no other module."""
    nn = torch.nn
    rms = getattr(nn, "RMSNorm", nn.LayerNorm)
    if isinstance(part, (nn.LayerNorm, nn.GroupNorm, rms, nn.modules.batchnorm._NormBase)):
        return True
    holds = [name for name, _ in part.named_children() if name != "parametrizations"]
    return not holds and type(part).__name__.rstrip("123d").endswith("Norm")
'''


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
    return File(rule, checked(name) if name is not None else _own(rule), told, imported).text()


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

"""An exported file as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from symevo.errors import UserError
from symevo.rules.exporting.body import DECAY_RATE, Body
from symevo.rules.exporting.layout import called, indented
from symevo.rules.exporting.running import COMMON, COMPILED, ZEROS
from symevo.rules.exporting.words import class_words, module_words, origin
from symevo.rules.rule import Rule

TAKEN = frozenset({"float", "super", "warnings", "ValueError"})
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
            SPLIT if self.splits else "",
            self.body.text(),
            COMMON,
            ZEROS if self.rule.states else "",
            COMPILED,
        ]
        code = "\n\n\n".join(part.strip("\n") for part in parts if part)
        imports = [f"import {name}" for name in ("math", "warnings") if re.search(rf"\b{name}\.", code)]
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
        methods = [self.constructor(), STEP, self.buckets(), self.update()]
        methods += [self.loading()] if self.rule.states else []
        methods.append(self.pickling())
        doc = f'"""{class_words(self.rule, counts=self.counts)}\n"""'
        text = "\n\n".join([doc, *(method.strip("\n") for method in methods)])
        return f"class {self.name}(torch.optim.Optimizer):\n{indented(text)}"

    def constructor(self) -> str:
        """Arguments, their ranges, and torch's own constructor."""
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
        lines += [_check(name) for name in ("lr", *numbers) if _range(name)]
        if self.counts:
            given = "" if self.needs_total else "total_steps is not None and "
            message = "total_steps must be a whole number of at least 1: {total_steps}"
            lines += [
                f"    if {given}not (total_steps >= 1 and total_steps % 1 == 0):",
                f'        raise ValueError(f"{message}")',
            ]
        items = [f'"{name}": {name}' for name in ("lr", *numbers)]
        lines.append(called("defaults: dict[str, Any] = {", items, "}", indent=4, margin=4))
        lines.append("    super().__init__(params, defaults)")
        lines += [f"    self.{name} = {name}" for name in self.switches]
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
        key = ["param.device", "param.dtype", *(f'state["{name}"]' for name in ("t", *parts.scalar_states))]
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
        if not state:
{started}
        state["t"] += 1
{keyed}
{listed}
        buckets.setdefault(key, []).append(row)
    return buckets
'''

    def update(self) -> str:
        """One step of a group."""
        spelling, memory = self.body.parts.spelling, self.body.parts.scalar_states
        given = [self._argument(name) for name in self.body.given] + [spelling[name] for name in memory]
        result = ", ".join(["numbers", *(spelling[name] for name in memory)])
        key = ", ".join(["device", "dtype", "t" if self.counts or "t" in self.body.given else "_"])
        key = ", ".join([key, *(spelling[name] for name in memory)])
        remembered = "".join(
            f'''
        for param, *_ in rows:
            self.state[param]["{name}"] = {spelling[name]}'''
            for name in memory
        )
        rate = "".join(f"\n        {line}" for line in self._rate())
        return f'''
def _update(self, group: dict[str, Any]) -> None:
    """One step of a group."""
    update = _compiled if self.compile else _together if self.foreach else _each
    for ({key}), rows in self._buckets(group).items():{rate}
{called(f"{result} = _numbers(", given, ")", indent=8, margin=4)}{remembered}
        update(torch.tensor(numbers, dtype=_wide(dtype), device=device), rows)
'''

    def _rate(self) -> list[str]:
        if self.rule.schedule.is_constant or "lr" not in self.body.given:
            return []
        scheduled = "lr *= _schedule(t - 1, self.total_steps)"
        if self.needs_total:
            return ['lr = float(group["lr"])', scheduled]
        return ['lr = float(group["lr"])', "if self.total_steps is not None:", f"    {scheduled}"]

    def _argument(self, name: str) -> str:
        """What the rule's name stands for in a step."""
        if name == "t":
            return "float(t)"
        if name == "T":
            return "float(self.total_steps)"
        return "lr" if name == "lr" and self._rate() else f'float(group["{name}"])'

    def loading(self) -> str:
        """How a state dict is taken."""
        names = ", ".join(f'"{name}"' for name in sorted({"t", *self.rule.program.memory}))
        return LOADING.replace("EXPECTED", f"{{{names}}}")

    def pickling(self) -> str:
        """What a copy needs beside what torch copies."""
        items = ["**super().__getstate__()", *(f'"{name}": self.{name}' for name in self.switches)]
        return "def __getstate__(self) -> dict[str, Any]:\n" + called("return {", items, "}", indent=4, margin=4)


def _range(name: str) -> str | None:
    if DECAY_RATE.fullmatch(name):
        return f"0.0 <= {name} < 1.0"
    return f'0.0 <= {name} < float("inf")' if name in ("lr", "eps") else None


def _check(name: str) -> str:
    what = "must be finite and not negative" if name in ("lr", "eps") else "must be at least 0 and less than 1"
    return f'    if not {_range(name)}:\n        raise ValueError(f"{name} {what}: {{{name}}}")'


STEP = '''
@torch.no_grad()
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
    for group in self.param_groups:
        for param in group["params"]:
            _check_gradient(param.grad)
    for group in self.param_groups:
        self._update(group)
    return loss
'''
LOADING = '''
def load_state_dict(self, state_dict: dict[str, Any]) -> None:
    """Continues bit for bit; torch alone would give states the type of their weights."""
    for state in state_dict["state"].values():
        if set(state) != EXPECTED:
            raise ValueError(f"the state dict is of another optimizer: it holds {', '.join(sorted(state))}")
    super().load_state_dict(state_dict)
    saved = [index for group in state_dict["param_groups"] for index in group["params"]]
    params = [param for group in self.param_groups for param in group["params"]]
    for index, param in zip(saved, params, strict=True):
        for name, value in state_dict["state"].get(index, {}).items():
            if isinstance(value, Tensor):
                self.state[param][name] = _zeros(param).copy_(value)
'''
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

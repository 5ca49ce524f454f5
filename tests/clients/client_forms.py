"""What is handed to clients: rules, and the two forms in which a rule is a torch optimizer."""

from __future__ import annotations

import functools
import importlib.util
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import symevo

RULES: dict[str, tuple[str, dict[str, float]]] = {
    "adamw": ("adamw", {"lr": 1e-2, "weight_decay": 0.1, "eps": 1e-3}),
    "adam": ("adam", {"lr": 1e-2}),
    "sign": ("theta = theta - lr*sign(g)", {"lr": 5e-3}),
}
"""Every rule that clients train with: its source and its options. A rule added here joins all checks.

The eps of adamw is large: a gradient that is zero but for rounding (that of the bias of attention's keys) would
be scaled up to whole steps, in which no two libraries agree.
"""

OPTIMIZER, FILE, TORCH = "Optimizer", "exported file", "torch"
FORMS = (OPTIMIZER, FILE)

_FOLDER = tempfile.TemporaryDirectory(prefix="symevo-clients-")


@dataclass(frozen=True)
class Maker:
    """An optimizer class with the options that make it run one rule."""

    cls: type[torch.optim.Optimizer]
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, params: Any, **more: Any) -> Any:
        return self.cls(params, **{**self.options, **more})


def maker(form: str, rule: str) -> Maker:
    """The optimizer of a form for a rule of ``RULES``; ``TORCH`` gives torch's AdamW with the numbers of ``adamw``."""
    source, options = RULES[rule]
    if form == TORCH:
        assert rule == "adamw"
        return Maker(torch.optim.AdamW, dict(options))
    return maker_of(form, source, options)


def maker_of(form: str, source: str, options: dict[str, Any]) -> Maker:
    """The optimizer of a form for any rule."""
    return (
        Maker(symevo.Optimizer, {"rule": source, **options}) if form == OPTIMIZER else Maker(exported(source), options)
    )


@functools.cache
def exported(source: str) -> type[torch.optim.Optimizer]:
    """The class of a rule's exported file, from a module that pickle finds."""
    name = f"exported_for_clients_{exported.cache_info().currsize}"
    path = Path(_FOLDER.name) / f"{name}.py"
    symevo.export(source, path, name="Found")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Found

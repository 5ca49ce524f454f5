"""Presets: settings by system and name, as plain data."""

from __future__ import annotations

from typing import Any

_EXPRESSION: dict[str, Any] = {"loop": "nsga2", "classics": False, "elites": 0}
_HYPERPARAMETERS: dict[str, Any] = {"fitness": "loss", "elites": 2}

_NETWORKS: dict[str, Any] = {"fitness": "loss", "elites": 0, "tournament": 1}
_GADAM: dict[str, Any] = {**_NETWORKS, "classics": False, "seeds": 1}

_EVOGRAD: dict[str, Any] = {"fitness": "accuracy", "seeds": 1, "tournament": 1, "classics": False}
_FLAT: dict[str, Any] = {"tasks": ["digits-flat"], "scale": 0.1}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "term-sum": {
        "quick": {"tasks": ["digits-mlp"], "population": 12, "generations": 4, "steps": 100},
        "default": {
            "tasks": ["digits-mlp", "digits-deep"],
            "population": 40,
            "generations": 20,
            "steps": 300,
        },
        # Everything that arXiv 2512.11853 states, in its order.
        "paper": {
            "tasks": ["fashion-cnn", "cifar10-cnn", "mnist-cnn"],
            "population": 50,
            "generations": 50,
            "steps": 500,
            "seeds": 2,
            "seed": 42,
            "elites": 3,
            "tournament": 4,
            "fitness": "paper",
            "eval_timeout": 7200.0,
        },
    },
    "expression": {
        "quick": {**_EXPRESSION, "tasks": ["digits-mlp"], "population": 24, "generations": 6, "steps": 100},
        "default": {
            **_EXPRESSION,
            # A valley beside two nets: on digits alone the shortest rules are nearly the best, and fronts are short.
            "tasks": ["digits-mlp", "digits-deep", "rosenbrock"],
            "population": 50,
            "generations": 30,
            "polish": 4,
            "steps": 300,
        },
    },
    "hyperparameters": {
        "quick": {
            **_HYPERPARAMETERS,
            "tasks": ["digits-mlp"],
            "population": 16,
            "generations": 6,
            "steps": 150,
            "modes": {"dynamic": {**_NETWORKS, "population": 8, "generations": 6, "steps": 30}},
        },
        "default": {
            **_HYPERPARAMETERS,
            "tasks": ["digits-mlp", "digits-deep"],
            "population": 30,
            "generations": 15,
            "steps": 300,
            "modes": {
                "dynamic": {
                    **_NETWORKS,
                    "tasks": ["digits-deep"],
                    "population": 20,
                    "generations": 15,
                    "steps": 40,
                    "seeds": 3,
                }
            },
        },
        # What "Evolving Hyperparameters" states of its second run; it leaves the number of epochs open: two here.
        "paper": {
            "tasks": ["fashion-hyper"],
            "population": 10,
            "generations": 3,
            "steps": 1564,
            "seeds": 1,
            "elites": 0,
            "loop": "truncation",
            "fitness": "loss",
            "schedule": "step:782:0.7",
            "classics": False,
            "eval_timeout": 7200.0,
            "modes": {"dynamic": {"loop": "generational", "elites": 0}},
        },
    },
    "gadam": {
        "quick": {**_GADAM, "tasks": ["digits-mlp"], "population": 6, "generations": 5, "steps": 30},
        "default": {**_GADAM, "tasks": ["digits-cnn"], "population": 10, "generations": 15, "steps": 40},
        # 80,000 steps of each line of descent, as published; how they divide into generations is left open.
        "paper": {
            **_GADAM,
            "tasks": ["lenet5-mnist"],
            "population": 10,
            "generations": 10,
            "steps": 4000,
            "score_batch": 128,
            "score_split": "train",
            "eval_timeout": 36000.0,
        },
    },
    "evograd": {
        "quick": {**_EVOGRAD, **_FLAT, "population": 10, "generations": 6, "steps": 60},
        "default": {**_EVOGRAD, **_FLAT, "population": 30, "generations": 30, "steps": 150},
        # A generation as published; there were up to a million of them.
        "paper": {
            **_EVOGRAD,
            "tasks": ["mnist-flat"],
            "population": 30,
            "generations": 1000,
            "steps": 2048,
            "elites": 3,
            "fitness": "peak",
            "eval_timeout": 7200.0,
        },
    },
}
"""Settings by system and preset; what a preset leaves out has the default of `symevo.settings.model.Settings`.

``modes`` holds what is otherwise in a mode of the system.
"""


def preset_of(system: str, name: str, mode: Any = None) -> dict[str, Any]:
    """The settings of a preset, in a mode of its system; empty where there is no such preset."""
    found = dict(PRESETS.get(system, {}).get(name, {}))
    modes = found.pop("modes", {})
    return {**found, **(modes.get(mode, {}) if isinstance(mode, str) else {})}

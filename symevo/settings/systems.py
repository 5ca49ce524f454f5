"""The settings of each system: those that it alone reads, and its presets.

To give a system of your own settings, register a subclass of :class:`symevo.settings.model.Settings` under its name.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from symevo.settings.model import MODELS, Flag, Presets, Settings, model_of

_EXPRESSION: dict[str, Any] = {"loop": "nsga2", "classics": False, "elites": 0}
_HYPERPARAMETERS: dict[str, Any] = {"fitness": "loss", "elites": 2}

_NETWORKS: dict[str, Any] = {"fitness": "loss", "elites": 0, "tournament": 1}
_GADAM: dict[str, Any] = {**_NETWORKS, "classics": False, "seeds": 1}

_EVOGRAD: dict[str, Any] = {"fitness": "accuracy", "seeds": 1, "tournament": 1, "classics": False}
_FLAT: dict[str, Any] = {"tasks": ["digits-flat"], "scale": 0.1}


@MODELS.register("term-sum")
class TermSum(Settings):
    """Settings of ``term-sum``: no others than all systems have."""

    presets: ClassVar[Presets] = {
        "quick": {"tasks": ["digits-mlp"], "population": 12, "generations": 4, "steps": 100},
        "default": {"tasks": ["digits-mlp", "digits-deep"], "population": 40, "generations": 20, "steps": 300},
        # Everything that arXiv 2512.11853 states, in its order.
        "paper": {
            "tasks": ["fashion-cnn", "cifar10-cnn", "mnist-cnn"], "population": 50, "generations": 50, "steps": 500,
            "seeds": 2, "seed": 42, "elites": 3, "tournament": 4, "fitness": "paper", "eval_timeout": 7200.0,
        },
    }  # fmt: skip


@MODELS.register("expression")
class Expression(Settings):
    """Settings of ``expression``."""

    primitives: Annotated[
        tuple[str, ...] | None, Flag("Forms to build rules from; see 'symevo primitives'.", "A,B,…")
    ] = Field(None, min_length=1)
    max_depth: Annotated[int, Flag("Levels of a rule's tree below its root.", "N")] = Field(7, ge=1, le=50, strict=True)
    max_size: Annotated[int, Flag("Nodes of a rule's tree.", "N")] = Field(24, ge=2, le=500, strict=True)
    max_states: Annotated[int, Flag("Numbers that a rule keeps per weight.", "N")] = Field(2, ge=0, le=16, strict=True)
    polish: Annotated[int, Flag("Last generations, which tune the best rules' numbers.", "N")] = Field(
        0, ge=0, le=1_000_000, strict=True
    )
    presets: ClassVar[Presets] = {
        "quick": {**_EXPRESSION, "tasks": ["digits-mlp"], "population": 24, "generations": 6, "steps": 100},
        "default": {
            **_EXPRESSION,
            # A valley beside two nets: on digits alone the shortest rules are nearly the best, and fronts are short.
            "tasks": ["digits-mlp", "digits-deep", "rosenbrock"],
            "population": 50, "generations": 30, "polish": 4, "steps": 300,
        },
    }  # fmt: skip


class _OneRule(Settings):
    """Settings of systems that train with one rule."""

    rule: Annotated[
        dict[str, Any] | None,
        Flag("The rule that trains: a name, rule JSON file, text, or a run's folder.", "RULE|RUN"),
    ] = None
    schedule: Annotated[
        dict[str, Any] | None, Flag("Its learning rate's: constant, cosine, linear or step:STEPS:FACTOR.", "SCHEDULE")
    ] = None
    mutation: Annotated[float | None, Flag("Probability that a number is mutated.", "P")] = Field(
        None, ge=0, le=1, allow_inf_nan=False
    )
    score_batch: Annotated[int | None, Flag("Samples that networks are scored on; default: all.", "N")] = Field(
        None, ge=1, le=100_000_000, strict=True
    )
    score_split: Annotated[Literal["train", "validation"], Flag("train or validation.")] = "validation"

    @field_validator("rule", "schedule", mode="before")
    @classmethod
    def _as_json(cls, value: Any, info: ValidationInfo) -> Any:
        """Turn a name, a file or a text into JSON, so that a run records the rule or the schedule itself."""
        if value is None or (info.field_name == "rule" and isinstance(value, dict)):
            return value
        from symevo.rules.rule import rule
        from symevo.rules.schedule import schedule

        return (rule if info.field_name == "rule" else schedule)(value).to_json()


@MODELS.register("hyperparameters")
class Hyperparameters(_OneRule):
    """Settings of ``hyperparameters``."""

    tune: Annotated[
        tuple[str, ...] | None,
        Flag("Its numbers that are, as lr,beta1 or lr=1e-4:1:log; scales linear, log, complement.", "A,B,…"),
    ] = Field(None, min_length=1)
    mode: Annotated[
        Literal["static", "dynamic"], Flag("static, or dynamic: numbers that change while a model trains.")
    ] = "static"
    presets: ClassVar[Presets] = {
        "quick": {
            **_HYPERPARAMETERS, "tasks": ["digits-mlp"], "population": 16, "generations": 6, "steps": 150,
            "modes": {"dynamic": {**_NETWORKS, "population": 8, "generations": 6, "steps": 30}},
        },
        "default": {
            **_HYPERPARAMETERS, "tasks": ["digits-mlp", "digits-deep"], "population": 30, "generations": 15,
            "steps": 300,
            "modes": {
                "dynamic": {
                    **_NETWORKS, "tasks": ["digits-deep"], "population": 20, "generations": 15, "steps": 40, "seeds": 3,
                }
            },
        },
        # What "Evolving Hyperparameters" states of its second run; it leaves the number of epochs open: two here.
        "paper": {
            "tasks": ["fashion-hyper"], "population": 10, "generations": 3, "steps": 1564, "seeds": 1, "elites": 0,
            "loop": "truncation", "fitness": "loss", "schedule": "step:782:0.7", "classics": False,
            "eval_timeout": 7200.0, "modes": {"dynamic": {"loop": "generational", "elites": 0}},
        },
    }  # fmt: skip


_Noise = Literal["uniform", "gaussian", "triangular"]


@MODELS.register("gadam")
class Gadam(_OneRule):
    """Settings of ``gadam``."""

    noise: Annotated[_Noise | None, Flag("What mutation does: uniform or gaussian.")] = None
    noise_scale: Annotated[float | None, Flag("How much of it.", "S")] = Field(None, ge=0, le=1e6, allow_inf_nan=False)
    inherit: Annotated[
        Literal["none", "fitter", "both"] | None,
        Flag("The optimizer's state in a child: none, fitter or both (each weight brings its own)."),
    ] = None
    stop_below: Annotated[float | None, Flag("Stop where the population's summed loss changes by less.", "THETA")] = (
        Field(None, ge=0, allow_inf_nan=False)
    )
    presets: ClassVar[Presets] = {
        "quick": {**_GADAM, "tasks": ["digits-mlp"], "population": 6, "generations": 5, "steps": 30},
        "default": {**_GADAM, "tasks": ["digits-cnn"], "population": 10, "generations": 15, "steps": 40},
        # 80,000 steps of each line of descent, as published; how they divide into generations is left open.
        "paper": {
            **_GADAM, "tasks": ["lenet5-mnist"], "population": 10, "generations": 10, "steps": 4000,
            "score_batch": 128, "score_split": "train", "eval_timeout": 36000.0,
        },
    }  # fmt: skip


@MODELS.register("evograd")
class Evograd(Settings):
    """Settings of ``evograd``."""

    fitness: Annotated[str, Flag("What is maximised: accuracy or peak.", "NAME")] = "default"
    noise: Annotated[_Noise | None, Flag("What mutation draws: gaussian or triangular.")] = None
    scale: Annotated[float, Flag("Width of the networks that are drawn; 1: as published.", "S")] = Field(
        1.0, gt=0, le=100, allow_inf_nan=False
    )
    presets: ClassVar[Presets] = {
        "quick": {**_EVOGRAD, **_FLAT, "population": 10, "generations": 6, "steps": 60},
        "default": {**_EVOGRAD, **_FLAT, "population": 30, "generations": 30, "steps": 150},
        # A generation as published; there were up to a million of them.
        "paper": {
            **_EVOGRAD, "tasks": ["mnist-flat"], "population": 30, "generations": 1000, "steps": 2048, "elites": 3,
            "fitness": "peak", "eval_timeout": 7200.0,
        },
    }  # fmt: skip


def preset_of(system: str, name: str, mode: Any = None) -> dict[str, Any]:
    """The settings of a preset, in a mode of its system; empty where there is no such preset."""
    found = dict(model_of(system).presets.get(name, {}))
    modes = found.pop("modes", {})
    return {**found, **(modes.get(mode, {}) if isinstance(mode, str) else {})}

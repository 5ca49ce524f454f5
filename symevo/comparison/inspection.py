"""What evolved controllers do: which inputs matter to them, and formulas in place of their nets.

The best controllers of a run train networks drawn anew, and what their nets see and answer is recorded. Importances
come from all networks but the last; so do the formulas, which are then judged on the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.comparison.transfer import controllers_of
from symevo.errors import RunFailed, UserError
from symevo.evolution.planning import import_plugins
from symevo.runs.run import Run, run_folder
from symevo.search.surrogate import BUDGET, Columns, Surrogate, determination, fit, linear
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError

if TYPE_CHECKING:
    import numpy as np

    from symevo.evograd.importance import NetsImportance
    from symevo.evograd.recording import Recorded, Recording

EXPLAINED = 0.95
"""An R² below which a formula may read statistics too."""
MATTERS, MOST = 0.01, 6
"""Statistics that it may then read: of at least this importance, and so many."""
GAIN = 0.01
"""Of R², for which a formula with statistics is preferred."""
_BEYOND = 2**31
"""Searches draw networks by numbers below this."""
Say = Callable[[str], object]


@dataclass(frozen=True)
class Look:
    """How closely to look.

    Attributes:
        networks: How many are recorded, besides one that judges the formulas.
        steps: Training steps of each; None: as in the run.
        seed: Of the draws and the searches.
        budget: Formulas that each search evaluates at most.
    """

    networks: int = 2
    steps: int | None = None
    seed: int = 0
    budget: int = BUDGET

    def check(self) -> None:
        """Raises UserError where a number is out of range."""
        lowest = {"networks": 1, "steps": 1, "seed": 0, "budget": 1}
        for name, least in lowest.items():
            number = getattr(self, name)
            if number is not None and number < least:
                raise SettingError(name, f"is {number}: give {least} or more")


def inspect(
    path: str | Path,
    look: Look,
    *,
    data_dir: Path | None = None,
    tasks_from: Sequence[str] = (),
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Looks into the best controllers of a run.

    Args:
        path: The run's folder.
        look: How closely.
        data_dir: Where data are; None: as in the run.
        tasks_from: Files that make tasks; none: those of the run.
        say: Is told what happens.

    Returns:
        Plain data, the same for the same run and ``look``: ``networks``; of each type of layer in ``layers`` its
        ``corrections`` with ``size``, ``importance`` and ``formula``; ``optimizer``.

    Raises:
        UserError: No run of evograd, none of its generations is closed, or data or a number is wrong.
        RunFailed: Networks diverge at once.
    """
    look.check()
    run = Run(run_folder(path))
    if run.settings.system != "evograd":
        raise UserError(f"{path} is a run of {run.settings.system}: give one of evograd, which has controllers")
    about, packed = controllers_of(run)
    from symevo.evograd.recording import joined
    from symevo.training.controllers import unpacked

    controllers = unpacked(packed)
    recordings, networks = _recorded(run, controllers, look, data_dir, tasks_from, say)
    seen, held_out = joined(recordings[:-1]), recordings[-1]
    asked = {**asdict(look), "steps": look.steps or run.settings.steps}
    layers = {name: _layer(controllers, name, seen, held_out, look, say) for name in seen.layers}
    found = {"run": str(run.path), "controllers": about, "task": run.settings.tasks[0], "scale": run.settings.scale}
    return {**found, **asked, "networks": networks, "layers": layers, "optimizer": _optimizer(controllers, seen, look)}


def _recorded(
    run: Run, controllers: np.ndarray, look: Look, data_dir: Path | None, tasks_from: Sequence[str], say: Say
) -> tuple[list[Recording], list[dict[str, Any]]]:
    """Recordings of the networks, and what these are; the last one is to be held out."""
    from symevo.evograd.recording import record
    from symevo.tasks import Workload, find_task
    from symevo.training import controllers as controlled

    settings = run.settings
    import_plugins(list(tasks_from) or list(settings.tasks_from))
    task = find_task(settings.tasks[0])
    workload = Workload(task, data_dir=data_dir or settings.data_dir, run_seed=settings.seed)
    controlled.suits(workload)
    train = workload.split("train")
    inputs, classes = train.x.shape[1], int(train.y.max()) + 1
    recordings, networks = [], []
    for number in range(look.networks + 1):
        draw = _BEYOND + seed_for(look.seed, "inspect", number) % _BEYOND
        hidden, lr = controlled.drawn_network(draw, settings.scale)
        say(f"recording network {number + 1} of {look.networks + 1}: {'-'.join(map(str, hidden))}, lr {lr:.2g}")
        recordings.append(
            record(
                controllers, controlled.initial_weights((inputs, *hidden, classes), draw),
                partial(workload.batch, draw), lr=lr, steps=look.steps or settings.steps, seed=seed_for(draw, "kept"),
            )
        )  # fmt: skip
        if not recordings[-1].layers:
            raise RunFailed(f"network {number + 1} was not finite from its first step on: nothing to look at")
        about = {"hidden": hidden, "lr": lr, "steps": recordings[-1].steps, "held_out": number == look.networks}
        networks.append(about)
    return recordings, networks


def _layer(
    controllers: np.ndarray, name: str, seen: Recording, held_out: Recording, look: Look, say: Say
) -> dict[str, Any]:
    from symevo.evograd.importance import of_nets
    from symevo.training.lockstep import plain

    own, other = seen.layers[name], held_out.layers[name]
    found = of_nets(controllers, name, own, seed=seed_for(look.seed, "importance", name))
    count = len(found.sizes)
    corrections = []
    for index in range(count):
        label = "Δ" if count == 1 else f"Δ{index}"
        importance = _of_correction(found, index)
        target = own.corrections[:, index]
        constant = not any(any(part.values()) for part in importance.values())
        one = {"name": label, "size": plain(found.sizes[index]), "constant": constant, "mean": float(target.mean())}
        if not constant:
            say(f"looking for a formula of {label} of {name}")
        formula = None if constant else _formula(own, other, index, importance["statistics"], look, name)
        corrections.append({**one, "importance": importance, "formula": formula})
    return {"corrections": corrections}


def _of_correction(found: NetsImportance, index: int) -> dict[str, dict[str, float]]:
    parts = {name: getattr(found, name) for name in ("signals", "features", "vectors", "statistics")}
    return {part: {name: values[index] for name, values in known.items()} for part, known in parts.items()}


def _formula(
    own: Recorded, other: Recorded, index: int, statistics: Mapping[str, float], look: Look, layer: str
) -> dict[str, Any]:
    """The better of two formulas: of the signals alone, or where these say too little, of statistics too."""
    target = own.corrections[:, index]
    seed = seed_for(look.seed, "formula", layer, index)

    def tried(names: Sequence[str]) -> tuple[float, Surrogate, Sequence[str]]:
        columns = _columns(own, names)
        found = fit(columns, target, seed=seed, budget=look.budget)
        return determination(found(columns), target), found, names

    r2, found, names = tried([])
    evaluations = found.evaluations
    most = [name for name, value in sorted(statistics.items(), key=lambda pair: -pair[1])[:MOST] if value >= MATTERS]
    if r2 < EXPLAINED and most:
        second = tried(most)
        evaluations += second[1].evaluations
        r2, found, names = second if second[0] > r2 + GAIN else (r2, found, names)
    columns, others, truth = _columns(own, names), _columns(other, names), other.corrections[:, index]
    return {
        **_described(found), "offered": list(columns), "evaluations": evaluations, "r2": r2,
        "r2_held_out": _finite(determination(found(others), truth)),
        "linear_r2": determination(linear(columns, target, columns), target),
        "linear_r2_held_out": _finite(determination(linear(columns, target, others), truth)),
    }  # fmt: skip


def _columns(seen: Recorded, statistics: Sequence[str]) -> Columns:
    """The signals, and some statistics by name: ``logits_mean``."""
    from symevo.evograd.importance import STATISTIC_NAMES

    found = dict(seen.signals)
    for name in statistics:
        vector, _, statistic = name.rpartition("_")
        found[name] = seen.statistics[vector][:, STATISTIC_NAMES.index(statistic)]
    return found


def _described(found: Surrogate) -> dict[str, Any]:
    """A formula in print, and all that it takes to compute it."""
    from symevo.rules.expression import names_in, walk
    from symevo.rules.printing.symbolic import from_sympy, to_sympy
    from symevo.rules.printing.text import Unicode

    forms = [found.expr, from_sympy(to_sympy(found.expr))]
    shortest = min(forms, key=lambda form: sum(1 for _ in walk(form)))
    read = set(names_in(found.expr))
    inputs = {name: {"mean": m, "deviation": d} for name, (m, d) in found.inputs.items() if name in read}
    return {
        "text": Unicode(found.inputs, digits=3).text(shortest), "tree": found.tree, "intercept": found.intercept,
        "slope": found.slope, "inputs": inputs,
    }  # fmt: skip


def _optimizer(controllers: np.ndarray, seen: Recording, look: Look) -> dict[str, Any] | None:
    """None where no network was finite for long enough."""
    from symevo.evograd.importance import of_optimizer
    from symevo.training.lockstep import plain

    if seen.windows is None:
        return None
    found = of_optimizer(controllers, seen.windows, seed=seed_for(look.seed, "importance", "optimizer"))
    return {"size": plain(found.size), "steps": len(seen.windows.inputs), "importance": found.inputs}


def _finite(value: float) -> float | None:
    from symevo.training.lockstep import plain

    return plain(value)

"""What evolved controllers react to: how much each input of their nets matters.

The best controllers of a run train networks drawn anew, and what their nets see is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.comparison.transfer import Drawn, controllers_of, draw_of, evograd_run
from symevo.errors import RunFailed
from symevo.evolution.planning import import_plugins
from symevo.runs.run import Run
from symevo.seeds import seed_for

if TYPE_CHECKING:
    import numpy as np

    from symevo.evograd.importance import Recording

Say = Callable[[str], object]


@dataclass(frozen=True)
class Look(Drawn):
    """How closely to look: at recordings of so many networks."""

    networks: int = 2


def inspect(
    path: str | Path,
    look: Look,
    *,
    data_dir: Path | None = None,
    tasks_from: Sequence[str] = (),
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Look into the best controllers of a run.

    Data and files that make tasks are those of the run where none are given.

    Returns:
        Plain data, the same for the same run and ``look``: ``networks``; of each type of layer in ``layers`` its
        ``corrections`` with ``size``, ``mean`` and ``importance``; ``optimizer``.

    Raises:
        UserError: No run of evograd, none of its generations is closed, or data or a number is wrong.
        RunFailed: Networks diverge at once.
    """
    look.check()
    run = evograd_run(path, "which has controllers")
    about, packed = controllers_of(run)
    from symevo.evograd.importance import joined
    from symevo.training.controllers import unpacked

    controllers = unpacked(packed)
    recordings, networks = _recorded(run, controllers, look, data_dir, tasks_from, say)
    seen = joined(recordings)
    asked = {**asdict(look), "steps": look.steps or run.settings.steps}
    layers = {name: _layer(controllers, name, seen, look) for name in seen.layers}
    found = {"run": str(run.path), "controllers": about, "task": run.settings.tasks[0], "scale": run.settings.scale}
    return {**found, **asked, "networks": networks, "layers": layers, "optimizer": _optimizer(controllers, seen, look)}


def _recorded(
    run: Run, controllers: np.ndarray, look: Look, data_dir: Path | None, tasks_from: Sequence[str], say: Say
) -> tuple[list[Recording], list[dict[str, Any]]]:
    """Recordings of the networks, and what these are."""
    from symevo.evograd.importance import record
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
    for number in range(look.networks):
        draw = draw_of(look.seed, number, "inspect")
        hidden, lr = controlled.drawn_network(draw, settings.scale)
        say(f"recording network {number + 1} of {look.networks}: {'-'.join(map(str, hidden))}, lr {lr:.2g}")
        recordings.append(
            record(
                controllers, controlled.initial_weights((inputs, *hidden, classes), draw),
                partial(workload.batch, draw), lr=lr, steps=look.steps or settings.steps, seed=seed_for(draw, "kept"),
            )
        )  # fmt: skip
        if not recordings[-1].layers:
            raise RunFailed(f"network {number + 1} was not finite from its first step on: nothing to look at")
        networks.append({"hidden": hidden, "lr": lr, "steps": recordings[-1].steps})
    return recordings, networks


def _layer(controllers: np.ndarray, name: str, seen: Recording, look: Look) -> dict[str, Any]:
    from symevo.evograd.importance import of_nets
    from symevo.training.lockstep import plain

    found = of_nets(controllers, name, seen.layers[name], seed=seed_for(look.seed, "importance", name))
    corrections = []
    for index, (size, mean) in enumerate(zip(found.sizes, found.means, strict=True)):
        parts = {part: getattr(found, part) for part in ("signals", "features", "vectors", "statistics")}
        importance = {part: {one: values[index] for one, values in known.items()} for part, known in parts.items()}
        label = "Δ" if len(found.sizes) == 1 else f"Δ{index}"
        constant = not any(any(part.values()) for part in importance.values())
        about = {"name": label, "size": plain(size), "constant": constant, "mean": mean}
        corrections.append({**about, "importance": importance})
    return {"corrections": corrections}


def _optimizer(controllers: np.ndarray, seen: Recording, look: Look) -> dict[str, Any] | None:
    """None where no network was finite for long enough."""
    from symevo.evograd.importance import of_optimizer
    from symevo.training.lockstep import plain

    if seen.windows is None:
        return None
    found = of_optimizer(controllers, seen.windows, seed=seed_for(look.seed, "importance", "optimizer"))
    return {"size": plain(found.size), "steps": seen.windows["theta"].shape[1], "importance": found.inputs}

"""The meta-test of evolved controllers: they train networks drawn anew, beside plain Adam, without further evolution.

Every network has a draw of its own of layers, learning rate, initial weights and batches, which no search makes. Adam
is compared at the drawn rate, and at the best of a grid: chosen by the validation accuracy of the same network after
the same steps, which favours Adam, for the controllers are not tuned. All scores are those of the test split.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from symevo.engines import make_engine
from symevo.engines.base import Reply
from symevo.engines.resolve import PLUGIN_PREFIX
from symevo.errors import RunFailed, UserError
from symevo.evolution.planning import import_plugins
from symevo.files import own_files
from symevo.reporting.progress import Progress, SilentProgress
from symevo.reporting.text.controllers import network_line, verdict
from symevo.runs import Store
from symevo.runs.run import Run, run_folder
from symevo.seeds import seed_for
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.statistics import LEVEL, holm, paired

COMPARE = "symevo.training.controllers:compare"
CONTESTANTS = ("controllers", "adam", "adam_best", "controllers_best")
PAIRS = (("controllers", "adam"), ("controllers", "adam_best"), ("controllers_best", "adam_best"))
"""What is compared with what."""
METRICS = ("accuracy", "loss")
ALL, BELOW, ABOVE = "all", "below", "above"
"""Networks of a comparison: all, or those whose drawn learning rate is below, or not below, the median."""
_BEYOND = 2**31
"""Searches draw networks by numbers below this."""


@dataclass(frozen=True)
class Meta:
    """A meta-test.

    Attributes:
        task: What networks are trained on; None: the run's own task.
        networks: How many are drawn.
        steps: Training steps of each; None: as in the run.
        scale: Layers are this many times as wide as published; None: as in the run.
        seed: Of the draws, and of the bootstrap.
    """

    task: str | None = None
    networks: int = 20
    steps: int | None = None
    scale: float | None = None
    seed: int = 0

    def within(self, settings: Settings) -> dict[str, Any]:
        """All of it, with what the run says.

        Raises:
            UserError: A number is out of range.
        """
        steps = settings.steps if self.steps is None else self.steps
        scale = settings.scale if self.scale is None else self.scale
        for name, number in (("networks", self.networks), ("steps", steps)):
            if number < 1:
                raise SettingError(name, f"is {number}: give 1 or more")
        if self.seed < 0:
            raise SettingError("seed", f"is {self.seed}: give 0 or more")
        if not 0 < scale <= 100:
            raise SettingError("scale", f"is {scale:g}: give more than 0 and at most 100")
        task = self.task or settings.tasks[0]
        return {"task": task, "networks": self.networks, "steps": steps, "scale": scale, "seed": self.seed}


def transfer(
    path: str | Path,
    meta: Meta,
    *,
    workers: int | None = None,
    data_dir: Path | None = None,
    tasks_from: Sequence[str] = (),
    progress: Progress | None = None,
    engine: str = "process",
) -> dict[str, Any]:
    """Test the best controllers of a run.

    Args:
        path: The run's folder.
        meta: What to test them on.
        workers: Processes; None: one a core. Leaves no trace in the result.
        data_dir: Where data are; None: as in the run.
        tasks_from: Files that make tasks; none: those of the run.
        progress: Who is told.
        engine: Where networks are trained.

    Returns:
        Plain data, the same for the same run and ``meta``: all of it, ``contestants`` (means), ``comparisons`` (of
        :func:`compared`), ``diverged``, ``verdict``, and ``rows``, one a network.

    Raises:
        UserError: No run of evograd, none of its generations is closed, or the task or a number is wrong.
        RunFailed: A training failed.
    """
    progress = progress or SilentProgress()
    run = Run(run_folder(path))
    if run.settings.system != "evograd":
        raise UserError(f"{path} is a run of {run.settings.system}: give one of evograd, whose controllers transfer")
    if workers is not None and workers < 1:
        raise SettingError("workers", f"is {workers}: give 1 or more")
    if data_dir is not None and not data_dir.is_dir():
        raise SettingError("data_dir", f"{data_dir} is no folder: give one that holds data sets")
    about, numbers = controllers_of(run)
    asked = meta.within(run.settings)
    files = own_files(tasks_from or run.settings.tasks_from)
    import_plugins(files)
    folder = data_dir or run.settings.data_dir
    common = {
        "task": asked["task"], "device": "cpu", "stacking": None, "run_seed": run.settings.seed, "threads": 1,
        "plugins": [PLUGIN_PREFIX + Path(file).stem for file in files],
        "data_dir": None if folder is None else str(folder),
        "controllers": numbers, "steps": asked["steps"], "scale": asked["scale"],
    }  # fmt: skip
    chance = 1 / _classes(common)
    items = [{**common, "draw": draw_of(meta.seed, number)} for number in range(meta.networks)]
    rows = _rows(items, engine, workers, files, progress)
    found = {"run": str(run.path), "controllers": about, **asked, "chance": chance, **summary(rows, meta.seed)}
    return {**found, "verdict": verdict(found["comparisons"], needed()), "rows": rows}


def draw_of(seed: int, number: int) -> int:
    """The draw of a network: none that a search makes."""
    return _BEYOND + seed_for(seed, "transfer", number) % _BEYOND


def controllers_of(run: Run) -> tuple[dict[str, Any], str]:
    """The best controllers: what they are, and their numbers.

    Of a finished run those that it ranks first; of another one the fittest of its last closed generation.

    Raises:
        UserError: There are none.
    """
    if run.ranking:
        best = run.best
        return {"gen": best.gen, "finished": True}, best.genome["numbers"]
    store = Store.open(run.path)
    try:
        last = store.last_generation()
    finally:
        store.close()
    fittest = max(last[1], key=lambda one: one["fitness"]) if last else None
    if last is None or fittest is None or fittest["fitness"] <= 0:
        raise UserError(f"{run.path} holds no finished controllers yet: go on with symevo run --resume {run.path}")
    return {"gen": last[0]["gen"], "finished": False}, fittest["genome"]["numbers"]


def summary(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """Means, comparisons and failures.

    Args:
        rows: Of :func:`symevo.training.controllers.compare`.
        seed: Of the bootstrap.
    """
    means = {
        name: {metric: fmean(row[name][metric] for row in rows) for metric in METRICS}
        | {"diverged": sum(row[name]["reason"] is not None for row in rows)}
        for name in CONTESTANTS
    }
    failed = [
        {"network": number, "contestant": name, "lr": row[name]["lr"], "reason": row[name]["reason"]}
        for number, row in enumerate(rows)
        for name in CONTESTANTS
        if row[name]["reason"] is not None
    ]
    return {"contestants": means, "comparisons": compared(rows, seed), "diverged": failed}


def compared(rows: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Paired comparisons, all so that a difference above 0 is in favour of the first.

    p-values are corrected over the comparisons of one metric: those of all networks, and apart from them those of the
    two halves.

    Returns:
        For each ``metric``, ``first``, ``second`` and ``networks``: a :class:`symevo.statistics.Paired`, ``p_holm`` and
        ``verdict``; of a half also the ``median`` that bounds it.
    """
    middle = median(row["lr"] for row in rows)
    parts = {
        ALL: list(rows),
        BELOW: [row for row in rows if row["lr"] < middle],
        ABOVE: [row for row in rows if row["lr"] >= middle],
    }
    found: list[dict[str, Any]] = []
    for metric in METRICS:
        for family in ((ALL,), (BELOW, ABOVE)):
            asked = [(first, second, part) for first, second in PAIRS for part in family]
            results = [
                paired(*_oriented(parts[part], a, b, metric), seed=seed_for(seed, "bootstrap")) for a, b, part in asked
            ]
            for (first, second, part), result, p in zip(asked, results, holm([r.p for r in results]), strict=True):
                what = {"metric": metric, "first": first, "second": second, "networks": part}
                bound = {} if part == ALL else {"median": middle}
                found.append(what | bound | result.to_json() | {"p_holm": p, "verdict": result.verdict(p)})
    return found


def needed() -> int:
    """Networks from which on a difference can be shown.

    Of n pairs that all differ alike, the two-sided signed-rank test has p = 2/2ⁿ, and Holm's correction makes
    that as many times as large as there are questions.
    """
    return next(count for count in itertools.count(1) if len(PAIRS) * 2 / 2**count < LEVEL)


def _oriented(rows: Sequence[Mapping[str, Any]], a: str, b: str, metric: str) -> tuple[list[float], list[float]]:
    first, second = ([row[name][metric] for row in rows] for name in (a, b))
    return (second, first) if metric == "loss" else (first, second)


def _classes(common: Mapping[str, Any]) -> int:
    """Classes of the task.

    Raises:
        UserError: It is unknown or none for controllers, or has no test split.
    """
    from symevo.tasks.workload import workload_of
    from symevo.training import controllers as controlled

    workload = workload_of(dict(common))
    controlled.suits(workload)
    for split in ("validation", "test"):
        workload.split(split)
    return int(workload.split("train").y.max()) + 1


def _rows(
    items: Sequence[Mapping[str, Any]], engine: str, workers: int | None, files: Sequence[str], progress: Progress
) -> list[dict[str, Any]]:
    done = 0

    def receive(index: int, reply: Reply) -> None:
        nonlocal done
        if reply.status != "ok":
            raise RunFailed(f"network {index + 1} of {len(items)} could not be trained: {reply.value}")
        done += 1
        progress.message(network_line(index + 1, len(items), reply.value))
        progress.advance(done, len(items))

    with make_engine(engine, workers=workers, threads=1, imports=files) as machine:
        replies = machine.map(COMPARE, items, on_result=receive)
    return [reply.value for reply in replies]

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

from symevo.comparison.verdict import Question, corrected
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
from symevo.statistics import LEVEL, Paired, paired

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
class Drawn:
    """Networks that are drawn anew: how many, training steps of each (None: as in the run), and the seed of it all."""

    networks: int = 20
    steps: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Raise UserError where a number is out of range."""
        for name, least in {"networks": 1, "steps": 1, "seed": 0}.items():
            number = getattr(self, name)
            if number is not None and number < least:
                raise SettingError(name, f"is {number}: give {least} or more")


@dataclass(frozen=True)
class Meta(Drawn):
    """A meta-test, on a task and at a scale (as many times as wide as published) that are by default the run's."""

    task: str | None = None
    scale: float | None = None

    def within(self, settings: Settings) -> dict[str, Any]:
        """All of it, with what the run says; raises UserError where a number is out of range."""
        self.check()
        scale = settings.scale if self.scale is None else self.scale
        if not 0 < scale <= 100:
            raise SettingError("scale", f"is {scale:g}: give more than 0 and at most 100")
        steps = settings.steps if self.steps is None else self.steps
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

    Data and files that make tasks are those of the run where none are given.

    Returns:
        Plain data, the same for the same run and ``meta``, whatever the workers: all of it, ``contestants`` (means),
        ``comparisons`` (of :func:`compared`), ``diverged``, ``verdict``, and ``rows``, one a network.

    Raises:
        UserError: No run of evograd, none of its generations is closed, or the task or a number is wrong.
        RunFailed: A training failed.
    """
    progress = progress or SilentProgress()
    run = evograd_run(path, "whose controllers transfer")
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


def evograd_run(path: str | Path, why: str) -> Run:
    """The run of a folder; raises UserError, with the reason, for another system's."""
    run = Run(run_folder(path))
    if run.settings.system != "evograd":
        raise UserError(f"{path} is a run of {run.settings.system}: give one of evograd, {why}")
    return run


def draw_of(seed: int, number: int, purpose: str = "transfer") -> int:
    """The draw of a network: none that a search makes."""
    return _BEYOND + seed_for(seed, purpose, number) % _BEYOND


def controllers_of(run: Run) -> tuple[dict[str, Any], str]:
    """The best controllers, of a run that has some: what they are, and their numbers.

    Of a finished run those that it ranks first; of another one the fittest of its last closed generation.
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
    """Means, comparisons and failures, of the rows of :func:`symevo.training.controllers.compare`."""
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
    asked = [
        Question(first, second, part, f"{metric}, {family}", _pairs(parts[part], first, second, metric, seed))
        for metric in METRICS
        for family, halves in (("all", (ALL,)), ("halves", (BELOW, ABOVE)))
        for first, second in PAIRS
        for part in halves
    ]
    return [
        {
            "metric": one.family.partition(",")[0], "first": one.first, "second": one.second, "networks": one.arm,
            **({} if one.arm == ALL else {"median": middle}), **one.paired.to_json(), "p_holm": p,
            "verdict": one.paired.verdict(p),
        }
        for one, p in zip(asked, corrected(asked), strict=True)
    ]  # fmt: skip


def needed() -> int:
    """Networks from which on a difference can be shown.

    Of n pairs that all differ alike, the two-sided signed-rank test has p = 2/2ⁿ, and Holm's correction makes
    that as many times as large as there are questions.
    """
    return next(count for count in itertools.count(1) if len(PAIRS) * 2 / 2**count < LEVEL)


def _pairs(rows: Sequence[Mapping[str, Any]], first: str, second: str, metric: str, seed: int) -> Paired:
    """How two contestants compare; of losses the negative, so that more is better."""
    sign = -1 if metric == "loss" else 1
    scores = ([sign * row[name][metric] for row in rows] for name in (first, second))
    return paired(*scores, seed=seed_for(seed, "bootstrap"))


def _classes(common: Mapping[str, Any]) -> int:
    """Classes of the task; raises UserError where it is unknown or none for controllers, or has no test split."""
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

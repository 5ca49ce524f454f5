"""``symevo compare``: rules beside tuned baselines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from symevo.cli.app import DataDir, Json, Quiet, TasksFrom, hushed, option, print_json
from symevo.errors import Paused, UserError
from symevo.files import check_free

if TYPE_CHECKING:
    from symevo.comparison.session import Request
    from symevo.reporting.compared import Comparison

FILE = "compare.json"
"""The result's file in the folder of a run; its figures stand in a folder beside it."""
PART = ".part"
"""The ending of the file beside the result that holds trainings until all are made."""


def compare(
    sources: Annotated[list[str], typer.Argument(metavar="RULE|RUN…", help="What to compare.", show_default=False)],
    tasks: Annotated[list[str] | None, option("Tasks; default: those of the run's search.", metavar="A,B,…")] = None,
    held_out: Annotated[list[str] | None, option("More tasks, reported apart; none for none.", metavar="A,B,…")] = None,
    baselines: Annotated[list[str] | None, option("Classic rules to compare with.", metavar="A,B,…")] = None,
    reference: Annotated[str | None, option("Baseline of the verdicts; default: adamw.", metavar="RULE")] = None,
    controls: Annotated[list[str] | None, option("ablations, random, or none.", metavar="A,B")] = None,
    budget: Annotated[str | None, option("quick, default or full.")] = None,
    trials: Annotated[int | None, option("Trials of a tuning.", metavar="N")] = None,
    replicates: Annotated[int | None, option("Tunings of each contestant on each task.", metavar="N")] = None,
    steps: Annotated[int | None, option("Training steps; default: the run's, or the task's.", metavar="N")] = None,
    seed: Annotated[int | None, option("Seed of the comparison.", metavar="N")] = None,
    workers: Annotated[int | None, option("Worker processes; default: all cores.", metavar="N")] = None,
    engine: Annotated[str | None, option("serial or process (default).")] = None,
    eval_timeout: Annotated[float | None, option("Seconds that one stacked training may take.", metavar="S")] = None,
    data_dir: DataDir = None,
    tasks_from: TasksFrom = None,
    output: Annotated[
        Path | None, option("Every single score, as JSON; figures beside it.", "--output", "-o", metavar="FILE.json")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """SOURCE is a run's folder (its best rule takes part), or a rule: a name, a rule JSON file, or text. All
    contestants are tuned alike, on the validation split; what is reported is scored once, on the test split. A run gets
    the result as RUN/compare.json, with figures in RUN/compare. A comparison that was interrupted goes on with the same
    command.

    \b
    Examples:
      symevo compare runs/term-sum-…
      symevo compare my_rule.json --tasks digits-mlp,digits-cnn -o result.json
      symevo compare "theta = theta - lr*sign(g)" --baselines adamw,signum --budget quick
    """
    said = {
        "tasks": _names(tasks, "--tasks"), "held_out": _names(held_out, "--held-out"),
        "baselines": _names(baselines, "--baselines"), "controls": _names(controls, "--controls"),
        "reference": reference, "budget": budget, "trials": trials, "replicates": replicates, "steps": steps,
        "seed": seed,
    }  # fmt: skip
    execution = {
        "workers": workers, "engine": engine, "eval_timeout": eval_timeout, "data_dir": data_dir,
        "tasks_from": tuple(map(str, tasks_from or ())),
    }  # fmt: skip
    from symevo.settings.resolution import import_files

    import_files(tasks_from or [])
    from symevo.comparison.session import Request

    given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    request = Request(sources=tuple(sources), execution=execution, **given)
    targets = _targets(request, output)
    found = _compared(request, targets, quiet=quiet)
    if json:
        print_json(found.to_json())
        return 0
    from symevo.reporting.text.comparison import comparison_report

    print(comparison_report(found))
    for path in targets:
        print(f"all scores in {path}; figures in {path.with_suffix('')}", file=sys.stderr)
    return 0


def _names(said: Sequence[str] | None, flag: str) -> tuple[str, ...] | None:
    if not said:
        return None
    names = tuple(one.strip() for one in ",".join(said).split(","))
    if "" in names:
        raise UserError(f"{flag} {','.join(said)!r} names nothing in one place: write names with a comma between")
    return names


def _targets(request: Request, output: Path | None) -> list[Path]:
    """The files that the result goes to: the one that was named, and that of the first run."""
    from symevo.comparison.entries import run_of

    runs = [run for run in map(run_of, request.sources) if run is not None]
    own = [runs[0].path / FILE] if runs else []
    named = [] if output is None else [output]
    targets = named if own and named and named[0].absolute() == own[0].absolute() else [*named, *own]
    for path in targets:
        if path.is_dir() or path.suffix != ".json":
            raise UserError(f"--output {path} is no name of a JSON file: name one that ends in .json")
        check_free(path, force=True, hint="name another (-o)")
    return targets


def _compared(request: Request, targets: Sequence[Path], *, quiet: bool) -> Comparison:
    """Compares, and writes the result with its figures to each target."""
    import contextlib

    from symevo.comparison.result import write
    from symevo.comparison.session import compare as run_comparison
    from symevo.comparison.trainings import Silent
    from symevo.reporting.figures.comparison import draw
    from symevo.reporting.progress import Ticker

    ticker = None if quiet else Ticker()
    part = targets[0].with_suffix(PART) if targets else None
    try:
        with contextlib.redirect_stdout(sys.stderr), hushed(quiet):  # what a user's file prints is no result
            found = run_comparison(request, ticker or Silent(), memory=part)
    except KeyboardInterrupt:
        if part is None or not part.exists():
            raise
        raise Paused from None
    finally:
        if ticker is not None:
            ticker.close()
    for path in targets:
        folder = path.with_suffix("")
        figures = [f"{folder.name}/{one.name}" for one in draw(found, folder)]
        found = found.model_copy(update={"figures": figures})
        write(found, path)
    if part is not None:
        part.unlink(missing_ok=True)
    return found

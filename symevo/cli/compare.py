"""``symevo compare`` and its flags."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from symevo.cli.commands import compare as commands
from symevo.cli.options import TASKS_FROM, Job, Json, app, option
from symevo.errors import UserError

_HELP = """Compares rules with tuned baselines, and says what the difference is owed to.

SOURCE is a run's folder (its best rule takes part), or a rule: a name, a rule JSON file, or text. All contestants are
tuned alike, on the validation split; what is reported is scored once, on the test split. A run gets the result as
RUN/compare.json, with figures in RUN/compare. A comparison that was interrupted goes on with the same command.

\b
Examples:
  symevo compare runs/term-sum-…
  symevo compare my_rule.json --tasks digits-mlp,digits-cnn -o result.json
  symevo compare "theta = theta - lr*sign(g)" --baselines adamw,signum --budget quick
"""


@app.command(help=_HELP)
def compare(  # noqa: D103  (its help is _HELP)
    context: typer.Context,
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
    data_dir: Annotated[Path | None, option("Folder of data sets.", metavar="DIR")] = None,
    tasks_from: Annotated[list[Path] | None, option(TASKS_FROM, metavar="FILE.py")] = None,
    output: Annotated[
        Path | None, option("Every single score, as JSON; figures beside it.", "--output", "-o", metavar="FILE.json")
    ] = None,
    json: Json = False,
    quiet: Annotated[bool, option("No progress on standard error.", "--quiet")] = False,
) -> Job:
    params = context.params
    execution = {
        "workers": workers, "engine": engine, "eval_timeout": eval_timeout, "data_dir": data_dir,
        "tasks_from": tuple(map(str, tasks_from or ())),
    }  # fmt: skip
    lists = {
        name: _names(params[name], f"--{name.replace('_', '-')}")
        for name in ("tasks", "held_out", "baselines", "controls")
    }
    plain = {name: params[name] for name in ("reference", "budget", "trials", "replicates", "steps", "seed")}
    said = {name: value for name, value in (lists | plain).items() if value is not None}
    request: dict[str, Any] = {"sources": tuple(sources), "execution": execution, **said}
    return partial(commands.compare, commands.Wanted(request, output=output, as_json=json, quiet=quiet))


def _names(said: list[str] | None, flag: str) -> tuple[str, ...] | None:
    if not said:
        return None
    names = tuple(one.strip() for one in ",".join(said).split(","))
    if "" in names:
        raise UserError(f"{flag} {','.join(said)!r} names nothing in one place: write names with a comma between")
    return names

"""``symevo run``: search for an optimizer."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from symevo.cli.app import TASKS_FROM, Version, option, print_json, told
from symevo.errors import UserError
from symevo.registry import nearest
from symevo.settings.model import Settings
from symevo.settings.resolution import import_files, read_toml, resolve, resumed


def run(
    context: typer.Context,
    system: Annotated[
        str | None, typer.Argument(metavar="[SYSTEM]", help="Default: term-sum.", show_default=False)
    ] = None,
    preset: Annotated[str | None, option("quick (20 s), default (2 min), or paper (term-sum).")] = None,
    config: Annotated[Path | None, option("Settings from a TOML file.", metavar="FILE.toml")] = None,
    tasks: Annotated[list[str] | None, option("Task names; see 'symevo tasks'.", metavar="A,B,…")] = None,
    tasks_from: Annotated[list[Path] | None, option(TASKS_FROM, metavar="FILE.py")] = None,
    population: Annotated[int | None, option("Candidates in a generation.", metavar="N")] = None,
    generations: Annotated[int | None, option("Generations, the first included.", metavar="N")] = None,
    steps: Annotated[int | None, option("Training steps of a candidate.", metavar="N")] = None,
    seeds: Annotated[int | None, option("Training seeds for each task.", metavar="N")] = None,
    seed: Annotated[int | None, option("Seed of the whole run.", metavar="N")] = None,
    elites: Annotated[int | None, option("Best candidates that pass on unchanged.", metavar="N")] = None,
    tournament: Annotated[int | None, option("Candidates drawn to pick a parent.", metavar="N")] = None,
    fitness: Annotated[str | None, option("default, loss or paper; accuracy or peak (evograd).")] = None,
    seed_rules: Annotated[
        list[str] | None,
        option("Rule for the first population: a name, rule JSON file, text, or a run's folder.", metavar="RULE|RUN"),
    ] = None,
    classics: Annotated[
        bool | None,
        option("Whether known optimizers are in the first population.", "--classics/--no-classics"),
    ] = None,
    loop: Annotated[str | None, option("Evolutionary loop, such as generational or nsga2.", metavar="NAME")] = None,
    islands: Annotated[int | None, option("Populations that evolve apart, and now and then mix.", metavar="N")] = None,
    migrate_every: Annotated[int | None, option("Generations between two migrations.", metavar="N")] = None,
    polish: Annotated[int | None, option("Last generations, which tune the best rules' numbers.", metavar="N")] = None,
    primitives: Annotated[
        list[str] | None,
        option("Forms to build rules from; see 'symevo primitives'.", metavar="A,B,…"),
    ] = None,
    max_depth: Annotated[int | None, option("Levels of a rule's tree below its root.", metavar="N")] = None,
    max_size: Annotated[int | None, option("Nodes of a rule's tree.", metavar="N")] = None,
    max_states: Annotated[int | None, option("Numbers that a rule keeps per weight.", metavar="N")] = None,
    rule: Annotated[
        str | None,
        option("The rule that is tuned: a name, rule JSON file, text, or a run's folder.", metavar="RULE|RUN"),
    ] = None,
    tune: Annotated[
        list[str] | None,
        option("Its numbers that are, as lr,beta1 or lr=1e-4:1:log; scales linear, log, complement.", metavar="A,B,…"),
    ] = None,
    mode: Annotated[str | None, option("static, or dynamic: numbers that change while a model trains.")] = None,
    mutation: Annotated[float | None, option("Probability that a number is mutated.", metavar="P")] = None,
    schedule: Annotated[
        str | None,
        option("Its learning rate's: constant, cosine, linear or step:STEPS:FACTOR.", metavar="SCHEDULE"),
    ] = None,
    noise: Annotated[
        str | None, option("What mutation does: uniform or gaussian (gadam), gaussian or triangular (evograd).")
    ] = None,
    noise_scale: Annotated[float | None, option("How much of it.", metavar="S")] = None,
    inherit: Annotated[
        str | None, option("The optimizer's state in a child: none, fitter or both (each weight brings its own).")
    ] = None,
    score_batch: Annotated[
        int | None, option("Samples that networks are scored on; default: all.", metavar="N")
    ] = None,
    score_split: Annotated[str | None, option("train or validation.")] = None,
    scale: Annotated[
        float | None, option("Width of the networks that evograd draws; 1: as published.", metavar="S")
    ] = None,
    stop_below: Annotated[
        float | None, option("Stop where the population's summed loss changes by less.", metavar="THETA")
    ] = None,
    engine: Annotated[str | None, option("serial, process (default) or scoop.")] = None,
    scoop: Annotated[bool, option("The same as --engine scoop.", "--scoop")] = False,
    workers: Annotated[int | None, option("Worker processes; default: all cores.", metavar="N")] = None,
    eval_timeout: Annotated[float | None, option("Seconds that one stacked training may take.", metavar="S")] = None,
    time_budget: Annotated[str | None, option("Stop after the generation that passes this.", metavar="30m")] = None,
    device: Annotated[str | None, option("auto, cpu or cuda.")] = None,
    backend: Annotated[str | None, option("Update kernels: auto, compiled, eager or interpreter.")] = None,
    threads: Annotated[int | None, option("Threads for each evaluation.", metavar="N")] = None,
    rows: Annotated[int | None, option("Trainings stacked at once; default: measured.", metavar="N")] = None,
    stacking: Annotated[str | None, option("How they are stacked; default: measured.", metavar="NAME")] = None,
    data_dir: Annotated[Path | None, option("Folder of data sets.", metavar="DIR")] = None,
    out: Annotated[Path | None, option("New folder for the run.", metavar="DIR")] = None,
    resume: Annotated[Path | None, option("Go on with the run in this folder.", metavar="DIR")] = None,
    tensorboard: Annotated[
        bool | None,
        option("Write curves for TensorBoard into the run's folder.", "--tensorboard/--no-tensorboard"),
    ] = None,
    json: Annotated[bool, option("Print one JSON object and nothing else.", "--json")] = False,
    quiet: Annotated[bool, option("No progress on standard error.", "--quiet")] = False,
    version: Version = False,
) -> int:
    """SYSTEM is one of those that 'symevo systems' lists. Flags beat --config, which beats --preset.

    \b
    Examples:
      symevo run expression --preset quick
      symevo run expression --max-states 1 --primitives ema,sign,mix,ratio,root
      symevo run hyperparameters --rule adamw --tune lr,weight_decay,beta1
      symevo run hyperparameters --rule runs/term-sum-…
      symevo run --preset paper --device cuda --out runs/paper
      symevo run --tasks digits-mlp,digits-deep --seed 7 --workers 2
      symevo run --tasks-from my_task.py --tasks my-task --steps 500
      symevo run --seed-rules adamw --seed-rules "theta = theta - lr*sign(g)"
      symevo run --config search.toml --time-budget 30m --json > result.json
      symevo run --resume runs/term-sum-20260131-120000 --workers 8

    The same settings and seed give the same run, whatever the engine, the workers or an interruption.
    """
    flags = {**(read_toml(config) if config else {}), **_flags(context.params)}
    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is no result
        settings = _settings(flags, resume)
    if settings.engine == "scoop":
        from symevo.engines.scoop.supervisor import inside_scoop, supervise

        if not inside_scoop():
            return supervise(context.obj, settings.workers)
    from symevo.evolution import evolve as api

    with told(quiet) as progress:
        if resume is None:
            result = api.start(settings, progress=progress)
        else:
            result = api.resume(resume, flags, progress=progress)
    if json:
        print_json(result.summary() | {"run": str(resume or flags.get("out") or result.path)})
    else:
        print(result)
    return 0


_NOT_SETTINGS = frozenset({"context", "config", "scoop", "resume", "json", "quiet", "version"})


def _flags(params: dict[str, Any]) -> dict[str, Any]:
    """The settings that were said, by field name."""
    flags = {name: value for name, value in params.items() if name not in _NOT_SETTINGS}
    if params["scoop"]:
        if params["engine"] not in (None, "scoop"):
            raise UserError(f"--scoop and --engine {params['engine']} exclude each other: keep one of them")
        flags["engine"] = "scoop"
    for name in ("tasks", "primitives", "tune"):
        said = params[name]
        flags[name] = [one.strip() for one in ",".join(said).split(",") if one.strip()] if said else None
    for name in ("tasks_from", "seed_rules"):  # typer may give an empty list where the flag is absent
        flags[name] = [str(item) for item in flags[name]] if flags[name] else None
    return {name: value for name, value in flags.items() if value is not None}


def _settings(flags: Mapping[str, Any], resume: Path | None) -> Settings:
    """The settings of the run; those of a resumed run come from its folder."""
    if resume is None:
        files = flags.get("tasks_from")
        if (flags.get("seed_rules") or flags.get("rule")) and isinstance(files, list):
            import_files([Path(path) for path in files if isinstance(path, str) and Path(path).is_file()])
        settings = resolve(flags)
        if not settings.tasks_from:
            _check_tasks(settings.tasks)
        return settings
    from symevo.evolution import evolve as api

    recorded = api.load(resume).settings
    return resumed({**recorded.search_settings(), **recorded.execution_settings()}, flags)


def _check_tasks(names: tuple[str, ...]) -> None:
    """Refuses an unknown task before torch is loaded, which takes seconds.

    Raises:
        UserError: A name is none of the built-in tasks.
    """
    known = built_in_tasks()
    for name in names:
        if known and name not in known:
            raise UserError(f"unknown task {name!r}: {nearest(name, known)}")


def built_in_tasks() -> list[str]:
    """The names that the functions of the zoo are registered under, read from its source; empty without the source."""
    import symevo

    files = (Path(symevo.__file__).parent / "tasks" / "zoo").glob("*.py")
    texts = [path.read_text(encoding="utf-8") for path in files]
    return sorted(name for text in texts for name in re.findall(r'^@built_in\("([^"]+)"\)', text, re.MULTILINE))

"""The flags of the ``symevo`` command: what reads a command line into a job."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from symevo import __version__, commands
from symevo.errors import UserError
from symevo.registry import nearest

Job = Callable[[], int]

# Late versions of typer carry a click of their own, others use the package: find either's base class.
_ClickException: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)

_HELP = """Evolves deep-learning optimizers and hands them over as short symbolic rules.

\b
Examples:
  symevo run                            two minutes on embedded data
  symevo run --tasks fashion-mlp --population 50 --generations 20
  symevo run expression                 free-form rules, in two minutes
  symevo run hyperparameters            a known rule's numbers, tuned
  symevo run --scoop --workers 4        on SCOOP, started for you
  symevo run --resume runs/term-sum-…   go on with an interrupted run
  symevo show runs/term-sum-… --rank 2  a rule of the front in full
  symevo rules adamw                    a classic optimizer as a rule
"""
_RUN_HELP = """Searches for an optimizer, and prints the best rules at the end.

SYSTEM is one of those that 'symevo systems' lists. Flags beat --config, which beats --preset.

\b
Examples:
  symevo run expression --preset quick
  symevo run expression --max-states 1 --primitives ema,sign,mix,ratio,root
  symevo run hyperparameters --rule adamw --tune lr,weight_decay,beta1
  symevo run --preset paper --device cuda --out runs/paper
  symevo run --tasks digits-mlp,digits-deep --seed 7 --workers 2
  symevo run --tasks-from my_task.py --tasks my-task --steps 500
  symevo run --seed-rules adamw --seed-rules "theta = theta - lr*sign(g)"
  symevo run --config search.toml --time-budget 30m --json > result.json
  symevo run --resume runs/term-sum-20260131-120000 --workers 8

The same settings and seed give the same run, whatever the engine, the workers or an interruption.
"""

_TASKS_FROM = "Python file that makes tasks or primitives of your own."
app = typer.Typer(add_completion=False, help=_HELP, rich_markup_mode=None)


def _option(help: str, *names: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, show_default=False)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit()


_Version = Annotated[
    bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True, show_default=False)
]


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: _Version = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()


@app.command(help=_RUN_HELP)
def run(  # noqa: D103  (its help is _RUN_HELP)
    context: typer.Context,
    system: Annotated[
        str | None, typer.Argument(metavar="[SYSTEM]", help="Default: term-sum.", show_default=False)
    ] = None,
    preset: Annotated[str | None, _option("quick (20 s), default (2 min), or paper (term-sum).")] = None,
    config: Annotated[Path | None, _option("Settings from a TOML file.", metavar="FILE.toml")] = None,
    tasks: Annotated[list[str] | None, _option("Task names; see 'symevo tasks'.", metavar="A,B,…")] = None,
    tasks_from: Annotated[list[Path] | None, _option(_TASKS_FROM, metavar="FILE.py")] = None,
    population: Annotated[int | None, _option("Candidates in a generation.", metavar="N")] = None,
    generations: Annotated[int | None, _option("Generations, the first included.", metavar="N")] = None,
    steps: Annotated[int | None, _option("Training steps of a candidate.", metavar="N")] = None,
    seeds: Annotated[int | None, _option("Training seeds for each task.", metavar="N")] = None,
    seed: Annotated[int | None, _option("Seed of the whole run.", metavar="N")] = None,
    elites: Annotated[int | None, _option("Best candidates that pass on unchanged.", metavar="N")] = None,
    tournament: Annotated[int | None, _option("Candidates drawn to pick a parent.", metavar="N")] = None,
    fitness: Annotated[str | None, _option("default, loss or paper; accuracy or peak (evograd).")] = None,
    seed_rules: Annotated[
        list[str] | None,
        _option("Rule for the first population: a name, rule JSON file, or text.", metavar="RULE"),
    ] = None,
    classics: Annotated[
        bool | None,
        _option("Whether known optimizers are in the first population.", "--classics/--no-classics"),
    ] = None,
    loop: Annotated[str | None, _option("Evolutionary loop, such as generational or nsga2.", metavar="NAME")] = None,
    islands: Annotated[int | None, _option("Populations that evolve apart, and now and then mix.", metavar="N")] = None,
    migrate_every: Annotated[int | None, _option("Generations between two migrations.", metavar="N")] = None,
    polish: Annotated[int | None, _option("Last generations, which tune the best rules' numbers.", metavar="N")] = None,
    primitives: Annotated[
        list[str] | None,
        _option("Forms to build rules from; see 'symevo primitives'.", metavar="A,B,…"),
    ] = None,
    max_depth: Annotated[int | None, _option("Levels of a rule's tree below its root.", metavar="N")] = None,
    max_size: Annotated[int | None, _option("Nodes of a rule's tree.", metavar="N")] = None,
    max_states: Annotated[int | None, _option("Numbers that a rule keeps per weight.", metavar="N")] = None,
    rule: Annotated[
        str | None, _option("The rule that is tuned: a name, rule JSON file, or text.", metavar="RULE")
    ] = None,
    tune: Annotated[
        list[str] | None,
        _option("Its numbers that are, as lr,beta1 or lr=1e-4:1:log; scales linear, log, complement.", metavar="A,B,…"),
    ] = None,
    mode: Annotated[str | None, _option("static, or dynamic: numbers that change while a model trains.")] = None,
    mutation: Annotated[float | None, _option("Probability that a number is mutated.", metavar="P")] = None,
    schedule: Annotated[
        str | None,
        _option("Its learning rate's: constant, cosine, linear or step:STEPS:FACTOR.", metavar="SCHEDULE"),
    ] = None,
    noise: Annotated[
        str | None, _option("What mutation does: uniform or gaussian (gadam), gaussian or triangular (evograd).")
    ] = None,
    noise_scale: Annotated[float | None, _option("How much of it.", metavar="S")] = None,
    inherit: Annotated[
        str | None, _option("The optimizer's state in a child: none, fitter or both (each weight brings its own).")
    ] = None,
    score_batch: Annotated[
        int | None, _option("Samples that networks are scored on; default: all.", metavar="N")
    ] = None,
    score_split: Annotated[str | None, _option("train or validation.")] = None,
    scale: Annotated[
        float | None, _option("Width of the networks that evograd draws; 1: as published.", metavar="S")
    ] = None,
    stop_below: Annotated[
        float | None, _option("Stop where the population's summed loss changes by less.", metavar="THETA")
    ] = None,
    engine: Annotated[str | None, _option("serial, process (default) or scoop.")] = None,
    scoop: Annotated[bool, _option("The same as --engine scoop.", "--scoop")] = False,
    workers: Annotated[int | None, _option("Worker processes; default: all cores.", metavar="N")] = None,
    eval_timeout: Annotated[float | None, _option("Seconds that one stacked training may take.", metavar="S")] = None,
    time_budget: Annotated[str | None, _option("Stop after the generation that passes this.", metavar="30m")] = None,
    device: Annotated[str | None, _option("auto, cpu or cuda.")] = None,
    backend: Annotated[str | None, _option("Update kernels: auto, compiled, eager or interpreter.")] = None,
    threads: Annotated[int | None, _option("Threads for each evaluation.", metavar="N")] = None,
    rows: Annotated[int | None, _option("Trainings stacked at once; default: measured.", metavar="N")] = None,
    stacking: Annotated[str | None, _option("How they are stacked; default: measured.", metavar="NAME")] = None,
    data_dir: Annotated[Path | None, _option("Folder of data sets.", metavar="DIR")] = None,
    out: Annotated[Path | None, _option("New folder for the run.", metavar="DIR")] = None,
    resume: Annotated[Path | None, _option("Go on with the run in this folder.", metavar="DIR")] = None,
    json: Annotated[bool, _option("Print one JSON object and nothing else.", "--json")] = False,
    quiet: Annotated[bool, _option("No progress on standard error.", "--quiet")] = False,
    version: _Version = False,
) -> Job:
    request = commands.Request(flags=_flags(context.params), config=config, resume=resume)
    return partial(commands.run, request, argv=context.obj, as_json=json, quiet=quiet)


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


_Json = Annotated[bool, _option("Print JSON.", "--json")]
_Latex = Annotated[bool, _option("Print the equations in LaTeX.", "--latex")]
_TasksFrom = Annotated[list[Path] | None, _option(_TASKS_FROM, metavar="FILE.py")]


@app.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)],
    rank: Annotated[int | None, _option("One rule of the front in full, 1 the best.", metavar="N")] = None,
    latex: _Latex = False,
    json: _Json = False,
    tasks_from: _TasksFrom = None,
) -> Job:
    """Shows the best rules of a run, finished or not."""
    _not_both(latex, json)
    return partial(commands.show, run, rank=rank, latex=latex, as_json=json, files=list(tasks_from or []))


@app.command()
def tasks(
    tasks_from: _TasksFrom = None,
) -> Job:
    """Lists the tasks that candidates can be trained on."""
    return partial(commands.tasks, list(tasks_from or []))


@app.command()
def rules(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RULE]", help="A name, a rule JSON file, or text.", show_default=False),
    ] = None,
    latex: _Latex = False,
    json: _Json = False,
    tasks_from: _TasksFrom = None,
) -> Job:
    """Lists the classic optimizers, or shows one rule: its equations, program and numbers."""
    _not_both(latex, json)
    if name is None and (latex or json):
        raise UserError("--latex and --json need a rule: symevo rules adamw --latex")
    return partial(commands.rules, name, latex=latex, as_json=json, files=list(tasks_from or []))


@app.command()
def primitives(
    tasks_from: _TasksFrom = None,
) -> Job:
    """Lists the forms that system expression builds rules from, and what each means."""
    return partial(commands.primitives, list(tasks_from or []))


@app.command()
def systems() -> Job:
    """Lists the systems that 'symevo run' knows."""
    return commands.systems


def _not_both(latex: bool, json: bool) -> None:
    if latex and json:
        raise UserError("--latex and --json exclude each other: keep one of them")


def parse(argv: list[str]) -> Job | int:
    """Reads a command line.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The job that it asks for, or an exit code where ``--help`` or ``--version`` was all.

    Raises:
        UserError: No command line of ours.
    """
    command = typer.main.get_command(app)
    try:
        job: Any = command.main(args=list(argv), prog_name="symevo", standalone_mode=False, obj=list(argv))
    except _ClickException as error:
        raise UserError(_usage(error)) from None
    return job if callable(job) else int(job or 0)  # type: ignore[return-value]


def _usage(error: Any) -> str:
    """The command-line parser's complaint, in our words where it knows more than it says."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if type(error).__name__ == "NoSuchOption" and option and context is not None:
        flags = [name for parameter in context.command.params for name in parameter.opts if "--" in name]
        return f"unknown flag {option!r}: {nearest(option, [*flags, '--help'])}"
    text = error.format_message().strip()
    if text.startswith("No such command") and context is not None:
        name = text.split("'")[1]
        return f"unknown command {name!r}: {nearest(name, sorted(context.command.commands))}"
    # "Input should be a valid integer, unable to parse string as an integer" says one thing twice.
    text = re.sub(r"Input should be (a valid \w+).*", r"give \1", text)
    command = context.command_path if context is not None else "symevo"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}: see {command} --help"

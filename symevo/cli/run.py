"""``symevo run``: search for an optimizer. Its options are the settings of the systems."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

from symevo.cli.app import Quiet, Version, hushed, option, print_json, told
from symevo.engines import ENGINES
from symevo.errors import UserError
from symevo.registry import nearest
from symevo.settings.model import MODELS, Settings, all_fields, flag_of, model_of
from symevo.settings.resolution import import_files, read_toml, resolve, resumed


def run(
    context: typer.Context,
    config: Annotated[Path | None, option("Settings from a TOML file.", metavar="FILE.toml")] = None,
    resume: Annotated[Path | None, option("Go on with the run in this folder.", metavar="DIR")] = None,
    scoop: Annotated[bool, option("The same as --engine scoop.", "--scoop")] = False,
    json: Annotated[bool, option("Print one JSON object and nothing else.", "--json")] = False,
    quiet: Quiet = False,
    version: Version = False,
    **said: Any,
) -> int:
    """SYSTEM is one of those that 'symevo systems' lists; each has flags of its own, which 'symevo run SYSTEM
    --help' shows. Flags beat --config, which beats --preset.

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
    flags = _flags(said, scoop=scoop)
    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is no result
        settings = _settings(flags, config, resume)
    if settings.engine == "scoop":
        from symevo.engines.scoop.supervisor import inside_scoop, supervise

        if not inside_scoop():
            return supervise(context.obj, settings.workers)
    from symevo.evolution import evolve as api

    with told(quiet) as progress:
        if resume is None:
            result = api.start(settings, progress=progress)
        else:
            result = api.resume(resume, _all(flags, config), progress=progress)
    if json:
        print_json(result.summary() | {"run": str(resume or _all(flags, config).get("out") or result.path)})
    else:
        print(result)
    return 0


def _options() -> Iterator[inspect.Parameter]:
    """The settings of all systems, as parameters of the command; those of other systems are left out of the help."""
    kind = inspect.Parameter.KEYWORD_ONLY
    shown = typer.Argument(metavar="[SYSTEM]", help="Default: term-sum.", show_default=False)
    yield inspect.Parameter("system", kind, default=None, annotation=Annotated[str | None, shown])
    for name, field in all_fields().items():
        if flag := flag_of(field):
            base = str if flag.text else _said_as(field.annotation)
            dashed = name.replace("_", "-")
            names = (f"--{dashed}/--no-{dashed}",) if base is bool else ()
            about = option(flag.help, *names, metavar=flag.metavar)
            yield inspect.Parameter(name, kind, default=None, annotation=Annotated[base | None, about])


def _said_as(annotation: Any) -> Any:
    """What the command line reads for a setting; a list of texts for a tuple, and text for what only a model reads."""
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is tuple:
        return list[str]
    return annotation if annotation in (int, float, bool, Path) else str


def prepared(function: Callable[..., int]) -> Callable[..., int]:
    """The function of the command, with the settings of all systems among its parameters."""

    @wraps(function)
    def called(**params: Any) -> int:
        return function(**params)

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [one.replace(kind=keyword) for one in inspect.signature(function, eval_str=True).parameters.values()]
    called.__signature__ = inspect.Signature([*_options(), *(one for one in own if one.name != "said")])  # type: ignore[attr-defined]
    return called


def import_early(argv: Sequence[str]) -> None:
    """Imports the user's files that a command line names: they may register systems with options of their own."""
    words = [word for one in argv for word in (one.split("=", 1) if one.startswith("--") else [one])]
    said = {name: [after for one, after in pairwise(words) if one == name] for name in _FILES}
    with contextlib.suppress(UserError):  # said when settings are read
        tables = [read_toml(Path(path)).get("tasks_from") for path in said["--config"]]
        said["--tasks-from"] += [path for table in tables if isinstance(table, list) for path in table]
    with hushed("--quiet" in argv):
        import_files([Path(path) for path in said["--tasks-from"] if isinstance(path, str) and Path(path).is_file()])


_FILES = ("--tasks-from", "--config")


class Command(TyperCommand):
    """Shows the options of the system that is named, and of no other."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with contextlib.suppress(Exception):  # what is wrong is said when they are read in earnest
            system = self.make_parser(ctx).parse_args(list(args))[0].get("system") or "term-sum"
            model = model_of(system)
            for one in self.params:
                field = model.model_fields.get(one.name or "")
                one.hidden = field is None and one.name in all_fields()  # type: ignore[attr-defined]
                if flag := flag_of(field):
                    known = f" {', '.join(model.presets)}" if one.name == "preset" else ""
                    one.help = flag.help + known  # type: ignore[attr-defined]
        return super().parse_args(ctx, args)


def _flags(said: Mapping[str, Any], *, scoop: bool) -> dict[str, Any]:
    """The settings that were said, by field name."""
    flags = {name: value for name, value in said.items() if value is not None and value != []}
    if scoop:
        if flags.get("engine") not in (None, "scoop"):
            raise UserError(f"--scoop and --engine {flags['engine']} exclude each other: keep one of them")
        flags["engine"] = "scoop"
    for name, field in all_fields().items():
        flag = flag_of(field)
        if isinstance(flags.get(name), list) and flag and not flag.repeated:
            flags[name] = [one.strip() for one in ",".join(flags[name]).split(",") if one.strip()]
    return flags


def _settings(flags: Mapping[str, Any], config: Path | None, resume: Path | None) -> Settings:
    """The settings of the run; those of a resumed run come from its folder."""
    if resume is None:
        settings = resolve(flags, toml=config)
        if not settings.tasks_from:
            MODELS.get(settings.system)  # before torch is loaded, which takes seconds
            ENGINES.get(settings.engine)
            _check_tasks(settings.tasks)
        return settings
    from symevo.evolution import evolve as api

    recorded = api.load(resume).settings
    return resumed({**recorded.search_settings(), **recorded.execution_settings()}, _all(flags, config))


def _all(flags: Mapping[str, Any], config: Path | None) -> dict[str, Any]:
    """Flags over the TOML file's settings."""
    return {**(read_toml(config) if config else {}), **flags}


def _check_tasks(names: tuple[str, ...]) -> None:
    """Refuses an unknown task before torch is loaded, which takes seconds."""
    known = built_in_tasks()
    for name in names:
        if known and name not in known:
            raise UserError(f"unknown task {name!r}: {nearest(name, known)}")


def built_in_tasks() -> list[str]:
    """The names of the tasks that the zoo registers, read from its source; empty without the source."""
    files = (Path(__file__).parents[1] / "tasks" / "zoo").glob("*.py")
    texts = [path.read_text(encoding="utf-8") for path in files]
    return sorted(name for text in texts for name in re.findall(r'^built_in\(\s*"([^"]+)"', text, re.MULTILINE))

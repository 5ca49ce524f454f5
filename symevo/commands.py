"""What the subcommands do.

Results go to standard output, all else to standard error. Nothing here imports torch before it is needed.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symevo.config import read_toml, resolve, resumed
from symevo.settings import Settings


@dataclass(frozen=True)
class Request:
    """What a user asked ``symevo run`` for.

    Attributes:
        flags: Settings said on the command line, by field name.
        config: A TOML file.
        resume: The folder of a run to go on with.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None
    resume: Path | None = None

    def all_flags(self) -> dict[str, Any]:
        """Flags over the TOML file's settings."""
        return {**(read_toml(self.config) if self.config else {}), **self.flags}


def run(request: Request, *, argv: list[str], as_json: bool, quiet: bool) -> int:
    """Starts a run or goes on with one, on SCOOP if that is the engine, and prints its result."""
    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is no result
        settings = _settings(request)
    if settings.engine == "scoop":
        from symevo.engines.supervisor import inside_scoop, supervise

        if not inside_scoop():
            return supervise(argv, settings.workers)
    from symevo.report.progress import make_progress
    from symevo.systems import api

    progress = make_progress(quiet=quiet)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if request.resume is None:
                result = api.start(settings, progress=progress)
            else:
                result = api.resume(request.resume, request.all_flags(), progress=progress)
    finally:
        progress.close()
    if as_json:
        said = request.resume or request.all_flags().get("out") or result.path
        _print_json(result.summary() | {"run": str(said)})
    else:
        print(result)
    return 0


def _settings(request: Request) -> Settings:
    """The settings of the run; those of a resumed run come from its folder."""
    if request.resume is None:
        said = request.all_flags()
        if (said.get("seed_rules") or said.get("rule")) and isinstance(files := said.get("tasks_from"), list):
            _import([Path(path) for path in files if isinstance(path, str) and Path(path).is_file()])
        return resolve(request.flags, toml=request.config)
    from symevo.systems import api

    recorded = api.load(request.resume).settings
    return resumed({**recorded.search_settings(), **recorded.execution_settings()}, request.all_flags())


def show(path: Path, *, rank: int | None, latex: bool, as_json: bool, files: Sequence[Path]) -> int:
    """Prints what a run has found so far, or one rule of its front in full."""
    from symevo.systems import api

    _import(files)
    result = api.load(path)
    if as_json:
        _print_json(result.summary() if rank is None else result.entry(rank))
        return 0
    from symevo.report.tables import candidate_report

    one = result.best if rank is None else result.ranked(rank)
    if latex:
        print(one.rule.latex(numbers=True))
    elif rank is None:
        print(result)
    else:
        print(candidate_report(one, title=f"rank {rank} of {len(result.front)}"))
    return 0


def _import(files: Sequence[Path]) -> list[str]:
    """Imports the user's files and registers what they make; returns the names of their tasks."""
    if not files:
        return []
    from symevo.engines.resolve import load_plugin
    from symevo.tasks.plugins import adopt

    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is no result
        return [name for path in files for name in adopt(load_plugin(path))]


def tasks(files: Sequence[Path]) -> int:
    """Lists tasks, those of the user's files too."""
    from symevo.report.tables import listing
    from symevo.tasks import TASKS

    _import(files)
    print(listing({name: TASKS.get(name)().description for name in TASKS}))
    return 0


def primitives(files: Sequence[Path]) -> int:
    """Lists the forms of the grammar, those of the user's files too."""
    import textwrap

    from symevo.genomes.expression_grammar import all_forms
    from symevo.report.forms import LEGEND, form_lines
    from symevo.report.tables import WIDTH, listing

    _import(files)
    forms = all_forms()
    print(listing(form_lines({name: forms[name] for name in sorted(forms)})))
    print("", *textwrap.wrap(LEGEND, WIDTH), sep="\n")
    return 0


def rules(name: str | None, *, latex: bool, as_json: bool, files: Sequence[Path]) -> int:
    """Lists the classics, or prints one rule."""
    from symevo.report.tables import listing, one_line, rule_report
    from symevo.rules.rule import rule

    _import(files)

    if name is None:
        from symevo.rules.classic import CLASSICS

        print(listing({known: one_line(CLASSICS.get(known)) for known in CLASSICS}))
        return 0
    found = rule(name)
    if as_json:
        _print_json(found.to_json())
    else:
        print(found.latex() if latex else rule_report(found))
    return 0


def systems() -> int:
    """Lists systems."""
    from symevo.report.tables import listing
    from symevo.systems import SYSTEMS

    print(listing({name: SYSTEMS.get(name).description for name in SYSTEMS}))
    return 0


def _print_json(data: Any) -> None:
    json.dump(data, sys.stdout, allow_nan=False)
    print()

"""What ``symevo run`` does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symevo.cli.commands.shared import hushed, print_json
from symevo.settings.model import Settings
from symevo.settings.resolution import import_files, read_toml, resolve, resumed


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
    with hushed(quiet):
        return _run(request, argv=argv, as_json=as_json, quiet=quiet)


def _run(request: Request, *, argv: list[str], as_json: bool, quiet: bool) -> int:
    with contextlib.redirect_stdout(sys.stderr):  # what a user's file prints is no result
        settings = _settings(request)
    if settings.engine == "scoop":
        from symevo.engines.scoop.supervisor import inside_scoop, supervise

        if not inside_scoop():
            return supervise(argv, settings.workers)
    from symevo.evolution import evolve as api
    from symevo.reporting.progress import make_progress

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
        print_json(result.summary() | {"run": str(said)})
    else:
        print(result)
    return 0


def _settings(request: Request) -> Settings:
    """The settings of the run; those of a resumed run come from its folder."""
    if request.resume is None:
        said = request.all_flags()
        if (said.get("seed_rules") or said.get("rule")) and isinstance(files := said.get("tasks_from"), list):
            import_files([Path(path) for path in files if isinstance(path, str) and Path(path).is_file()])
        return resolve(request.flags, toml=request.config)
    from symevo.evolution import evolve as api

    recorded = api.load(request.resume).settings
    return resumed({**recorded.search_settings(), **recorded.execution_settings()}, request.all_flags())

"""Export of a rule, or of one of a run's, as a Python file of its own."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.errors import UserError
from symevo.files import write_file
from symevo.settings.explain import SettingError

if TYPE_CHECKING:
    from symevo.rules.rule import Rule
    from symevo.runs.run import Candidate, Run

CODE, NUMBERS = ".py", ".safetensors"
_NEEDED = frozenset({"torch", "symevo"})


def export(
    source: Rule | Candidate | Run | Mapping[str, Any] | str | Path,
    path: str | Path,
    *,
    rank: int | None = None,
    name: str | None = None,
    force: bool = False,
) -> Path:
    """Write a rule as one Python file: a documented ``torch.optim.Optimizer`` that needs torch and nothing of symevo.

    The file computes what :class:`symevo.Optimizer` does, bit for bit where nothing is compiled. Evolved controllers
    are written as a safetensors file instead.

    Args:
        source: A run or its folder, one of its candidates, or whatever :func:`symevo.rule` takes.
        path: The file: ``.py``, or ``.safetensors`` for controllers.
        rank: Which rule of a run's front, 1 the best; by default the best of the run.
        name: Of the class; by default the rule's, in capitals.
        force: Write over a file that is there.

    Returns:
        The path.

    Raises:
        UserError: Nothing to export, or a path or name that cannot be; nothing was written then.

    Example:
        >>> export("lion", "lion.py", name="Lion", force=True)  # doctest: +SKIP
        PosixPath('lion.py')
    """
    path = Path(path)
    _check_free(path, force)
    found, about = _found(source, rank)
    if getattr(found, "controllers", False):
        return _write_controllers(found, path, name)
    if path.suffix != CODE:
        raise UserError(f"cannot write {path}: the name of a Python file ends in {CODE}")
    _check_hides_nothing(path)
    from symevo.rules.export import writer
    from symevo.rules.rule import rule

    text = writer.source(rule(found), name=name, about=about, module=path.stem)
    write_file(path, text.encode())
    return path


def _check_hides_nothing(path: Path) -> None:
    """Refuses the name of a module of Python, of torch or of an installed package, which the file would hide."""
    if path.stem in sys.stdlib_module_names or path.stem in _NEEDED or _is_installed(path.stem):
        raise UserError(
            f"cannot write {path}: programs beside it would import it in place of the module {path.stem!r}: "
            f"give another name, such as my_{path.stem}{CODE}"
        )


def _is_installed(name: str) -> bool:
    """Whether a package of this name is installed, such as one that torch imports."""
    folders = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    found = importlib.machinery.PathFinder.find_spec(name, folders) if name.isidentifier() else None
    return found is not None and found.origin is not None  # a mere folder has none


def _found(source: Any, rank: int | None) -> tuple[Any, dict[str, Any]]:
    """The candidate or rule, and what to tell of it."""
    from symevo.evolution import evolve as api
    from symevo.rules.rule import names_run, rule

    is_run = isinstance(source, str | os.PathLike) and names_run(source)
    source = api.load(Path(source)) if is_run else source
    if hasattr(source, "ranked"):
        one = source.best if rank is None else source.ranked(rank)
        place = next((place for place, other in enumerate(source.front, 1) if other is one), None)
        where = {"run": str(source.path), "system": source.settings.system}
        return one, {**where, "rank": f"{place} of {len(source.front)}", **_scores(one)}
    if rank is not None:
        raise SettingError("rank", "picks a rule of a run's front: leave it out for a single rule")
    return (source, _scores(source)) if hasattr(source, "per_task") else (rule(source), {})


def _scores(one: Candidate) -> dict[str, Any]:
    return {"fitness": one.fitness, "tasks": dict(one.per_task)}


def _write_controllers(one: Any, path: Path, name: str | None) -> Path:
    if path.suffix != NUMBERS:
        raise UserError(f"cannot write {path}: evolved controllers are numbers, give a name that ends in {NUMBERS}")
    if name is not None:
        raise SettingError("name", "is of an exported rule's class: controllers have none, leave it out")
    one.save(path)
    return path


def _check_free(path: Path, force: bool) -> None:
    """Nothing is written over unasked, and no folder is made."""
    if os.path.isdir(path):
        raise UserError(f"cannot write {path}: it is a folder, give a file's name in it")
    if not os.path.isdir(path.parent):
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if os.path.lexists(path) and not force:
        raise SettingError("force", f"is needed to write over {path}, which is there already")

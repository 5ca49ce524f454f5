"""What the commands do that show what there is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from symevo.cli.commands.shared import print_json
from symevo.errors import UserError
from symevo.settings.resolution import import_files


def show(path: Path, *, rank: int | None, latex: bool, as_json: bool, files: Sequence[Path]) -> int:
    """Prints what a run has found so far, or one rule of its front in full."""
    from symevo.evolution import evolve as api

    import_files(files)
    result = api.load(path)
    if as_json:
        print_json(result.summary() if rank is None else result.entry(rank))
        return 0
    from symevo.reporting.text.tables import candidate_report

    one = result.best if rank is None else result.ranked(rank)
    if one.controllers and latex:
        raise UserError(f"{path} evolved controllers, which have no equations: best.save(path) keeps their numbers")
    if latex:
        print(one.rule.latex(numbers=True))
    elif rank is None:
        print(result)
    elif one.controllers:
        print(one)
    else:
        print(candidate_report(one, title=f"rank {rank} of {len(result.front)}"))
    return 0


def tasks(files: Sequence[Path]) -> int:
    """Lists tasks, those of the user's files too."""
    from symevo.reporting.text.tables import listing
    from symevo.tasks import TASKS

    import_files(files)
    print(listing({name: TASKS.get(name)().description for name in TASKS}))
    return 0


def primitives(files: Sequence[Path]) -> int:
    """Lists the forms of the grammar, those of the user's files too."""
    import textwrap

    from symevo.genomes.expression.grammar import all_forms
    from symevo.reporting.text.tables import LEGEND, WIDTH, form_lines, listing

    import_files(files)
    forms = all_forms()
    print(listing(form_lines({name: forms[name] for name in sorted(forms)})))
    print("", *textwrap.wrap(LEGEND, WIDTH), sep="\n")
    return 0


def rules(name: str | None, *, latex: bool, as_json: bool, files: Sequence[Path]) -> int:
    """Lists the classics, or prints one rule."""
    from symevo.reporting.text.tables import listing, one_line, rule_report
    from symevo.rules.rule import rule

    import_files(files)

    if name is None:
        from symevo.rules.classic import CLASSICS

        print(listing({known: one_line(CLASSICS.get(known)) for known in CLASSICS}))
        return 0
    found = rule(name)
    if as_json:
        print_json(found.to_json())
    else:
        print(found.latex() if latex else rule_report(found))
    return 0


def systems() -> int:
    """Lists systems."""
    from symevo.reporting.text.tables import listing
    from symevo.systems import SYSTEMS

    print(listing({name: SYSTEMS.get(name).description for name in SYSTEMS}))
    return 0

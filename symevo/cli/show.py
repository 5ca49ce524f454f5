"""Commands that show what there is: runs, tasks, rules, primitives, systems."""

from __future__ import annotations

from typing import Annotated

import typer

from symevo.cli.app import Json, Latex, RunFolder, TasksFrom, not_both, option, print_json
from symevo.errors import UserError


def show(
    run: RunFolder,
    rank: Annotated[int | None, option("One rule of the front in full, 1 the best.", metavar="N")] = None,
    latex: Latex = False,
    json: Json = False,
    tasks_from: TasksFrom = None,
) -> int:
    not_both(latex, json)
    from symevo.evolution import evolve as api
    from symevo.reporting.text.tables import candidate_report
    from symevo.settings.resolution import import_files

    import_files(tasks_from or [])
    result = api.load(run)
    if json:
        print_json(result.summary() if rank is None else result.entry(rank))
        return 0
    one = result.best if rank is None else result.ranked(rank)
    if one.controllers and latex:
        raise UserError(f"{run} evolved controllers, which have no equations: best.save(path) keeps their numbers")
    if latex:
        print(one.rule.latex(numbers=True))
    elif rank is None:
        print(result)
    elif one.controllers:
        print(one)
    else:
        print(candidate_report(one, title=f"rank {rank} of {len(result.front)}"))
    return 0


def tasks(tasks_from: TasksFrom = None) -> int:
    from symevo.reporting.text.tables import listing
    from symevo.settings.resolution import import_files
    from symevo.tasks import TASKS

    import_files(tasks_from or [])
    print(listing({name: TASKS.get(name)().description for name in TASKS}))
    return 0


def rules(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RULE|RUN]", help="A name, a rule JSON file, text, or a run's folder.", show_default=False
        ),
    ] = None,
    latex: Latex = False,
    json: Json = False,
    tasks_from: TasksFrom = None,
) -> int:
    """A rule is shown with its equations, program and numbers."""
    not_both(latex, json)
    if name is None and (latex or json):
        raise UserError("--latex and --json need a rule: symevo rules adamw --latex")
    from symevo.reporting.text.tables import listing, one_line, rule_report
    from symevo.rules.classic import CLASSICS
    from symevo.rules.rule import rule
    from symevo.settings.resolution import import_files

    import_files(tasks_from or [])
    if name is None:
        print(listing({known: one_line(CLASSICS.get(known)) for known in CLASSICS}))
    elif json:
        print_json(rule(name).to_json())
    else:
        print(rule(name).latex() if latex else rule_report(rule(name)))
    return 0


def primitives(tasks_from: TasksFrom = None) -> int:
    """Each form is listed with what it means."""
    import textwrap

    from symevo.genomes.expression.grammar import all_forms
    from symevo.reporting.text.tables import LEGEND, WIDTH, form_lines, listing
    from symevo.settings.resolution import import_files

    import_files(tasks_from or [])
    forms = all_forms()
    print(listing(form_lines({name: forms[name] for name in sorted(forms)})))
    print("", *textwrap.wrap(LEGEND, WIDTH), sep="\n")
    return 0


def systems(tasks_from: TasksFrom = None) -> int:
    from symevo.reporting.text.tables import listing
    from symevo.settings.resolution import import_files
    from symevo.systems import SYSTEMS

    import_files(tasks_from or [])
    print(listing({name: SYSTEMS.get(name).description for name in SYSTEMS}))
    return 0

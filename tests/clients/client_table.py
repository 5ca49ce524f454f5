"""The table of clients: what their checks found, as JSON in ``paper/results`` and as Markdown in the README."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from pathlib import Path
from typing import Any

from client_forms import FORMS, OPTIMIZER, RULES

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "paper" / "results" / "clients.json"
README = ROOT / "README.md"
CHECKS = {"trains": "trains", "resumes": "resumes", "equals_adamw": "equals AdamW"}
"""Every check by the name of its test, and as the table's head calls it."""
MARKERS = re.compile(r"(<!-- clients -->\n).*?(<!-- /clients -->)", re.DOTALL)


def row(package: str) -> dict[str, Any]:
    """A client of which nothing is known yet: for each form and check, the outcome of each test by its rule."""
    version = importlib.metadata.version(package).split("+")[0]
    return {"package": package, "version": version, **{form: {check: {} for check in CHECKS} for form in FORMS}}


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A results file with the clients measured now in place of those measured before."""
    clients = {**old.get("clients", {}), **new}
    order = sorted(
        clients, key=lambda name: (clients[name]["package"] != "torch", clients[name]["package"], name.lower())
    )
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name).split("+")[0] for name in ("symevo", "torch")}
    rules = {name: {"rule": text, **options} for name, (text, options) in RULES.items()}
    return {"versions": versions, "rules": rules, "clients": {name: clients[name] for name in order}}


def markdown(results: dict[str, Any]) -> str:
    """The table, and the line above it that says with which versions and rules it was made."""
    versions = results["versions"]
    checks = ", ".join(CHECKS.values())
    forms = [f"{'`symevo.Optimizer`' if form == OPTIMIZER else form}: {checks}" for form in FORMS]
    lines = [
        f"With torch {versions['torch']} on Python {versions['python']}; rules: "
        + ", ".join(f"`{one['rule']}`" for one in results["rules"].values())
        + ".",
        "",
        f"| client | version | {' | '.join(forms)} |",
        "|---" * (2 + len(forms)) + "|",
    ]
    for name, client in results["clients"].items():
        cells = [", ".join(_cell(client[form][check]) for check in CHECKS) for form in FORMS]
        lines.append(f"| {name} | {client['package']} {client['version']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(outcomes: dict[str, bool]) -> str:
    failed = [rule for rule, passed in outcomes.items() if not passed]
    return "not measured" if not outcomes else "yes" if not failed else f"not {' and '.join(failed)}"


def with_table(text: str, table: str) -> str:
    """The README with a table between its markers."""
    assert MARKERS.search(text), "README.md has no <!-- clients --> … <!-- /clients -->"
    return MARKERS.sub(lambda found: found[1] + table + found[2], text)


def write(new: dict[str, Any]) -> None:
    """Put what was measured into the results file and the README."""
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results = merged(old, new)
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(with_table(README.read_text(encoding="utf-8"), markdown(results)), encoding="utf-8")

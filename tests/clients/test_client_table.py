"""The README's table of clients is that of the results file, and has every client. (Part of the default run.)"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from client_checks import Client
from client_forms import FORMS, RULES
from client_table import CHECKS, README, RESULTS, markdown, with_table

AGAIN = "write the table anew: python -m pytest tests/clients -m clients --clients-table"


def clients(kind: type[Client] = Client) -> dict[str, type[Client]]:
    """Every client of the suite, by name."""
    named = {kind.name: kind} if getattr(kind, "name", None) else {}
    return named | {name: one for below in kind.__subclasses__() for name, one in clients(below).items()}


def test_the_readme_has_the_table_that_was_measured() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    assert with_table(text, markdown(results)) == text, AGAIN


def test_the_table_has_every_client_form_check_and_rule() -> None:
    for path in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(path.stem)
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results["clients"]) == set(clients()), AGAIN
    assert set(results["rules"]) == set(RULES), AGAIN
    for client in results["clients"].values():
        for form in FORMS:
            assert set(client[form]["trains"]) == set(client[form]["resumes"]) == set(RULES), AGAIN
            assert set(client[form]["equals_adamw"]) == {"adamw"}, AGAIN


@pytest.mark.parametrize("check", CHECKS)
def test_every_client_shows_what_the_readme_promises(check: str) -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    failed = {name: client[form][check] for name, client in results["clients"].items() for form in FORMS}
    assert all(all(outcomes.values()) for outcomes in failed.values())

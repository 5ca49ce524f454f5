"""The table of clients: ``python -m pytest tests/clients -m clients --clients-table`` writes it anew."""

from __future__ import annotations

from typing import Any

import pytest
from client_table import CHECKS, row, write

FOUND: dict[str, Any] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clients-table", action="store_true", help="write what clients showed to paper/results and the README"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what a check of a client found; with several processes, in the one that gathers."""
    told = dict(report.user_properties).get("client")
    if report.when == "call" and not report.skipped and told and told["check"] in CHECKS:
        client = FOUND.setdefault(told["client"], row(told["package"]))
        client[told["form"]][told["check"]][told["rule"]] = report.passed


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--clients-table") and not hasattr(session.config, "workerinput") and FOUND:
        write(FOUND)

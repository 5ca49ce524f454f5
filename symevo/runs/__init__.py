"""The run store: one SQLite file that holds everything a run did, checked whole when it is opened."""

from symevo.runs.checks import Evaluation
from symevo.runs.store import FILE, SCHEMA, Store, versions

__all__ = ["FILE", "SCHEMA", "Evaluation", "Store", "versions"]

"""The run store: one SQLite file that holds everything a run did, checked whole when it is opened."""

from symevo.runs.store import FILE, SCHEMA, Store, versions

__all__ = ["FILE", "SCHEMA", "Store", "versions"]

"""Searches on SCOOP: a pool of processes, a broker that survives dead workers, and an engine."""

from typing import Any

from symevo.errors import UserError

INSTALL = "pip install 'scoop==0.7.2.0' 'pyzmq<28'"


def check_scoop(owner: Any, name: str) -> None:
    """Raise UserError where SCOOP lacks a name that we rely on, as another version may."""
    if not hasattr(owner, name):
        raise UserError(f"this SCOOP has no {getattr(owner, '__name__', owner)}.{name}: {INSTALL}")

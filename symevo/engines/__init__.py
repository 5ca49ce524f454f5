"""Engines: the same tasks on one core, on all cores, or on SCOOP, with the same replies."""

from symevo.engines import inline, process  # noqa: F401  (each registers itself)
from symevo.engines.base import ENGINES, SETUP_FAILED, Engine, Preparation, Reply, make_engine
from symevo.engines.resolve import load_plugin
from symevo.engines.scoop import engine  # noqa: F401
from symevo.engines.scoop.supervisor import inside_scoop, supervise

__all__ = [
    "ENGINES",
    "SETUP_FAILED",
    "Engine",
    "Preparation",
    "Reply",
    "inside_scoop",
    "load_plugin",
    "make_engine",
    "supervise",
]

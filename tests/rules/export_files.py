"""Exported files as modules, for the tests of exporting."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

_count = 0


def module_of(text: str, folder: Path | None = None) -> Any:
    """The module that a file's text makes, with a name of its own."""
    global _count
    _count += 1
    name = f"exported_{_count}"
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(folder or scratch) / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module: ModuleType = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pickle looks classes up there
        spec.loader.exec_module(module)
    return module

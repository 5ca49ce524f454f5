"""``python -m symevo …`` is ``symevo …``."""

from __future__ import annotations

from symevo.cli import entry

if __name__ == "__main__":
    entry()

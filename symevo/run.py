"""``python -m symevo.run …`` is ``symevo run …``."""

from __future__ import annotations

import sys

from symevo.cli import entry

if __name__ == "__main__":
    entry(["run", *sys.argv[1:]])

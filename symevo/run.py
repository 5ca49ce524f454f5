"""``python -m symevo.run …`` is ``symevo run …``."""

from __future__ import annotations

import sys

try:
    from symevo.cli import entry
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    entry(["run", *sys.argv[1:]])

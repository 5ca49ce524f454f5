"""``python -m symevo …`` is ``symevo …``."""

from __future__ import annotations

import sys

try:
    from symevo.cli import entry
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    entry()

"""The file that SCOOP runs, by its path, in the origin; every worker imports it too, so it stays light."""

from __future__ import annotations

import os
import sys
import traceback

TARGET, EXIT_CODE = "_SYMEVO_SCOOP_TARGET", "_SYMEVO_SCOOP_EXIT_CODE"


def run(argv: list[str]) -> int:
    """Calls the target with the arguments and returns its exit code.

    Nothing may leave this function: SCOOP turns an exception, SystemExit included, into success.
    """
    from symevo.engines.resolve import resolve

    try:
        return int(resolve(os.environ[TARGET])(argv) or 0)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        return 1


# SCOOP puts the folder of this file on the import path, where modules such as `serial` and `process` would be
# taken for top-level ones.
_FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _FOLDER]

if __name__ == "__main__":
    os.environ[EXIT_CODE] = str(run(sys.argv[1:]))

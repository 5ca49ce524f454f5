"""Both ends of SCOOP's own bootstrap, in a process of its own: what is mended before it, and the file that it runs.

SCOOP 0.7.2.0 loses the exit code of the program, reports running tasks as lost, and listens on all interfaces. Each
name that is changed here is checked first, so that another SCOOP fails with a clear message. SCOOP runs a file by its
path: this one, in the origin; every worker imports it too, so it stays light.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any

# SCOOP puts the folder of the file that it runs on the import path, where `engine` would be a top-level module.
_FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _FOLDER]

PARENT, TARGET, EXIT_CODE = "_SYMEVO_SCOOP_PARENT", "_SYMEVO_SCOOP_TARGET", "_SYMEVO_SCOOP_EXIT_CODE"


def run(argv: list[str]) -> int:
    """Call the target with the arguments and return its exit code.

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


def mend() -> None:
    """Replace what makes SCOOP unsafe or unreliable for long tasks."""
    import scoop
    import scoop._types

    from symevo.engines.scoop import check_scoop
    from symevo.engines.scoop.broker import use_private_sockets

    # The status thread uses the main thread's socket, and its reports make the broker lose track of running tasks.
    check_scoop(scoop, "TIME_BETWEEN_STATUS_REPORTS")
    scoop.TIME_BETWEEN_STATUS_REPORTS = 1e8
    # Asked about a task that runs, the broker may say "unknown", and the task would be run a second time.
    check_scoop(scoop._types.FutureQueue, "askForPreviousFutures")
    queue_class: Any = scoop._types.FutureQueue
    queue_class.askForPreviousFutures = lambda self: None
    use_private_sockets()


def main() -> None:
    """Run the bootstrap, then leave with the exit code of the program, which SCOOP would drop."""
    from symevo.engines.guard import die_with

    die_with(int(os.environ[PARENT]))
    origin = "--origin" in sys.argv
    if not origin:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = "1" if origin else "0"
    try:
        mend()
        from scoop.bootstrap.__main__ import Bootstrap

        Bootstrap().main()
    except SystemExit:
        pass
    except KeyboardInterrupt:
        code = "130"
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: SCOOP's queues and sockets would have their say, and could block, at interpreter exit.
    os._exit(int(os.environ.get(EXIT_CODE, code)))


if __name__ == "__main__":
    os.environ[EXIT_CODE] = str(run(sys.argv[1:]))

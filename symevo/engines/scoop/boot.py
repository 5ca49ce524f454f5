"""Starts SCOOP's own bootstrap with its known faults mended, in a process of its own.

SCOOP 0.7.2.0 loses the exit code of the program, reports running tasks as lost, and listens on all
interfaces. Each name that is changed here is checked first, so that another SCOOP fails with a clear message.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any

from symevo.engines.guard import die_with
from symevo.engines.scoop import check_scoop
from symevo.engines.scoop.entry import EXIT_CODE
from symevo.engines.scoop.supervisor import PARENT


def mend() -> None:
    """Replaces what makes SCOOP unsafe or unreliable for long tasks."""
    import scoop
    import scoop._types

    from symevo.engines.scoop import sockets as scoop_sockets

    # The status thread uses the main thread's socket, and its reports make the broker lose track of running
    # tasks.
    check_scoop(scoop, "TIME_BETWEEN_STATUS_REPORTS")
    scoop.TIME_BETWEEN_STATUS_REPORTS = 1e8
    # Asked about a task that runs, the broker may say "unknown", and the task would be run a second time.
    check_scoop(scoop._types.FutureQueue, "askForPreviousFutures")
    queue_class: Any = scoop._types.FutureQueue
    queue_class.askForPreviousFutures = lambda self: None
    scoop_sockets.install()


def main() -> None:
    """Runs the bootstrap, then leaves with the exit code of the program, which SCOOP would drop."""
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

"""Command lines of worker processes: each starts with the import path of the process that starts it, and no other.

``python -m MODULE`` puts the current folder first on the path of a new process, before anything is imported: a file
there that is called ``random.py`` or ``queue.py`` would be taken for the standard library's.

Processes that end when the one that started them ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Has Linux kill this process as soon as the *thread* that started it ends.

    Elsewhere a child notices the end of its parent only when it next reads from its pipe.

    Args:
        parent: Process id of the parent; if it is gone by now, this process exits at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that leads its own session, and all that it started in it; then reaps it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def cause_of_death(code: int) -> str:
    """The return code of a ``Popen`` in words."""
    if code >= 0:
        return f"the process ended with exit code {code}"
    try:
        return f"the process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the process was killed by signal {-code}"


def python(module: str, *arguments: object) -> list[str]:
    """The command line of a new Python that calls the ``main`` of a module.

    Args:
        module: Its name in full; it stands first in ``sys.argv`` there.
        arguments: The other words.
    """
    path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
    # The path is set before the first import, but for sys, which is part of the interpreter.
    code = f"import sys; sys.path[:] = {path!r}; del sys.argv[0]; from {module} import main; main()"
    return [sys.executable, "-c", code, module, *map(str, arguments)]

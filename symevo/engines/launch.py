"""Command lines of worker processes: each starts with the import path of the process that starts it, and no other.

``python -m MODULE`` puts the current folder first on the path of a new process, before anything is imported: a file
there that is called ``random.py`` or ``queue.py`` would be taken for the standard library's.
"""

from __future__ import annotations

import os
import sys


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

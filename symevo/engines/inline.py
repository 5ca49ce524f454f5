"""No processes at all: for notebooks, debuggers and tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from symevo.engines.base import (
    ENGINES,
    SETUP_FAILED,
    Engine,
    Function,
    OnResult,
    Preparation,
    Reply,
    check_limits,
    only_one,
)
from symevo.engines.resolve import attempt, prepare, reference, resolve

_CAUGHT = (Exception, SystemExit)  # not KeyboardInterrupt: it is the user's, and meant for the caller


@ENGINES.register("inline")
class InlineEngine(Engine):
    """Calls the function in this process, so that any callable and any value will do.

    Nothing guards a task here: ``timeout`` is not enforced, a hang hangs, and a crash takes this process
    along. Thread counts are left as they are.
    """

    isolates = False
    standalone = True
    lone = True

    def __init__(self, workers: int | None, preparation: Preparation) -> None:
        only_one("inline", workers)
        self.workers = 1
        self._setup = preparation.imports, preparation.setup
        self._ready = False

    def map(
        self,
        fn: Function,
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        retries: int = 1,
        on_result: OnResult | None = None,
    ) -> list[Reply]:
        """See :class:`symevo.engines.base.Engine`; ``timeout`` is not enforced and nothing is retried."""
        check_limits(timeout, retries)
        if isinstance(fn, str):
            reference(fn)
        replies: list[Reply] = []
        for index, item in enumerate(items):
            replies.append(self._run(fn, item))
            if on_result is not None:
                on_result(index, replies[-1])
        return replies

    def close(self) -> None:
        """There is nothing to end."""

    def _run(self, fn: Function, item: Any) -> Reply:
        status, value, _ = ("ok", None, 0.0) if self._ready else attempt(prepare, self._setup, _CAUGHT)
        if status != "ok":
            return Reply("exception", f"{SETUP_FAILED}{value}", 0.0, "inline", 1)
        self._ready = True
        status, value, seconds = attempt(lambda it: (resolve(fn) if isinstance(fn, str) else fn)(it), item, _CAUGHT)
        return Reply(status, value, seconds, "inline", 1)

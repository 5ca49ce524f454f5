"""The SCOOP engine: the origin sends packed requests, and every worker runs them in a guard of its own."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from symevo.engines.base import ENGINES, Preparation
from symevo.engines.dispatch import Answer, Dispatcher
from symevo.engines.guard import Guard, GuardSpec
from symevo.engines.resolve import describe
from symevo.engines.scoop import check_scoop
from symevo.engines.scoop.supervisor import inside_scoop
from symevo.engines.wire import reply
from symevo.errors import UserError

_POLL = 0.005
_SLACK = 15.0
"""Seconds beyond all limits of the worker's guard before the origin gives a task up for lost."""
_REVOKED = "symevo_revoked"
_guards: dict[GuardSpec, Guard] = {}


@ENGINES.register("scoop")
class ScoopEngine(Dispatcher):
    """The workers of the SCOOP pool around this process; by default all of them.

    A task that dies with its worker is ``lost``: the broker says so at once. Should its answer never come,
    the origin gives up when the task's own limits have long passed; without a ``timeout`` it waits.
    """

    isolates = True
    standalone = False

    def __init__(self, workers: int | None, preparation: Preparation) -> None:
        super().__init__()
        if not inside_scoop():
            raise UserError("the scoop engine needs a SCOOP pool: start with python -m symevo.run --scoop")
        import scoop
        from scoop import futures

        pool = scoop.SIZE - 1  # type: ignore[attr-defined]
        self.workers = min(workers or pool, pool)
        self._futures: Any = futures
        self._spec = GuardSpec.of(preparation)
        self._live: dict[Any, tuple[int, float, float]] = {}

    def submit(self, ticket: int, request: bytes, timeout: float | None) -> None:
        limit = float("inf") if timeout is None else timeout + self._spec.timeout + _SLACK
        future = self._futures.submit(run_guarded, ticket, request, timeout, self._spec)
        now = time.monotonic()
        self._live[future] = (ticket, now, now + limit)

    def collect(self, patience: float) -> list[Answer]:
        end = time.monotonic() + patience
        while True:
            done = self._futures.wait(list(self._live), timeout=0).done
            answers = [self._finish(future) for future in done] + self._give_up()
            if answers or time.monotonic() >= end:
                return answers
            time.sleep(_POLL)

    def revoke(self, ticket: int) -> None:
        _communicator().sendVariable(_REVOKED, ticket)

    def close(self) -> None:
        """Drops what is under way; the pool itself, guards included, ends with the run."""
        if self._live:
            self.revoke_all()
        for future in list(self._live):
            self._drop(future)

    def _finish(self, future: Any) -> Answer:
        ticket, start, _ = self._live.pop(future)
        if future.exceptionValue is not None:
            future._delete()
            reason = f"the worker failed: {describe(future.exceptionValue)}"
            return Answer(ticket, reply("lost", reason, time.monotonic() - start), None)
        # This way SCOOP also drops its own reference to the future.
        next(self._futures.as_completed([future]))
        return Answer(ticket, *future.resultValue)

    def _give_up(self) -> list[Answer]:
        now = time.monotonic()
        late = [future for future, (_, _, deadline) in self._live.items() if now > deadline]
        return [self._drop(future) for future in late]

    def _drop(self, future: Any) -> Answer:
        ticket, start, _ = self._live.pop(future)
        future._delete()
        seconds = time.monotonic() - start
        reason = f"no answer from any worker within {seconds:.0f} s"
        return Answer(ticket, reply("lost", reason, seconds), None)


def run_guarded(ticket: int, request: bytes, timeout: float | None, spec: GuardSpec) -> tuple[bytes, str]:
    """Runs one request in this worker; returns the reply and the worker's name."""
    import scoop

    message = _guard(spec).call(request, timeout=timeout, cancelled=partial(_is_revoked, ticket))
    return message, scoop.worker.decode()  # type: ignore[attr-defined]


def _guard(spec: GuardSpec) -> Guard:
    """This worker's guard; an engine with another preparation replaces it."""
    if spec not in _guards:
        while _guards:
            _guards.popitem()[1].close()
        _guards[spec] = Guard(spec)
    return _guards[spec]


def _communicator() -> Any:
    import scoop

    communicator = scoop._control.execQueue.socket  # type: ignore[attr-defined]
    for name in ("pumpInfoSocket", "sendVariable"):
        check_scoop(communicator, name)
    return communicator


def _is_revoked(ticket: int) -> bool:
    """Whether the origin has revoked this ticket; ends the worker if the run is over."""
    from scoop import shared
    from scoop._comm import Shutdown

    try:
        _communicator().pumpInfoSocket()
    except Shutdown:
        os._exit(0)  # takes the guard's child along; SCOOP would first finish the task
    return any(ticket <= variables.get(_REVOKED, 0) for variables in (shared.elements or {}).values())

"""The engines of one machine: guards in this process, each driven by a thread."""

from __future__ import annotations

import queue
import threading
from functools import partial

from symevo.engines.base import ENGINES, Preparation, only_one, usable_cores
from symevo.engines.dispatch import Answer, Dispatcher
from symevo.engines.guard import Guard, GuardSpec
from symevo.engines.resolve import describe
from symevo.engines.wire import reply

_Job = tuple[int, bytes, float | None]


@ENGINES.register("process")
class ProcessEngine(Dispatcher):
    """``workers`` child processes on this machine; by default one per core.

    The threads live as long as the engine: Linux ties the life of a child to the thread that started it.
    """

    isolates = True
    standalone = True

    def __init__(self, workers: int | None, preparation: Preparation) -> None:
        super().__init__()
        self.workers = workers or usable_cores()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._revoked = 0
        self._closed = False
        spec = GuardSpec.of(preparation)
        self._threads = [
            threading.Thread(target=self._drive, args=(index, spec), name=f"symevo-guard-{index}", daemon=True)
            for index in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, ticket: int, request: bytes, timeout: float | None) -> None:
        if self._closed:
            raise RuntimeError("this engine is closed")
        self._jobs.put((ticket, request, timeout))

    def collect(self, patience: float) -> list[Answer]:
        try:
            return [self._answers.get(timeout=patience)]
        except queue.Empty:
            return []

    def revoke(self, ticket: int) -> None:
        self._revoked = max(self._revoked, ticket)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.revoke_all()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _drive(self, worker: int, spec: GuardSpec) -> None:
        guard = Guard(spec)
        while (job := self._jobs.get()) is not None:
            ticket, request, timeout = job
            try:
                message = guard.call(request, timeout=timeout, cancelled=partial(self._is_revoked, ticket))
            except Exception as error:  # noqa: BLE001
                # A thread that dies would leave the map waiting for ever.
                message = reply("crashed", f"the guard failed: {describe(error)}", 0.0)
            self._answers.put(Answer(ticket, message, worker))
        guard.close()

    def _is_revoked(self, ticket: int) -> bool:
        return ticket <= self._revoked


@ENGINES.register("serial")
class SerialEngine(ProcessEngine):
    """The process engine with one worker: a hang or a crash is a reply here as well."""

    lone = True

    def __init__(self, workers: int | None, preparation: Preparation) -> None:
        only_one("serial", workers)
        super().__init__(1, preparation)

"""The one loop of all engines with workers: fill, collect, retry, report."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from symevo.engines.base import Engine, Function, OnResult, Reply, check_limits
from symevo.engines.resolve import describe, reference
from symevo.engines.wire import pack, unpack

_RETRIED = ("crashed", "lost")
_CANCEL_GRACE = 5.0


class Answer(NamedTuple):
    """A reply that came back for a ticket, and the worker it came from."""

    ticket: int
    reply: bytes
    worker: Any


class Attempt(NamedTuple):
    """One of possibly several attempts at an item; counted from 1."""

    item: int
    number: int


class Dispatcher(Engine):
    """An engine whose workers take packed requests; subclasses carry them there and back.

    At most ``workers`` requests are under way, so that a deadline counted from sending is honest. Every
    request has a ticket; tickets grow over the life of the engine, so that a late answer to a cancelled map
    is recognised.
    """

    def __init__(self) -> None:
        self._last_ticket = 0

    @abstractmethod
    def submit(self, ticket: int, request: bytes, timeout: float | None) -> None:
        """Sends a request to a free worker, without waiting."""

    @abstractmethod
    def collect(self, patience: float) -> list[Answer]:
        """The answers that have come in; waits up to ``patience`` seconds for the first."""

    @abstractmethod
    def revoke(self, ticket: int) -> None:
        """Has the workers drop all requests up to this ticket, and answer them soon."""

    def map(
        self,
        fn: Function,
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        retries: int = 1,
        on_result: OnResult | None = None,
    ) -> list[Reply]:
        """See :class:`symevo.engines.base.Engine`; one map at a time."""
        check_limits(timeout, retries)
        call = _Map(self, reference(fn), list(items), timeout, retries)
        try:
            while call.waiting or call.live or call.settled:
                call.fill()
                settled = call.collect()
                # The workers get their next requests before the caller spends time on these results.
                call.fill()
                for index, reply in settled:
                    if on_result is not None:
                        on_result(index, reply)
        except BaseException:
            call.cancel()
            raise
        return [call.replies[index] for index in sorted(call.replies)]

    def revoke_all(self) -> None:
        """Revokes every ticket so far."""
        self.revoke(self._last_ticket)

    def next_ticket(self) -> int:
        """A number above all earlier ones."""
        self._last_ticket += 1
        return self._last_ticket


class _Map:
    """The state of one call of ``map``."""

    def __init__(
        self, engine: Dispatcher, function: str, items: Sequence[Any], timeout: float | None, retries: int
    ) -> None:
        self._engine, self._function, self._items = engine, function, items
        self._timeout, self._retries = timeout, retries
        self.waiting = deque(Attempt(index, 1) for index in range(len(items)))
        self.live: dict[int, Attempt] = {}
        self.settled: list[tuple[int, Reply]] = []
        self.replies: dict[int, Reply] = {}

    def fill(self) -> None:
        """Sends requests until every worker has one."""
        while self.waiting and len(self.live) < self._engine.workers:
            attempt = self.waiting.popleft()
            try:
                request = pack(self._function, self._items[attempt.item])
            except Exception as error:  # noqa: BLE001
                reason = f"the item cannot be pickled: {describe(error)}"
                self._settle(attempt, Reply("exception", reason, 0.0, None, attempt.number))
                continue
            ticket = self._engine.next_ticket()
            self._engine.submit(ticket, request, self._timeout)
            self.live[ticket] = attempt

    def collect(self) -> list[tuple[int, Reply]]:
        """Waits for answers, puts failed attempts back in line, and returns what is final."""
        for answer in self._engine.collect(1.0) if self.live and not self.settled else ():
            attempt = self.live.pop(answer.ticket, None)
            if attempt is None:
                continue
            status, value, seconds = unpack(answer.reply)
            if status in _RETRIED and attempt.number <= self._retries:
                self.waiting.appendleft(Attempt(attempt.item, attempt.number + 1))
            else:
                self._settle(attempt, Reply(status, value, seconds, answer.worker, attempt.number))
        settled, self.settled = self.settled, []
        return settled

    def cancel(self) -> None:
        """Revokes what is under way and waits, for some seconds at most, until the workers are free."""
        self._engine.revoke_all()
        deadline = time.monotonic() + _CANCEL_GRACE
        while self.live and time.monotonic() < deadline:
            for answer in self._engine.collect(0.1):
                self.live.pop(answer.ticket, None)

    def _settle(self, attempt: Attempt, reply: Reply) -> None:
        self.replies[attempt.item] = reply
        self.settled.append((attempt.item, reply))

"""What every engine is: tasks in, replies out, in order, and no task can break a map."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from symevo.engines.resolve import reference
from symevo.errors import UserError
from symevo.registry import Registry

if TYPE_CHECKING:
    from typing_extensions import Self

Status = Literal["ok", "exception", "timeout", "crashed", "lost"]

SETUP_FAILED = "setup failed: "
"""Every reply of a task that never ran, because its child could not be prepared, starts with this."""


class Reply(NamedTuple):
    """What became of one task.

    Attributes:
        status: ``ok``; ``exception`` (the function raised, or item or result cannot be pickled); ``timeout``
            (killed at its deadline); ``crashed`` (its process died); ``lost`` (its worker died or fell silent).
        value: The result if ``ok``, else one line with the reason (``"TypeName: message"`` for an exception).
        seconds: Wall-clock seconds of the last attempt, without the preparation of its child.
        worker: Which worker ran the last attempt; None if none did.
        attempts: How many times the task was started or sent.
    """

    status: Status
    value: Any
    seconds: float
    worker: Any
    attempts: int


Function = str | Callable[[Any], Any]
OnResult = Callable[[int, Reply], object]


class Engine(Protocol):
    """Run a function of one argument over items.

    Attributes:
        workers: How many tasks run at the same time.
        isolates: A task runs in a process of its own: time limits hold, and a crash is a reply.
        standalone: Can be made in any process; False where a launcher must have started this one.
    """

    workers: int
    isolates: bool
    standalone: bool

    def map(
        self,
        fn: Function,
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        retries: int = 1,
        on_result: OnResult | None = None,
    ) -> list[Reply]:
        """Run ``fn(item)`` for every item and return the replies in the order of the items.

        Args:
            fn: ``"package.module:function"``, or a function at the top level of a module.
            items: Plain data; seeds belong inside, so that a second attempt gives the same result.
            timeout: Seconds one attempt may take; the preparation of a child does not count.
            retries: How often a ``crashed`` or ``lost`` task is tried again.
            on_result: Called as ``on_result(index, reply)`` in the calling thread when a reply is final.
                What it raises leaves ``map``, after the work under way has been cancelled; so does a
                KeyboardInterrupt.

        Raises:
            UserError: ``fn`` is not at the top level of a module, or a limit makes no sense.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End all processes of the engine; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class Preparation:
    """How a fresh child gets ready before its first task.

    It imports the user's files by their absolute paths, then calls ``("module:function", item)``, the setup, which may
    take ``timeout`` seconds in which no task's deadline runs; numerical libraries have ``threads`` threads.
    """

    setup: tuple[str, Any] | None = None
    timeout: float = 300.0
    threads: int = 1
    imports: tuple[str, ...] = ()


ENGINES: Registry[Callable[[int | None, Preparation], Engine]] = Registry("engine")
"""Engines by name: callables of (workers or None for the engine's default, preparation)."""


def make_engine(
    name: str,
    *,
    workers: int | None = None,
    setup: tuple[Function, Any] | None = None,
    setup_timeout: float = 300.0,
    threads: int = 1,
    imports: Iterable[str | os.PathLike[str]] = (),
) -> Engine:
    """The engine of a name in :data:`ENGINES`, with so many workers; None: as many as it takes for the best.

    Every new child imports the user's files, as ``symevo_plugin_<stem>``, and calls ``setup``, a function and its item,
    within ``setup_timeout`` seconds. ``threads`` are those of the numerical libraries in each.

    Raises:
        UserError: Unknown name, or a number that makes no sense for this engine.
    """
    factory = ENGINES.get(name)
    for label, number in (("workers", workers), ("threads", threads)):
        if number is not None and number < 1:
            raise UserError(f"{label} is {number}: give 1 or more")
    if not setup_timeout > 0:
        raise UserError(f"setup_timeout is {setup_timeout}: give a number of seconds above 0")
    call = None if setup is None else (reference(setup[0]), setup[1])
    paths = tuple(os.path.abspath(path) for path in imports)
    return factory(workers, Preparation(call, setup_timeout, threads, paths))


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def only_one(name: str, workers: int | None) -> None:
    """Raise UserError for more workers than the one that an engine has."""
    if workers not in (None, 1):
        raise UserError(f"the {name} engine has one worker, not {workers}: use the process engine for more")


def check_limits(timeout: float | None, retries: int) -> None:
    """Raise UserError for a time limit (seconds) that is not above 0, or fewer than 0 retries."""
    if timeout is not None and not timeout > 0:
        raise UserError(f"timeout is {timeout}: give a number of seconds above 0, or None for no limit")
    if retries < 0:
        raise UserError(f"retries is {retries}: give 0 or more")

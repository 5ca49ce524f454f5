"""What the engine tests have done in other processes; each function takes one item."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

THREADS_AT_IMPORT = os.environ.get("OMP_NUM_THREADS")
_prepared: list[Any] = []


def square(x: int) -> int:
    return x * x


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def meet(item: tuple[str, int]) -> None:
    """Notes in a file that it is here, and waits until so many are."""
    path, count = item
    with open(path, "a") as file:
        file.write("here\n")
    while len(Path(path).read_text().splitlines()) < count:
        time.sleep(0.01)


def pid(item: object) -> int:
    return os.getpid()


def explode(message: str) -> None:
    raise ValueError(message)


def leave(code: int) -> None:
    sys.exit(code)


def hang(item: object) -> None:
    """Does not listen to Python's signal handlers, as a hung kernel would not."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    time.sleep(600)


def segfault(item: object) -> None:
    ctypes.string_at(0)


def die(code: int) -> None:
    os._exit(code)


def unpicklable(item: object) -> threading.Lock:
    return threading.Lock()


class Poison:
    """Can be pickled, but not read back."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return explode, ("read back",)


def poison(item: object) -> Poison:
    return Poison()


def mixed(item: tuple[str, Any]) -> Any:
    """A task that names the function it wants: lets one map hold good and bad tasks."""
    name, argument = item
    return globals()[name](argument)


def crash_until(item: tuple[str, int]) -> int:
    """Dies until its file holds that many lines; then returns the number of calls."""
    path, crashes = item
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    calls = len(Path(path).read_text().splitlines())
    if calls <= crashes:
        os._exit(7)
    return calls


def orphan(path: str) -> None:
    """Dies, and leaves a process behind that holds all its open files."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    Path(path).write_text(str(child))
    os._exit(9)


def shout(text: str) -> None:
    print(text, flush=True)
    os.write(1, f"{text} (raw)\n".encode())


def threads(item: object) -> str | None:
    return THREADS_AT_IMPORT


def big(size: int) -> bytes:
    return bytes(size)


def length(data: bytes) -> int:
    return len(data)


def prepare(log: str) -> None:
    """A setup function: notes its call in a file and in this process."""
    _prepared.append(log)
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\n")


def prepared(item: object) -> tuple[int, int]:
    return os.getpid(), len(_prepared)


def slow_setup(seconds: float) -> None:
    time.sleep(seconds)


def note_and_hang(path: str) -> None:
    """Appends the process id to a file, then hangs."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    hang(None)


def note_and_explode(path: str) -> None:
    """Appends the process id to a file, then raises."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    raise ValueError("no data")

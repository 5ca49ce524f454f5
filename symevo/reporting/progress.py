"""What a run or a comparison says while it works, on standard error: nothing, plain lines, or a live display."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from symevo.errors import UserError
from symevo.reporting.text.tables import count, shown

if TYPE_CHECKING:
    from symevo.settings.model import Settings


_QUIET_SECONDS = 30.0
"""Without a terminal, a long generation says how far it is this often."""


class Progress(Protocol):
    """What a search reports to; it never prints by itself."""

    def plan(self, settings: Settings, *, evaluations: int, trainings: int, steps: int) -> None:
        """Called once before the run, with the most candidates and trainings that it takes, over all generations.

        Args:
            settings: All settings, resolved.
            evaluations: Candidates that will be scored at most.
            trainings: Candidates × tasks × training seeds at most.
            steps: Of each training.
        """

    def advance(self, trained: int, total: int) -> None:
        """Within a generation: ``trained`` of ``total`` trainings are done."""

    def generation(self, record: Mapping[str, Any]) -> None:
        """A generation is closed.

        Args:
            record: ``gen``, ``generations`` (the last one's number), ``best``, ``mean``, ``seconds``,
                ``elapsed``, ``rule`` (the best, where its equations tell something); of this generation
                ``evaluations``, ``cached``, ``failed``.
        """

    def message(self, text: str) -> None:
        """One line for the user."""

    def close(self) -> None:
        """The run is over, or has failed; calling it again does nothing."""


class SilentProgress(Progress):
    """Says nothing."""


class PlainProgress(SilentProgress):
    """A line for each generation: for log files, pipes and terminals that cannot do more.

    Args:
        tell: Gets each line, without its end; by default they go to standard error.
    """

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self._tell = tell or partial(print, file=sys.stderr, flush=True)
        self._rule = ""
        self._told = time.monotonic()
        self._seconds: list[float] = []
        self._next, self._generations = 0, 0

    def _under_way(self) -> str:
        """What is trained now: a generation, or what follows the last one or has none."""
        more = self._generations and self._next <= self._generations
        return f"generation {self._next}/{self._generations}" if more else "training"

    def plan(self, settings: Settings, *, evaluations: int, trainings: int, steps: int) -> None:
        self._generations = settings.generations - 1
        for line in plan_lines(settings, evaluations=evaluations, trainings=trainings, steps=steps):
            self.message(line)

    def advance(self, trained: int, total: int) -> None:
        if time.monotonic() - self._told > _QUIET_SECONDS:
            self.message(f"  {self._under_way()}: {trained} of {total} trained")

    def generation(self, record: Mapping[str, Any]) -> None:
        self._next, self._generations = record["gen"] + 1, record["generations"]
        self._seconds.append(record["seconds"])
        self.message(generation_line(record, self._left()))
        if record.get("rule") and record["rule"] != self._rule:
            self._rule = record["rule"]
            self.message(f"    {self._rule}")

    def _left(self) -> str:
        """The mean generation so far times those to come, in words; empty at the end.

        The first generation scores a whole random population and may compile kernels. So it gives an upper estimate,
        which is dropped once there is another generation.
        """
        later = self._seconds[1:]
        left = fmean(later or self._seconds) * (self._generations + 1 - self._next)
        return f"{'' if later else 'under '}{clock(left)} left" if left else ""

    def message(self, text: str) -> None:
        self._told = time.monotonic()
        self._tell(text)


class LiveProgress(PlainProgress):
    """The plain lines, and below them a bar over the trainings of the current generation."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = Console(file=sys.stderr, highlight=False)
        super().__init__(partial(console.print, markup=False, soft_wrap=True))
        left = TextColumn("{task.fields[left]}")
        columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), left)
        # Standard output is the result's: rich must not route it to the display.
        self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        self._task = self._bar.add_task("starting", total=None, left="")
        self._bar.start()

    def advance(self, trained: int, total: int) -> None:
        self._bar.update(self._task, description=self._under_way(), completed=trained, total=total)

    def generation(self, record: Mapping[str, Any]) -> None:
        super().generation(record)
        self._bar.update(self._task, completed=0, left=self._left())

    def close(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()


def make_progress(*, quiet: bool = False) -> Progress:
    """The display that fits: silent, live on a terminal, plain lines elsewhere."""
    if quiet:
        return SilentProgress()
    live = sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"
    return LiveProgress() if live else PlainProgress()


def as_progress(given: Any) -> Progress:
    """Who is told, from what a caller says.

    True is the display of the command line, False and None are nobody, a function gets each line, and an object with
    the methods of :class:`Progress` is taken as it is.

    Raises:
        UserError: Something else.
    """
    if given is True:
        return make_progress()
    if given is False or given is None:
        return SilentProgress()
    methods = ("plan", "advance", "generation", "message", "close")
    missing = [name for name in methods if not callable(getattr(given, name, None))]
    if not isinstance(given, type):
        if not missing:
            return given
        if callable(given):
            return PlainProgress(given)
    what = f"the class {given.__name__}" if isinstance(given, type) else f"{type(given).__name__}"
    lacks = f", which lacks {', '.join(missing)}" if 0 < len(missing) < len(methods) else ""
    raise UserError(
        f"progress is {what}{lacks}: give True, False, a function that takes a line, or an object with the methods "
        f"{', '.join(methods)}"
    )


def plan_lines(settings: Settings, *, evaluations: int, trainings: int, steps: int) -> list[str]:
    """What the run will train, in words."""
    near = settings.out and shown(settings.out)
    tasks, seeds = count(len(settings.tasks), "task"), count(settings.seeds, "seed")
    workers = count(settings.workers, "worker")
    return [
        f"{settings.system}, preset {settings.preset}, on {', '.join(settings.tasks)}; seed {settings.seed}",
        f"at most {evaluations:,} candidates × {tasks} × {seeds} = {trainings:,} trainings of {steps} steps",
        f"{settings.engine} engine, {workers}; updates {settings.backend} on {settings.device}; run folder {near}",
    ]


def generation_line(record: Mapping[str, Any], left: str = "") -> str:
    """One generation in at most 80 columns, unless numbers are huge."""
    width = len(str(record["generations"]))
    notes = [f"{record[key]} {key}" for key in ("cached", "failed") if record.get(key)]
    parts = [
        f"gen {record['gen']:>{width}}/{record['generations']}",
        f"best {record['best']:.4f}",
        f"mean {record['mean']:.4f}",
        f"{record['evaluations']} scored" + (f" ({', '.join(notes)})" if notes else ""),
    ]
    if record["seconds"] > 0:
        parts.append(f"{record['evaluations'] / record['seconds']:.1f}/s")
    return "  ".join([*parts, left] if left else parts)


def clock(seconds: float) -> str:
    """Seconds as ``0:42`` or ``1:02:03``."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


_SECONDS = 5.0
"""A line is said this often at most, on a terminal ten times as often."""
_EARLY = 0.02
"""Until so much is done, its pace says nothing of the rest."""


class Ticker:
    """Counts training steps; the time left is that of the steps left at the pace so far.

    Args:
        stream: Where lines go; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._begun = self._told = time.monotonic()
        self._done = self._total = 0

    def more(self, steps: int) -> None:
        """So many more training steps are to be made."""
        self._total += steps

    def advance(self, steps: int) -> None:
        """So many were made."""
        self._done += steps
        now = time.monotonic()
        if self._done and now - self._told >= _SECONDS / (10 if self._live else 1):
            self._told = now
            share = min(self._done / max(self._total, 1), 0.99)
            left = (now - self._begun) * (1 - share) / share
            text = f"{share:.0%} done" + ("" if share < _EARLY else f", about {clock(left)} left")
            before, after = ("\r\x1b[K", "") if self._live else ("", "\n")
            print(f"{before}{text}", end=after, file=self._stream, flush=True)

    def message(self, text: str) -> None:
        """One line for the user."""
        self.close()
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Wipes what was said in passing."""
        if self._live:
            print("\r\x1b[K", end="", file=self._stream, flush=True)

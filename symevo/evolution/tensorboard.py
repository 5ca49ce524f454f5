"""A search's curves for TensorBoard: event files in the run's folder, with the generation on the x axis.

Every closed generation that is not drawn yet is read from the store.
"""

from __future__ import annotations

import re
import shlex
import textwrap
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from symevo.reporting.measures import conclusion, measures
from symevo.reporting.progress import Progress
from symevo.reporting.text.tables import candidate_report, shown
from symevo.runs import Store
from symevo.runs.candidate import Candidate
from symevo.runs.run import candidate_of
from symevo.search.system import SYSTEMS
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings

FOLDER = "tensorboard"
"""Of the event files, in the folder of a run."""
_LAST = "time/seconds"
"""The tag that is drawn last of a generation."""
_SECOND = re.compile(r"events\.out\.tfevents\.(\d+)\.")


def check_installed() -> None:
    """Raise UserError where the package ``tensorboard`` is missing."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        needed = 'needs a package that is missing: pip install "symevo[tensorboard]"'
        raise SettingError("tensorboard", needed) from None


class TensorBoard:
    """A progress that draws closed generations and passes everything on to another.

    A disk that cannot be written ends the curves, not the search.
    """

    def __init__(self, progress: Progress, store: Store, settings: Settings) -> None:
        self._progress = progress
        self._curves: Curves | None = None

        def begin() -> None:
            self._curves = Curves(store, settings)
            self._curves.catch_up()

        self._draw(begin)

    def _draw(self, draw: Callable[[], None]) -> None:
        try:
            draw()
        except OSError as error:
            self._curves = None
            self.message(f"no more curves for TensorBoard: {error.strerror or error}")

    def plan(self, settings: Settings, *, evaluations: int, trainings: int, steps: int) -> None:
        self._progress.plan(settings, evaluations=evaluations, trainings=trainings, steps=steps)
        if self._curves is not None:
            self.message(f"curves: tensorboard --logdir {shlex.quote(shown(self._curves.folder))}")

    def advance(self, trained: int, total: int) -> None:
        self._progress.advance(trained, total)

    def generation(self, record: Mapping[str, Any]) -> None:
        self._progress.generation(record)
        if self._curves is not None:
            self._draw(self._curves.catch_up)

    def message(self, text: str) -> None:
        self._progress.message(text)

    def close(self) -> None:
        """See :class:`symevo.reporting.progress.Progress`; draws what the run has concluded, if it has ended."""
        self._progress.close()
        if self._curves is not None:
            self._draw(self._curves.close)
            self._curves = None


class Curves:
    """The event files of a run.

    No generation is drawn twice: what earlier files say of later generations is withdrawn (``purge_step``).
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder = store.folder / FOLDER
        folder.mkdir(exist_ok=True)
        self._store = store
        self._rules = SYSTEMS.get(settings.system).equations
        self._best: Candidate | None = None
        self._next = _first_missing(folder)
        for gen in range(self._next):
            self._best = self._best_of(gen)
        last = store.last_generation()
        self._began = time.time() - (last[0]["elapsed"] if last else 0.0)
        _wait_for_the_next_second(folder)
        self._writer = SummaryWriter(str(folder), purge_step=self._next)

    def catch_up(self) -> None:
        """Draw all closed generations that are not drawn yet; raises OSError where that cannot be written."""
        for record in self._store.records(self._next):
            gen, at = record["gen"], self._began + record["elapsed"]
            self._next = gen + 1
            self._rule(gen, at)
            self._scalars(measures(record), gen, at)
            self._scalars({_LAST: record["seconds"]}, gen, at)
        self._writer.flush()

    def close(self) -> None:
        """Draw what is left, and what the run has concluded, if it has ended, one step after its last generation."""
        self.catch_up()
        self._scalars(conclusion(*self._store.conclusion()), self._next, time.time())
        self._writer.close()

    def _scalars(self, values: Mapping[str, float], gen: int, at: float) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(re.sub(r"[^-/.\w]+", "_", tag), value, gen, at)  # no other letters in a tag

    def _rule(self, gen: int, at: float) -> None:
        """Size and states of the best rule so far, and the rule itself where it is a new one."""
        before, best = self._best, self._best_of(gen)
        if best is None:
            return
        if before is None or best.rule != before.rule:
            text = candidate_report(best, title=f"generation {gen}")
            self._writer.add_text("best rule", textwrap.indent(text, "    "), gen, at)  # indented: code in Markdown
        self._scalars({"best/size": best.complexity, "best/states": best.memory}, gen, at)
        self._best = best

    def _best_of(self, gen: int) -> Candidate | None:
        """The best up to a generation, by fitness, then by size, then by age; none where rules are not evolved."""
        best = self._best
        for row in self._store.evaluations(gen) if self._rules else ():
            if row.status == "ok" and (best is None or row.fitness >= best.fitness):
                one = candidate_of(row)
                if best is None or (one.fitness, -one.complexity) > (best.fitness, -best.complexity):
                    best = one
        return best


def _wait_for_the_next_second(folder: Path) -> None:
    """TensorBoard withdraws steps in the order of files' names, which begin with the second they were made in."""
    seconds = [int(found[1]) for found in map(_SECOND.match, (path.name for path in folder.iterdir())) if found]
    while 0 <= time.time() - max(seconds, default=0) < 1:
        time.sleep(0.02)


def _first_missing(folder: Path) -> int:
    """The first generation that the event files do not hold in full."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    events = (event for path in folder.glob("*.tfevents.*") for event in EventFileLoader(str(path)).Load())
    drawn = {event.step for event in events if any(value.tag == _LAST for value in event.summary.value)}
    return next(gen for gen in count() if gen not in drawn)

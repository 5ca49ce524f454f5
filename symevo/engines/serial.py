"""One task after the other, in one child."""

from __future__ import annotations

from symevo.engines.base import ENGINES, Preparation, only_one
from symevo.engines.process import ProcessEngine


class SerialEngine(ProcessEngine):
    """The process engine with one worker: a hang or a crash is an outcome here as well."""

    def __init__(self, workers: int | None, preparation: Preparation) -> None:
        only_one("serial", workers)
        super().__init__(1, preparation)


ENGINES.register("serial", SerialEngine)

"""A program whose engine is hung in all its workers: ``python engine_origin.py ENGINE LOG``."""

from __future__ import annotations

import sys

import engine_jobs

from symevo.engines import make_engine


def main(name: str, log: str) -> int:
    with make_engine(name, workers=2 if name == "process" else 1) as engine:
        try:
            engine.map(engine_jobs.note_and_hang, [log] * engine.workers)
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

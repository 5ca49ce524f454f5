"""The result of ``symevo compare``: what is written to ``compare.json``, and what reports, figures and pages read.

Add a field here, and give it a value where the part is made, in :mod:`symevo.comparison.result`. Fields that an older
file may lack have defaults; fields that are not known here are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from symevo.errors import UserError

SCHEMA = 1
TUNED = "tuned"
"""The arm in which the numbers of every entry were tuned with as many trials."""
Number = int | float


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True, populate_by_name=True)


class Interval(_Part):
    """A mean with its 95 % interval; None where it is not defined."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None


class Curve(_Part):
    """Median training loss by step."""

    step: list[int] = []
    loss: list[float | None] = []


class Pilot(_Part):
    """How the range of the learning rate was found: rounds, trials in them, and whether the best stayed at an edge."""

    rounds: int = 0
    trials: int = 0
    at_edge: bool = False


class Trial(_Part):
    """One training of a tuning, scored on the validation split."""

    hyper: dict[str, Number] = {}
    schedule: dict[str, Any] | None = None
    score: float
    status: str = "ok"


class Final(_Part):
    """One training that was scored on the test split; ``steps_to_target`` is None where it missed the target loss."""

    score: float
    accuracy: float | None = None
    loss: float | None = None
    status: str = "ok"
    hyper: dict[str, Number] = {}
    schedule: dict[str, Any] | None = None
    steps_to_target: int | None = None


class Diverged(_Part):
    """Shares of trainings that did not end well."""

    trials: float = 0.0
    finals: float = 0.0


class Entry(_Part):
    """An entry on a task; trials are listed by replicate, finals by arm and replicate."""

    ranges: dict[str, tuple[Number, Number, str]] = {}
    pilot: Pilot = Pilot()
    trials: list[list[Trial]] = []
    finals: dict[str, list[Final]] = {}
    summary: dict[str, Interval] = {}
    budget_curve: dict[PositiveInt, float] = {}
    diverged: Diverged = Diverged()
    lr_decades: float | None = None
    lr_curve: list[tuple[float, float | None]] = []
    steps_to_target: Number | None = None
    reached: float | None = None
    seconds_per_step: float | None = None
    seconds_to_target: float | None = None
    curve: Curve = Curve()


class Ratio(_Part):
    """Steps to the target for each of the reference's, with the 95 % interval; None: nobody gets there, or infinite."""

    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class Pair(_Part):
    """Two entries, paired over replicates, as :class:`symevo.statistics.Paired` has it; with the corrected p."""

    first: str
    second: str
    arm: str = TUNED
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    wins: int = 0
    losses: int = 0
    ties: int = 0
    p: float | None = None
    effect: float | None = None
    p_holm: float | None = None
    words: str = ""


class Verdict(_Part):
    """What a candidate shows on a task, in words and as whose the gain is.

    ``gain`` is ``rule``, ``schedule`` or ``learning rate``; ``none``, or ``worse``.
    """

    gain: str = ""
    text: str = ""


class Compared(_Part):
    """A task: its budget, and what came of it."""

    held_out: bool = False
    steps: int = 0
    trials: int = 0
    replicates: int = 0
    best_baseline: str = ""
    target_loss: float | None = None
    contestants: dict[str, Entry] = {}
    steps_ratio: dict[str, Ratio] = {}
    comparisons: list[Pair] = []
    verdicts: dict[str, Verdict] = {}


class Contestant(_Part):
    """Why an entry takes part, its rule as JSON, and what was tuned of it.

    Attributes:
        role: ``candidate``, ``baseline``, ``ablation`` or ``control``.
        of: The candidate that it is an ablation of.
        note: What an ablation leaves out.
        tuned: Names of numbers, and ``schedule``.
    """

    role: str = ""
    of: str | None = None
    note: str = ""
    rule: dict[str, Any] = {}
    tuned: list[str] = []


class Profile(_Part):
    """A performance profile: ratios from 1 on, and the share of problems from each on."""

    ratio: list[float]
    share: list[float]

    @model_validator(mode="after")
    def _is_a_staircase(self) -> Profile:
        if len(self.ratio) != len(self.share) or sorted(self.ratio) != self.ratio or min(self.ratio, default=1) < 1:
            raise ValueError("ratios must rise from 1, and each needs a share")
        return self

    def at(self, ratio: float) -> float:
        """The share of problems on which at most so many times the steps of the fastest were needed."""
        return max((share for start, share in zip(self.ratio, self.share, strict=True) if start <= ratio), default=0.0)


class RandomControl(_Part):
    """Random search: candidates that were scored, and the best fitness beside that of the run."""

    evaluations: int
    fitness: float
    evolved_fitness: float


class Controls(_Part):
    """What was done besides the entries."""

    random: RandomControl | None = None


class Comparison(_Part):
    """All of it."""

    format: int = Field(default=SCHEMA, alias="schema")
    kind: str = "comparison"
    run: str | None = None
    seed: int = 0
    budget: str = ""
    candidates: list[str] = Field(min_length=1)
    reference: str
    score: str = "score"
    contestants: dict[str, Contestant] = {}
    tasks: dict[str, Compared]
    overall: dict[str, str] = {}
    profile: dict[str, Profile] = {}
    controls: Controls = Controls()
    figures: list[str] = []
    trainings: int = 0
    seconds: float = 0.0
    versions: dict[str, str] = {}

    def drawn(self, task: str) -> Mapping[str, Entry]:
        """Those whose curves are drawn: all but ablations, which would be many."""
        known = self.tasks[task].contestants
        return {name: entry for name, entry in known.items() if self.role(name) != "ablation"}

    def role(self, name: str) -> str:
        """Why an entry takes part."""
        return self.contestants.get(name, Contestant()).role

    def to_json(self) -> dict[str, Any]:
        """As plain data, for the file."""
        return self.model_dump(mode="json", by_alias=True)


def read_comparison(path: Path) -> Comparison:
    """Read a comparison and check it.

    Raises:
        UserError: The file cannot be read, is none, or of another schema.
    """
    again = "make it anew with symevo compare, or remove it"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or "it is no JSON"
        raise UserError(f"cannot read {path}: {why}; {again}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("kind") != "comparison":
        raise UserError(f"{path} is no comparison of schema {SCHEMA}: {again}")
    try:
        return Comparison.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is damaged at {where} ({first['msg'].lower()}): {again}") from None

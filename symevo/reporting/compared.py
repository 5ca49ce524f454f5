"""A comparison with tuned baselines, as far as figures and the page read it: checked, since it comes from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from symevo.errors import UserError

TUNED = "tuned"
"""The arm in which every contestant's numbers were tuned with as many trials."""


class _Part(BaseModel):
    """A part of the file; what is not read may be there too."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)


class Interval(_Part):
    """A mean with its 95 % interval; None where it is not defined."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None


class Curve(_Part):
    """Median training loss by step."""

    step: list[int] = []
    loss: list[float | None] = []


class Trial(_Part):
    """One training of a tuning, scored on the validation split."""

    score: float


class Entry(_Part):
    """A contestant on a task; its trials are listed by replicate."""

    trials: list[list[Trial]] = []
    budget_curve: dict[PositiveInt, float] = {}
    summary: dict[str, Interval] = {}
    lr_decades: float | None = None
    lr_curve: list[tuple[float, float | None]] = []
    steps_to_target: float | None = None
    reached: float | None = None
    curve: Curve = Curve()


class Pair(_Part):
    """Two contestants, paired over replicates."""

    first: str
    second: str
    arm: str = TUNED
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p_holm: float | None = None
    words: str = ""


class Ratio(_Part):
    """Steps to the target for each of the reference's, with the 95 % interval; None: nobody gets there, or infinite."""

    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class Verdict(_Part):
    """What a candidate's gain on a task is due to."""

    gain: str = ""
    text: str = ""


class Compared(_Part):
    """A task."""

    held_out: bool = False
    steps: int = 0
    trials: int = 0
    replicates: int = 0
    contestants: dict[str, Entry] = {}
    comparisons: list[Pair] = []
    steps_ratio: dict[str, Ratio] = {}
    verdicts: dict[str, Verdict] = {}


class Contestant(_Part):
    """Why it takes part: as a candidate, baseline, ablation or control."""

    role: str = ""


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


class Comparison(_Part):
    """What ``symevo compare`` wrote."""

    score: str = "score"
    budget: str = ""
    candidates: list[str] = Field(min_length=1)
    reference: str
    contestants: dict[str, Contestant] = {}
    tasks: dict[str, Compared]
    overall: dict[str, str] = {}
    profile: dict[str, Profile] = {}

    def drawn(self, task: str) -> Mapping[str, Entry]:
        """Those whose curves are drawn: all but ablations, which would be many."""
        known = self.tasks[task].contestants
        roles = {name: self.contestants.get(name, Contestant()).role for name in known}
        return {name: entry for name, entry in known.items() if roles[name] != "ablation"}


def read_comparison(data: Any, *, source: str) -> Comparison:
    """Checks a comparison.

    Args:
        data: The JSON of the file.
        source: How to call the file in a message.

    Raises:
        UserError: It is none, or of another schema.
    """
    again = "make it anew with symevo compare, or remove it"
    if not isinstance(data, dict) or data.get("schema") != 1 or data.get("kind") != "comparison":
        raise UserError(f"{source} is no comparison of schema 1: {again}")
    try:
        return Comparison.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{source} is damaged at {where} ({first['msg'].lower()}): {again}") from None

"""A comparison with tuned baselines, as far as the page reads it: checked, since it comes from a file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from symevo.errors import UserError

TUNED = "tuned"
"""The arm in which every contestant's numbers were tuned with as many trials."""


class _Part(BaseModel):
    """A part of the file; what the page does not read may be there too."""

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


class Entry(_Part):
    """A contestant on a task."""

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
    verdicts: dict[str, Verdict] = {}


class Comparison(_Part):
    """What ``symevo compare`` wrote."""

    score: str = "score"
    budget: str = ""
    candidates: list[str] = Field(min_length=1)
    reference: str
    tasks: dict[str, Compared]
    overall: dict[str, str] = {}


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

"""Curves over what spans decades, and what is said of the time left."""

from __future__ import annotations

import io
from math import inf, nan

import pytest

from symevo.reporting.figures import curves, profile
from symevo.reporting.figures.comparison import area
from symevo.reporting.progress import Ticker


def test_curves_say_their_labels_and_are_the_same_each_time(tmp_path):
    series = {"adamw": ([1e-4, 1e-3, 1e-2], [0.1, None, 0.9]), "lion": ([1e-4, 1e-3], [nan, inf])}

    def draw(folder: str):
        return curves(tmp_path / folder, "lr", series, xlabel="learning rate", ylabel="score", title="T", lowest=0.5)

    first, second = draw("a"), draw("b")
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]
    text = first[1].read_text()
    assert all(word in text for word in ("adamw", "lion", "learning rate", "score", ">0.001<"))


def test_few_places_have_ticks_of_their_own_and_values_their_intervals(tmp_path):
    how = {"xlabel": "trials", "ylabel": "score", "title": ""}
    series = {"adamw": ([1, 5, 50], [0.4, 0.8, 0.9]), "evolved": ([1, 5, 50], [0.5, 0.85, 0.95])}
    ends = {"evolved": [(0.4, 0.6), (0.8, 0.9), (nan, nan)]}
    plain, marked = (
        curves(tmp_path, name, series, intervals=found, highlight="evolved", **how)[1].read_text()
        for name, found in (("plain", None), ("marked", ends))
    )
    for text in (plain, marked):
        assert [tick in text for tick in (">1<", ">5<", ">50<", ">10<")] == [True, True, True, False]
        assert text.rindex(">evolved<") < text.rindex(">adamw<"), "what is highlighted comes first"
    assert "LineCollection" not in plain
    assert "LineCollection" in marked


def test_profiles_and_nothing_at_all(tmp_path):
    how = {"xlabel": "x", "ylabel": "y", "title": ""}
    steps = {"a": ([1.0, 2.0, 9.0], [0.5, 0.8, 1.0]), "b": ([1.0], [0.2]), "never": ([], [])}
    text = profile(tmp_path, "steps", steps, highlight="b", **how)[1].read_text()
    assert [word in text for word in (">a<", ">b<", ">never<", ">4.0<", ">9.0<")] == [True, True, False, True, False]
    assert "no data" in profile(tmp_path, "none", {}, **how)[1].read_text()
    assert "no data" in curves(tmp_path, "none", {}, **how)[1].read_text()


def test_the_area_of_a_profile():
    """The mean height from 1 to 4, whatever is beyond."""
    assert area([1.0], [1.0]) == 1
    assert area([1.0, 2.0, 9.0], [0.5, 0.8, 1.0]) == pytest.approx((0.5 + 2 * 0.8) / 3)
    assert area([1.0, 5.0], [0.0, 1.0]) == 0
    assert area([], []) == 0


def test_the_time_left_is_told_now_and_then(monkeypatch):
    import time

    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    ticker = Ticker(stream)
    ticker.more(100)
    ticker.advance(10)
    assert stream.getvalue() == "", "too early to say"
    now[0] = 30.0
    ticker.advance(15)
    assert stream.getvalue() == "25% done, about 1:30 left\n"
    now[0] = 60.0
    ticker.advance(75)
    assert "99%" in stream.getvalue().splitlines()[-1], "never more than all"
    ticker.message("done")
    ticker.close()
    assert stream.getvalue().endswith("left\ndone\n")

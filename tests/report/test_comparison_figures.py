"""Curves over what spans decades, and what is said of the time left."""

from __future__ import annotations

import io
from math import inf, nan

from symevo.report.figures.curves import curves
from symevo.report.ticker import Ticker


def test_curves_say_their_labels_and_are_the_same_each_time(tmp_path):
    series = {"adamw": ([1e-4, 1e-3, 1e-2], [0.1, None, 0.9]), "lion": ([1e-4, 1e-3], [nan, inf])}

    def draw(folder: str):
        return curves(tmp_path / folder, "lr", series, xlabel="learning rate", ylabel="score", title="T", lowest=0.5)

    first, second = draw("a"), draw("b")
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]
    text = first[1].read_text()
    assert all(word in text for word in ("adamw", "lion", "learning rate", "score", ">0.001<"))


def test_a_staircase_and_nothing_at_all(tmp_path):
    how = {"xlabel": "x", "ylabel": "y", "title": ""}
    steps = {"a": ([1.0, 2.0], [0.5, 1.0]), "b": ([1.0], [0.2]), "never": ([], [])}
    assert len(curves(tmp_path, "steps", steps, staircase=True, **how)) == 2
    assert "no data" in curves(tmp_path, "none", {}, **how)[1].read_text()


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

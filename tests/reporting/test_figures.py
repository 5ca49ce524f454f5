"""Figures: their files, their labels, and data that are empty, tiny, infinite or too many."""

from __future__ import annotations

from math import inf, isnan, nan
from pathlib import Path

import pytest

from symevo.errors import UserError
from symevo.reporting import figures
from symevo.reporting.figures.sheet import colours, drawable, file_name, one_minus, short, wrapped

STEPS = list(range(0, 100, 10))


def svg(paths: list[Path]) -> str:
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    return paths[1].read_text()


def test_by_generation_says_its_labels_and_is_the_same_each_time(tmp_path):
    def draw(folder: str) -> list[Path]:
        series = {"best": [1.0, None, 0.3, 0.1], "med$ian_": [nan, 2.0, inf, 1.0]}
        return figures.by_generation(
            tmp_path / folder, "loss", series, ylabel="validation loss", title="Loss & more", logy=True
        )

    first, second = draw("a/b"), draw("c")
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]
    text = svg(first)
    for label in ("best", "med$ian_", "validation loss", "generation", "Loss &amp; more", ">0.1<", ">0.5<"):
        assert label in text


def test_200_curves_are_grey_but_for_one_and_those_that_diverge_leave(tmp_path):
    series = {f"curve {at}": (STEPS, [2.0 / (step + at + 1) + 1 for step in STEPS]) for at in range(199)}
    series["curve 7"] = (STEPS, [2.0, *[1e30] * 9])
    series["one"] = (STEPS, [2.0, *[0.5] * 9])
    text = svg(figures.by_step(tmp_path, "curves", series, ylabel="loss", title="Curves", highlight="one"))
    for label in ("one", "199 others", "training step (1 leave at the top)", ">0.5<"):
        assert label in text
    assert "curve 8" not in text
    assert "1e30" not in text


def test_numbers_against_losses(tmp_path):
    numbers = {"lr": [1e-4, 1e-3, 0.1, 1.0], "beta2": [0.9, 0.99, 0.999, 1.0], "momentum": [0.0, 0.3, 0.6, 0.9]}
    scales = {"lr": "log", "beta2": "complement"}
    losses = [0.5, 0.1, nan, None]
    text = svg(figures.scatter_numbers(tmp_path, "n", numbers, losses, scales=scales, generations=[0, 0, 1, 1]))
    for label in (*numbers, "validation loss", "generation", "best", "failed", ">0.001<", ">0.99<"):
        assert label in text


def test_schedule_steps(tmp_path):
    values = {"lr": [0.1, 0.01], "beta2": [0.9, None]}
    scales = {"lr": "log", "beta2": "complement"}
    text = svg(figures.schedule_steps(tmp_path, "s", [0, 782, 1564], values, scales=scales, title="Found"))
    for label in ("Found", "lr", "beta2", "training step"):
        assert label in text


def test_shares_show_the_whole_range(tmp_path):
    text = svg(figures.shares(tmp_path, "s", {"crossover": [0.4, 0.41]}, ylabel="share that survives", title="T"))
    for label in ("crossover", "share that survives", ">0.0<", ">1.0<"):
        assert label in text


def test_a_forest_says_its_means(tmp_path):
    groups = {
        "fashion-hyper": {"sgd": (0.83, 0.8, 0.86), "adam": (None, 0.1, 0.2)},
        "long-" * 30: {"sgd": (0.7, None, inf), "new": (-0.5, -0.6, -0.4)},
    }
    text = svg(figures.forest(tmp_path, "f", groups, xlabel="accuracy", title="Methods", highlight="new"))
    for label in ("fashion-hyper", "sgd", "adam", "new", "accuracy", "Methods", ">0.8300<", "0.5000"):
        assert label in text


@pytest.mark.parametrize(
    ("values", "tick"),
    [
        ([1e-30, 1.0], ">1e-27<"),
        ([1e308, 0.3, 1e-320], ">0.2<"),
        ([0.0, -1.0], ">−1.0<"),
        ([0.30001, 0.30002], ">0.300015<"),
    ],
)
def test_logarithmic_axes_of_odd_values_have_ticks(tmp_path, values, tick):
    text = svg(figures.by_generation(tmp_path, "x", {"a": values}, ylabel="y", title="", logy=True))
    assert tick in text


@pytest.mark.parametrize("series", [{}, {"a": [], "b": [None, nan, inf]}])
def test_no_data_is_said(tmp_path, series):
    assert "no data" in svg(figures.by_generation(tmp_path, "x", series, ylabel="y", title="t", logy=True))


def test_no_data_is_said_by_the_other_figures(tmp_path):
    assert "no data" in svg(figures.by_step(tmp_path / "a", "x", {}, ylabel="y", title="t", highlight="none"))
    assert "no data" in svg(figures.scatter_numbers(tmp_path / "b", "x", {"lr": []}, [], scales={}, generations=[]))
    assert "no data" in svg(figures.schedule_steps(tmp_path / "c", "x", [], {"lr": []}, scales={}, title="t"))
    assert "no data" in svg(figures.forest(tmp_path / "d", "x", {"task": {}}, xlabel="x", title="t"))


def test_names_stay_in_the_folder():
    assert file_name("../a b/ü:c.") == "a-b-c"
    assert file_name("///") == "figure"
    assert len(file_name("x" * 999)) == 100


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    line = r"^cannot write figure .*x\.png: a file is in the way; choose a folder that can be written$"
    with pytest.raises(UserError, match=line):
        figures.shares(tmp_path / "file", "x", {}, ylabel="", title="")


def test_numbers_and_labels_are_short():
    assert [short(value) for value in (1e-8, 0.001, 30.0, 1e9)] == ["1e-8", "0.001", "30", "1e9"]
    assert [one_minus(place) for place in (1.0, 0.001, 1e-9)] == ["0", "0.999", "1−1e-9"]
    assert wrapped("a\x00b\udc80", 9) == "a b"
    lines = wrapped("word " * 99 + "end", 20).split("\n")
    assert len(lines) == 3
    assert lines[1].endswith("…")
    assert lines[2].endswith("end")


def test_places_of_values():
    assert drawable([0.5, -1], "linear") == [0.5, -1]
    assert drawable([0.9], "complement") == pytest.approx([0.1])
    assert all(map(isnan, drawable([None, nan, inf, 0, -1], "log")))


def test_looks_differ():
    assert len({tuple(look.values()) for look in colours([str(at) for at in range(28)]).values()}) == 28


def test_the_process_keeps_its_settings(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.shares(tmp_path, "x", {}, ylabel="", title="")
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_loaded_late_and_pyplot_never():
    for path in Path(figures.__file__).parent.glob("*.py"):
        found = [line for line in path.read_text().splitlines() if "import" in line and "matplotlib" in line]
        assert all(line.startswith("    ") for line in found)
        assert not any("pyplot" in line for line in found)

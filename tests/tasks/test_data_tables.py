"""Tables and faces: found, read, refused, split. None of these tests needs the real files but the last ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from symevo.errors import UserError
from symevo.tasks import DataRequest, Splits, data, find_task
from symevo.tasks.zoo import images, tables
from symevo.tasks.zoo.tables import ADULT, LETTER, YEAST, Table, dealt, read_table, standardised

needs_data = pytest.mark.skipif(not os.environ.get("SYMEVO_DATA"), reason="$SYMEVO_DATA is not set")
SMALL = Table(
    name="pets", page="Pets", original="pets.data", layout=("", "kind", "weight", "home", "age"),
    features={"weight": 0, "home": 3, "age": 0}, target="kind", classes=2, rows=4,
)  # fmt: skip
CSV = "home,weight,kind,age\nshed,2.50,dog,1\n?, 4 ,cat,2\nhouse,1e1,dog,3\n\nhouse,10,dog,2\n"
ORIGINAL = "n1, dog, 10, house, 2\nn2, dog, 10, house, 3\n\nn3 cat 4.0 ? 2\nn4,dog,2.5,shed,1\n\n"
PEOPLE = np.repeat(np.arange(40), 10).astype(np.uint8)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No data anywhere; returns an empty directory."""
    monkeypatch.delenv("SYMEVO_DATA", raising=False)
    monkeypatch.setattr(data, "cache_dir", lambda: tmp_path / "cache")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def faces(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Images whose pixels tell person and number: 10·person//2 + number, at most 204."""
    pixels = np.arange(400) // 10 * 5 + np.arange(400) % 10
    x = np.broadcast_to(pixels[:, None, None], (400, 28, 23)).astype(np.uint8)
    return {"x": x, "y": PEOPLE, **changes}


@pytest.mark.parametrize(("file", "text"), [("pets.csv", CSV), ("pets.data", ORIGINAL)])
def test_both_kinds_of_file_give_the_same_samples(bare: Path, file: str, text: str) -> None:
    (bare / file).write_text(text)
    samples = read_table(SMALL, bare)
    # weight; home is one of ?, house, shed; age. Sorted by all of these.
    expected = [[2.5, 0, 0, 1, 1], [4, 1, 0, 0, 2], [10, 0, 1, 0, 2], [10, 0, 1, 0, 3]]
    assert samples.x.tolist() == expected
    assert samples.y.tolist() == [1, 0, 1, 1]
    assert samples.numeric.tolist() == [True, False, False, False, True]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "its columns are '' instead of weight, home, age, kind"),
        (CSV.replace("kind", "species"), "its columns are 'home, weight, species, age'"),
        (CSV.replace("kind", "kind,kind"), "its columns are"),
        (CSV.replace("2.50", "heavy"), "column 'weight' holds 'heavy', which is not a finite number"),
        (CSV.replace("2.50", "nan"), "not a finite number"),
        (CSV.replace("2.50", "1e39"), "not a finite number"),
        (CSV.replace("2.50", "1e999"), "not a finite number"),
        (CSV.replace("2.50", "\x1b[2J" + 99 * "x"), r"'\\x1b\[2Jxxx.*\.\.\.'"),
        (CSV.replace("shed,", ""), "a row has 3 fields instead of 4"),
        (CSV.replace("shed", "house"), "column 'home' has 2 different values instead of 3"),
        (CSV.replace("cat", "dog"), "column 'kind' has 1 different values instead of 2"),
        (CSV + "shed,1,cat,1\n", "more rows instead of 4"),
        (CSV.replace("shed,2.50,dog,1\n", ""), "3 rows instead of 4"),
        (CSV.replace("2.50", '"' + 200_000 * "1"), "field"),
        ("\xff\xfe", "its columns are"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(bare: Path, text: str, reason: str) -> None:
    (bare / "pets.csv").write_text(text)
    with pytest.raises(UserError, match=reason) as caught:
        read_table(SMALL, bare)
    message = str(caught.value)
    assert message.startswith(f"{bare / 'pets.csv'} is damaged (")
    assert "\n" not in message
    assert len(message) < 500 + len(str(bare))


def test_bytes_that_are_no_text_are_refused(bare: Path) -> None:
    (bare / "pets.csv").write_bytes(b"home,weight,kind,age\n\xff\xfe\x00")
    with pytest.raises(UserError, match="is damaged"):
        read_table(SMALL, bare)


@pytest.mark.parametrize(
    ("task", "parts"),
    [
        ("letter-mlp", ("letter.csv or letter-recognition.data", "'Letter Recognition'")),
        ("adult-mlp", ("adult.csv or adult.data", "'Adult'")),
        ("yeast-mlp", ("yeast.csv or yeast.data", "'Yeast'")),
        ("orl-cnn", ("orl_faces.npz", "Database of Faces")),
    ],
)
def test_missing_files_are_named_with_places_and_source(bare: Path, task: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        find_task(task).splits(DataRequest(data_dir=bare))
    message = str(caught.value)
    for part in (*parts, f"--data-dir {bare}", "$SYMEVO_DATA is not set", "/usr/share/datasets", "does not download"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": PEOPLE},
        faces(x=np.zeros((400, 28, 23))),
        faces(x=np.zeros((400, 23, 28), np.uint8)),
        faces(x=np.array([object()] * 400)),
        faces(x=np.array(["face"] * 400)),
        faces(y=PEOPLE[:-1]),
        faces(y=PEOPLE + 1),
        faces(y=PEOPLE.astype(np.float64)),
        faces(y=np.zeros(400, np.uint8)),
        faces(y=PEOPLE.astype(complex)),
    ],
    ids=range(10),
)
def test_faces_that_are_none_are_refused(bare: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(bare / "orl_faces.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"orl_faces.npz is damaged") as caught:
        data.orl_faces(bare)
    assert "\n" not in str(caught.value)


def test_every_image_of_a_person_has_one_part(bare: Path) -> None:
    np.savez(bare / "orl_faces.npz", **faces())  # type: ignore[arg-type]
    found: dict[int, list[set[tuple[int, int]]]] = {}
    for count, name in ((5, "orl-cnn"), (7, "orl-cnn-7"), (9, "orl-cnn-9")):
        splits = find_task(name).splits(DataRequest(data_dir=bare, run_seed=count))
        pixels = images.orl_splits(count)(DataRequest(data_dir=bare)).train.x
        assert abs(float(pixels.mean())) < 1e-4
        assert abs(float(pixels.std()) - 1) < 1e-2
        raw = torch.from_numpy(faces()["x"])[:, 0, 0].float()
        parts = found[count] = []
        for pair, each in zip(all_of(splits), (count - 1, 1, 10 - count), strict=True):
            assert torch.bincount(pair.y).tolist() == [each] * 40
            # Which of the 400: pixels are a line of their own, so the nearest one is it.
            scale = (raw[-1] - raw[0]) / (whole(splits).max() - whole(splits).min())
            value = (pair.x[:, 0, 0, 0] - whole(splits).min()) * scale + raw[0]
            parts.append(set(zip(pair.y.tolist(), value.round().long().tolist(), strict=True)))
        assert sum(map(len, parts)) == len(set.union(*parts)) == 400
    assert found[5][1] == found[7][1] == found[9][1]
    assert found[5][2] > found[7][2] > found[9][2]


def all_of(splits: Splits) -> list:
    assert splits.test is not None
    return [splits.train, splits.validation, splits.test]


def whole(splits: Splits) -> torch.Tensor:
    return torch.cat([pair.x for pair in all_of(splits)])[:, 0, 0, 0]


def test_dealing_is_complete_fair_to_rare_classes_and_fixed() -> None:
    counts = [463, 5, 35, 44, 51, 163, 244, 429, 20, 30]  # Yeast
    y = np.repeat(np.arange(10), counts)
    parts = dealt(y, "yeast")
    assert [len(part) for part in parts] == [950, 238, 296]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(1484))
    for part, share in zip(parts, (0.64, 0.16, 0.2), strict=True):
        found = np.bincount(y[part.numpy()], minlength=10)
        assert np.all(np.abs(found - share * np.array(counts)) < 1)
        assert np.all(found > 0)
    assert parts[2][:5].tolist() == dealt(y, "yeast")[2][:5].tolist()
    assert not torch.equal(parts[2], dealt(y, "other")[2])
    head = y[parts[0][:100].numpy()]
    assert len(set(head.tolist())) > 4  # not class after class


def test_numbers_are_standardised_by_the_training_split(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.RandomState(0)
    table = replace(SMALL, rows=100)
    rows = [
        f"{h},{w:.3f},{k},7" for h, w, k in zip(["shed", "?"] * 50, rng.randn(100), ["dog", "cat"] * 50, strict=True)
    ]
    (bare / "pets.csv").write_text("\n".join(["home,weight,kind,age", *rows[:-1], rows[-1].replace("?", "house")]))
    train, validation, test = all_of(tables.table_splits(table)(DataRequest(data_dir=bare)))
    assert [len(pair.x) for pair in (train, validation, test)] == [64, 16, 20]
    assert abs(float(train.x[:, 0].mean())) < 1e-6
    assert abs(float(train.x[:, 0].std(correction=0)) - 1) < 1e-5
    assert abs(float(test.x[:, 0].mean())) > 1e-3
    everything = torch.cat([train.x, validation.x, test.x])
    assert set(everything[:, 1:4].flatten().tolist()) == {0.0, 1.0}
    assert set(everything[:, 4].tolist()) == {0.0}  # a constant column
    assert standardised(torch.tensor([[3.0]]), torch.tensor([[1.0], [1.0]])).item() == 2.0


@needs_data
@pytest.mark.parametrize(
    ("name", "sizes", "width"),
    [
        ("letter-mlp", (12_800, 3_200, 4_000), 16),
        ("adult-mlp", (20_839, 5_210, 6_512), 65),
        ("yeast-mlp", (950, 238, 296), 8),
        ("orl-cnn", (160, 40, 200), 1),
        ("orl-cnn-7", (240, 40, 120), 1),
        ("orl-cnn-9", (320, 40, 40), 1),
    ],
)
def test_documented_splits(name: str, sizes: tuple[int, ...], width: int) -> None:
    parts = all_of(find_task(name).splits(DataRequest()))
    assert tuple(len(pair.x) for pair in parts) == sizes
    assert {pair.x.shape[1] for pair in parts} == {width}
    whole = torch.cat([pair.x for pair in parts])
    assert abs(float(whole.mean())) < 0.3
    assert len({len(torch.bincount(pair.y).nonzero()) for pair in parts}) == 1  # every class in every part


@pytest.mark.parametrize("table", [LETTER, ADULT, YEAST], ids=lambda table: table.name)
def test_a_table_describes_both_of_its_files(table: Table) -> None:
    assert sorted(filter(None, table.layout)) == sorted([*table.features, table.target])

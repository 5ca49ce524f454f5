"""Controllers as a file: what it says of them is what they are trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from symevo import EvoGrad, UserError
from symevo.evograd.files import packed, read
from symevo.evograd.layout import SIZE, initial

NUMBERS = initial(0)


def losses(trainer: EvoGrad) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(8, 3, generator=generator), torch.arange(8) % 2
    return [trainer.step(x, y) for _ in range(4)]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def written(path: Path, **about: Any) -> Path:
    path.write_bytes(packed(NUMBERS, **about))
    return path


def test_a_file_comes_back(tmp_path: Path) -> None:
    found = read(written(tmp_path / "c.safetensors", betas=(0.5, 0.75), eps=1e-3, task="digits-flat", seed=3))
    assert np.array_equal(found.numbers.numpy(), NUMBERS)
    assert (found.betas, found.eps) == ((0.5, 0.75), 1e-3)
    said = {"format": 1, "betas": [0.5, 0.75], "eps": 1e-3, "task": "digits-flat", "seed": 3}
    assert found.about == said


def test_equal_controllers_give_equal_files() -> None:
    assert packed(NUMBERS, task="a", seed=1) == packed(NUMBERS.copy(), task="a", seed=1) != packed(NUMBERS, task="b")


def test_a_trainer_takes_betas_and_eps_from_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "c.safetensors", betas=(0.5, 0.75), eps=1e-3)
    said = {"betas": (0.5, 0.75), "eps": 1e-3}
    assert losses(EvoGrad(net(), path)) == losses(EvoGrad(net(), NUMBERS, **said)) != losses(EvoGrad(net(), NUMBERS))
    usual = {"betas": (0.9, 0.999), "eps": 1e-8}
    assert losses(EvoGrad(net(), path, **usual)) == losses(EvoGrad(net(), NUMBERS))


def test_a_file_without_metadata_is_read(tmp_path: Path) -> None:
    save_file({"controllers": torch.from_numpy(NUMBERS)}, tmp_path / "c.safetensors")
    found = read(tmp_path / "c.safetensors")
    assert (found.betas, found.eps, found.about) == ((0.9, 0.999), 1e-8, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps({"format": 2, "betas": [0.9, 0.999], "eps": 1e-8}), "it has format 2, this version"),
        (json.dumps({"format": 0, "betas": [0.9, 0.999], "eps": 1e-8}), "it has format 0, this version"),
        (json.dumps({"format": True, "betas": [0.9, 0.999], "eps": 1e-8}), "it has format True, this version"),
        (json.dumps({"format": 1, "betas": 0.9, "eps": 1e-8}), "betas must be two numbers, not 0.9"),
        (json.dumps({"format": 1, "betas": [0.9], "eps": 1e-8}), r"betas must be two numbers, not \[0.9\]"),
        (json.dumps({"format": 1, "betas": [False, 0.9], "eps": 1e-8}), "the first of betas must be a number, .*False"),
        (
            json.dumps({"format": 1, "betas": [0.9, "0.9"], "eps": 1e-8}),
            "the second of betas must be .*'0.9'",
        ),
        (json.dumps({"format": 1, "betas": [0.9, 0.999], "eps": True}), "eps must be a number, .* not True"),
        (json.dumps({"format": 1, "betas": [0.9, 0.999], "eps": -1}), "eps must be a number, at least 0 .* not -1"),
        (json.dumps({"format": 1, "betas": [0.9, 0.999]}), "its metadata need two betas and eps"),
        (json.dumps({"betas": [0.9, 0.999]}), "its metadata name no format"),
        (json.dumps([1]), "its metadata name no format"),
        ("{", "its metadata are not JSON"),
        ("[" * 100_000, "its metadata are not JSON"),
        ("1" * 10_000, "its metadata are not JSON"),
    ],
)
def test_metadata_of_something_else_are_told(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.safetensors"
    save_file({"controllers": torch.from_numpy(NUMBERS)}, path, metadata={"symevo": text})
    with pytest.raises(UserError, match=words) as error:
        EvoGrad(net(), path)
    assert str(error.value).startswith(f"controllers file {path} cannot be used (")
    assert "\n" not in str(error.value)


def test_betas_of_a_file_are_checked_as_any(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the first of betas must be a number, at least 0 and below 1, not 2"):
        EvoGrad(net(), written(tmp_path / "c.safetensors", betas=(2, 0.9)))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    for folder in (tmp_path, str(tmp_path), "."):
        with pytest.raises(UserError, match=r"cannot be used \(it is a folder\)"):
            EvoGrad(net(), folder)
    with pytest.raises(UserError, match=r"controllers file '' cannot be used \(it names no file\)"):
        EvoGrad(net(), "")
    with pytest.raises(UserError, match="cannot be used"):
        EvoGrad(net(), "no\0where")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"controllers": torch.zeros(SIZE, dtype=torch.int64)}, "its numbers are of torch.int64, not floating point"),
        ({"controllers": torch.zeros(SIZE, dtype=torch.bool)}, "its numbers are of torch.bool"),
        ({"controllers": torch.zeros(SIZE, dtype=torch.complex64)}, "its numbers are of torch.complex64"),
        ({"controllers": torch.zeros(SIZE), "more": torch.zeros(1)}, "it has a tensor 'more' besides 'controllers'"),
        ({"controllers": torch.full((SIZE,), torch.nan)}, "controllers must be finite"),
    ],
)
def test_other_tensors_are_told(tmp_path: Path, tensors: dict[str, torch.Tensor], words: str) -> None:
    save_file(tensors, tmp_path / "c.safetensors")
    with pytest.raises(UserError, match=rf"controllers file .*c\.safetensors cannot be used \({words}"):
        EvoGrad(net(), tmp_path / "c.safetensors")


def test_the_size_is_checked(tmp_path: Path) -> None:
    save_file({"controllers": torch.zeros(SIZE + 1)}, tmp_path / "c.safetensors")
    with pytest.raises(UserError, match=str(SIZE)):
        EvoGrad(net(), tmp_path / "c.safetensors")

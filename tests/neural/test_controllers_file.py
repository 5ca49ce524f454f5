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
from symevo.neural.files import packed, read
from symevo.neural.layout import SIZE, initial

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
        (json.dumps({"format": 1, "betas": 0.9, "eps": 1e-8}), "its metadata need two betas and eps"),
        (json.dumps({"format": 1, "betas": [0.9], "eps": 1e-8}), "its metadata need two betas and eps"),
        (json.dumps({"betas": [0.9, 0.999]}), "its metadata name no format"),
        (json.dumps([1]), "its metadata name no format"),
        ("{", "Expecting property name"),
        ("[" * 100_000, "recursion"),
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
    with pytest.raises(UserError, match=r"betas \(2\.0, 0\.9\) in \[0, 1\)"):
        EvoGrad(net(), written(tmp_path / "c.safetensors", betas=(2, 0.9)))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        read(tmp_path)
    with pytest.raises(UserError, match="cannot be used"):
        EvoGrad(net(), "no\0where")


def test_the_size_is_checked(tmp_path: Path) -> None:
    save_file({"controllers": torch.zeros(SIZE + 1)}, tmp_path / "c.safetensors")
    with pytest.raises(UserError, match=str(SIZE)):
        EvoGrad(net(), tmp_path / "c.safetensors")

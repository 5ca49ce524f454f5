"""Networks in training, kept between generations: on the device while they fit, and always as safetensors.

A snapshot is named by the identity of what was trained, which decides its bits. So a worker may keep it as long as it
likes, write it twice, or read what another worker wrote.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from symevo.errors import UserError
from symevo.files import replace_file

_KEPT_BYTES = 2**29
_kept: OrderedDict[tuple[str, str, str], Snapshot] = OrderedDict()


class Snapshot(NamedTuple):
    """A network and its optimizer, between two steps.

    Attributes:
        theta: Weights ``[W]``.
        states: The rule's states, ``[W]`` each.
        buffers: Running statistics of the model, by name.
        age: Steps that the states have seen: the rule's t is ``age + 1`` at the next one.
    """

    theta: Tensor
    states: tuple[Tensor, ...]
    buffers: Mapping[str, Tensor]
    age: int

    def to(self, device: torch.device) -> Snapshot:
        """The snapshot on a device."""
        states = tuple(state.to(device) for state in self.states)
        return Snapshot(
            self.theta.to(device), states, {name: b.to(device) for name, b in self.buffers.items()}, self.age
        )


def named(member: str, seed: int) -> str:
    """The name of a member's network for a training seed."""
    return f"{member}-{seed}" if seed else member


def path_of(folder: str | Path, name: str) -> Path:
    """The file of a snapshot."""
    return Path(folder) / f"{name}.safetensors"


def put(folder: str, name: str, snapshot: Snapshot) -> str:
    """Writes a snapshot atomically and keeps it on its device.

    Returns:
        A digest of the file.
    """
    tensors = {"theta": snapshot.theta, "age": torch.tensor(snapshot.age)}
    tensors |= {f"state.{index}": state for index, state in enumerate(snapshot.states)}
    tensors |= {f"buffer.{key}": buffer for key, buffer in snapshot.buffers.items()}
    data = packed(tensors)
    replace_file(path_of(folder, name), data)
    _keep(folder, name, snapshot)
    return digest(data)


def get(folder: str, name: str, device: torch.device) -> Snapshot:
    """A snapshot, on the device; from this process's memory if it is there.

    Raises:
        UserError: No such file, or it is damaged.
    """
    found = _kept.get((folder, name, device.type))
    if found is not None:
        _kept.move_to_end((folder, name, device.type))
        return found
    snapshot = read(path_of(folder, name)).to(device)
    _keep(folder, name, snapshot)
    return snapshot


def read(path: Path, *, expected: str | None = None) -> Snapshot:
    """Reads a snapshot from its file, onto the CPU.

    Args:
        path: The file.
        expected: The digest that it had when it was written.

    Raises:
        UserError: No such file, or it is damaged.
    """
    tensors = read_tensors(path, expected=expected)
    try:
        count = sum(key.startswith("state.") for key in tensors)
        states = tuple(tensors[f"state.{index}"] for index in range(count))
        buffers = {key.removeprefix("buffer."): value for key, value in tensors.items() if key.startswith("buffer.")}
        return Snapshot(tensors["theta"], states, buffers, int(tensors["age"]))
    except (KeyError, ValueError, RuntimeError) as error:
        raise _damaged(path, f"{error} is missing or wrong") from None


def read_tensors(path: Path, *, expected: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: No such file, it is damaged, or it is not the one that was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    if expected is not None and digest(data) != expected:
        raise _damaged(path, "its bytes are not those that were written")
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file."""
    return save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})


def digest(data: bytes) -> str:
    """What tells one file from another."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _keep(folder: str, name: str, snapshot: Snapshot) -> None:
    _kept[folder, name, snapshot.theta.device.type] = snapshot
    while len(_kept) > 1 and sum(map(_bytes, _kept.values())) > _KEPT_BYTES:
        _kept.popitem(last=False)


def _bytes(snapshot: Snapshot) -> int:
    tensors = (snapshot.theta, *snapshot.states, *snapshot.buffers.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"weights file {path} cannot be used ({why}): restore it from a copy, or start anew")

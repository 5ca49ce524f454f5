"""Text as a task sees it: numbered characters, cut into windows, each with the next character as target."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import torch

from symevo.tasks.data import damaged, locate
from symevo.tasks.task import Pair, Splits

SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
"""SHA-256 of Karpathy's tiny Shakespeare, 1,115,394 characters, 65 of them different."""


def shakespeare(data_dir: Path | None = None) -> str:
    """The whole text.

    Raises:
        UserError: The file is in none of the places of `symevo.tasks.data`, or is another one.
    """
    path = locate(
        ["tinyshakespeare.txt", "tinyshakespeare/input.txt"], data_dir, name="shakespeare",
        source="github.com/karpathy/char-rnn (data/tinyshakespeare/input.txt)",
    )  # fmt: skip
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise damaged(path, str(error)) from None
    if hashlib.sha256(raw).hexdigest() != SHAKESPEARE:
        raise damaged(path, "it is not the tiny Shakespeare of 1,115,394 characters")
    return raw.decode("ascii")


def windows(text: str, alphabet: str, context: int) -> Pair:
    """Consecutive windows ``x [N, context]`` of ``text``, and ``y [N, context]``, the character after each one.

    Windows do not overlap; what is left at the end, less than a window, is not used. A character is its place in
    ``alphabet``.
    """
    place = {letter: index for index, letter in enumerate(alphabet)}
    codes = torch.tensor([place[letter] for letter in text])
    count = (len(codes) - 1) // context
    x, y = (codes[start : start + count * context].view(count, context) for start in (0, 1))
    return Pair(x, y.clone())


def text_splits(text: str, alphabet: str, *, context: int, ends: tuple[int, int]) -> Splits:
    """Three parts of ``text`` in its order, cut at ``ends``: the first trains, the second validates, the last tests.

    No window reaches from one part into the next one.
    """
    parts = [text[a:b] for a, b in pairwise((0, *ends, len(text)))]
    return Splits(*(windows(part, alphabet, context) for part in parts))

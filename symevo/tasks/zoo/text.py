"""Text as a task sees it: numbered characters, cut into windows, each with the next character as target.

Text that is always there: sentences of a small grammar, whose entropy is known.

A sentence is derived from the symbol S by replacing symbols (upper-case letters) with one of their productions,
drawn by weight, until none is left. Sentences have a subject, perhaps a place, and a verb, which agrees with the
subject and not with the nearer noun of the place ("the dogs near the old fox sleep. "), so that a good model must look
back past it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from functools import cache
from itertools import accumulate, pairwise
from math import log
from pathlib import Path

import numpy as np
import torch

from symevo.tasks.data import damaged, locate
from symevo.tasks.task import Pair, Splits

GRAMMAR: dict[str, tuple[tuple[int, str], ...]] = {
    "S": ((6, "the AN PV. "), (4, "the AM PW. ")),
    "A": ((5, ""), (2, "big "), (2, "old "), (1, "red ")),
    "N": ((4, "dog"), (3, "cat"), (2, "bird"), (1, "fox")),
    "M": ((4, "dogs"), (3, "cats"), (2, "birds"), (1, "foxes")),
    "P": ((6, ""), (2, "near O "), (2, "behind O ")),
    "O": ((1, "the AN"), (1, "the AM")),
    "V": ((3, "sleeps"), (2, "runs"), (3, "sees O"), (2, "hears O")),
    "W": ((3, "sleep"), (2, "run"), (3, "see O"), (2, "hear O")),
}
"""Productions of each symbol, with weights. No sentence has two derivations, none is the beginning of another."""

ALPHABET = "".join(sorted({letter for rows in GRAMMAR.values() for _, text in rows for letter in text} - set(GRAMMAR)))


def shares(symbol: str) -> list[float]:
    """Probabilities of the productions of ``symbol``."""
    weights = [weight for weight, _ in GRAMMAR[symbol]]
    return [weight / sum(weights) for weight in weights]


@cache
def entropy(symbol: str = "S") -> float:
    """Entropy of what ``symbol`` derives, in nats: H(X) = Σ p (−log p + Σ H(Y) over the symbols Y of a production)."""
    return sum(
        p * (sum(map(entropy, filter(GRAMMAR.__contains__, text))) - log(p))
        for p, (_, text) in zip(shares(symbol), GRAMMAR[symbol], strict=True)
    )


@cache
def length(symbol: str = "S") -> float:
    """Mean number of characters of what ``symbol`` derives."""
    return sum(
        p * sum(length(letter) if letter in GRAMMAR else 1.0 for letter in text)
        for p, (_, text) in zip(shares(symbol), GRAMMAR[symbol], strict=True)
    )


def floor() -> float:
    """The entropy rate, in nats per character: no model of the language has a lower expected cross-entropy.

    Sentences are independent and can be told apart, so it is the entropy of one over its mean length. A model that sees
    a few characters only, from the middle of a sentence on, stays above it.
    """
    return entropy() / length()


def written(count: int, seed: int) -> str:
    """``count`` characters of text: sentences one after the other, the last one cut off.

    Args:
        count: At least 1.
        seed: 0 to 2³² − 1; the text is the same with every version of numpy, which promises it for these streams.
    """
    random = np.random.RandomState(seed)
    bounds = {symbol: list(accumulate(shares(symbol)[:-1])) for symbol in GRAMMAR}

    def derived(symbol: str) -> str:
        text = GRAMMAR[symbol][bisect_right(bounds[symbol], random.random_sample())][1]
        return "".join(derived(letter) if letter in GRAMMAR else letter for letter in text)

    sentences, done = [], 0
    while done < count:
        sentences.append(derived("S"))
        done += len(sentences[-1])
    return "".join(sentences)[:count]


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

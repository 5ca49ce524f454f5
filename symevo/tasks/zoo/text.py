"""The registered language models, and their texts: numbered characters in windows, each with the next one as target.

One text is always there: sentences of a small grammar, whose entropy is known. A sentence is derived from the symbol S
by replacing symbols (upper-case letters) with one of their productions, drawn by weight, until none is left. The verb
agrees with the subject and not with the nearer noun of the place ("the dogs near the old fox sleep. "), so that a good
model must look back past it.

Splits, the same in every run:

- text-transformer: the first 131,104 characters (4,096 windows) train, 32,800 (1,024 windows) each validate and test.
- shakespeare-transformer: the first 90 % of the text train, 5 % each validate and test (31,370, 1,742 and 1,742
  windows).

Scores are progress (`symevo.tasks.Task`, ``decades``): 1 is the entropy floor of text-transformer, and for
shakespeare-transformer a cross-entropy of about 1.3 nats.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from symevo.seeds import seed_for
from symevo.tasks.data import damaged, locate
from symevo.tasks.task import DataRequest, Pair, Splits, built_in
from symevo.tasks.zoo import mlp

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
        p * (sum(map(entropy, filter(GRAMMAR.__contains__, text))) - math.log(p))
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


class Attention(nn.Module):
    """Causal self-attention: softmax(QKᵀ/√d + mask) V with d = width/heads; x ``[B, L, width]``.

    The mask is −∞ where a place would look at a later one (Vaswani et al. 2017).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [B, heads, L, d]
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).masked_fill(later, -torch.inf)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + f(norm(x)): normalised before, not after (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = Attention(width, heads), mlp(width, 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class Transformer(nn.Module):
    """A causal language model: characters ``[B, L]`` -> scores of the next one at each place, ``[B, symbols, L]``.

    Args:
        symbols: How many different characters there are.
        context: The largest L.
        width: Of a place.
        heads: Of the attention; divides ``width``.
        blocks: How many.
    """

    def __init__(self, symbols: int, *, context: int = 32, width: int = 32, heads: int = 2, blocks: int = 1) -> None:
        super().__init__()
        self.symbol, self.place = nn.Embedding(symbols, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, symbols)

    def forward(self, x: Tensor) -> Tensor:
        x = self.symbol(x) + self.place.weight[: x.shape[1]]
        return self.head(self.norm(self.blocks(x))).transpose(1, 2)


CONTEXT = 32
"""Characters of a window."""
SYMBOLS = 65
"""Different characters of the tiny Shakespeare."""


def language_splits(request: DataRequest) -> Splits:
    """The loader of the text of `symevo.tasks.zoo.text`."""
    ends = (4097 * CONTEXT, 5122 * CONTEXT)
    text = written(6147 * CONTEXT, seed_for("language", "text") % 2**32)
    return text_splits(text, ALPHABET, context=CONTEXT, ends=ends)


def shakespeare_splits(request: DataRequest) -> Splits:
    """The loader of the tiny Shakespeare."""
    text = shakespeare(request.data_dir)
    ends = (len(text) * 90 // 100, len(text) * 95 // 100)
    return text_splits(text, "".join(sorted(set(text))), context=CONTEXT, ends=ends)


# A language model of a language whose entropy is known.
built_in(
    "text-transformer", model=lambda: Transformer(len(ALPHABET), context=CONTEXT), data=language_splits, batch=32,
    steps=300, metric="loss", decades=math.log10(math.log(len(ALPHABET)) / floor()),
    description="Characters of a small grammar (synthetic), transformer of one block, two heads, context 32",
)  # fmt: skip
# A language model of real text; there is no download.
built_in(
    "shakespeare-transformer", model=lambda: Transformer(SYMBOLS, context=CONTEXT, blocks=1),
    data=shakespeare_splits, batch=32, steps=500, metric="loss", decades=0.5,
    description="Characters of the tiny Shakespeare, transformer of one block, two heads, context 32",
)  # fmt: skip

"""Data of the held-out tasks: fixed, split, standardised by their training part, with floors that are what they say."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from symevo.errors import UserError
from symevo.tasks import DataRequest, Pair, Splits, Task, Workload, find_task
from symevo.tasks.zoo.images import Mixer
from symevo.tasks.zoo.text import (
    ALPHABET,
    GRAMMAR,
    Attention,
    Transformer,
    entropy,
    floor,
    length,
    shakespeare,
    shares,
    text_splits,
    windows,
    written,
)
from symevo.training.controllers import suits

needs_data = pytest.mark.skipif(not os.environ.get("SYMEVO_DATA"), reason="$SYMEVO_DATA is not set")


def parts_of(name: str) -> list[Pair]:
    splits: Splits = find_task(name).splits(DataRequest())
    assert splits.test is not None
    return [splits.train, splits.validation, splits.test]


def derivations(symbol: str = "S") -> dict[str, float]:
    """All that ``symbol`` derives, each with its probability."""
    found: dict[str, float] = {}
    for share, (_, production) in zip(shares(symbol), GRAMMAR[symbol], strict=True):
        some = {"": share}
        for letter in production:
            more = derivations(letter) if letter in GRAMMAR else {letter: 1.0}
            some = {text + tail: p * q for text, p in some.items() for tail, q in more.items()}
        for text, p in some.items():
            assert text not in found, "two derivations of one text"
            found[text] = p
    return found


def test_the_entropy_floor_is_that_of_all_sentences_counted_one_by_one() -> None:
    sentences = derivations()
    p = np.array(list(sentences.values()))
    lengths = np.array([len(sentence) for sentence in sentences])
    assert len(sentences) > 100_000
    assert p.sum() == pytest.approx(1, abs=1e-9)
    assert entropy() == pytest.approx(-(p * np.log(p)).sum(), rel=1e-9)
    assert length() == pytest.approx((p * lengths).sum(), rel=1e-9)
    assert floor() == pytest.approx(0.287, abs=0.001)
    # A sentence ends where its only full stop is, so that none is the beginning of another one.
    assert all(sentence.index(". ") == len(sentence) - 2 for sentence in sentences)
    # What was written costs as much as it should: the mean over sentences, within four standard errors.
    text = written(60_000, 5)
    costs = np.array([-math.log(sentences[one + ". "]) for one in text.split(". ")[:-1]])
    assert abs(costs.mean() - entropy()) < 4 * costs.std() / math.sqrt(len(costs))


def test_the_text_is_fixed_and_of_one_seed() -> None:
    assert written(60, 0) != written(60, 1)
    assert written(60, 1) == written(1000, 1)[:60]
    assert set(written(5000, 2)) == set(ALPHABET)
    splits = parts_of("text-transformer")
    assert [tuple(pair.x.shape) for pair in splits] == [(4096, 32), (1024, 32), (1024, 32)]
    digest = hashlib.sha256(np.concatenate([pair.x.numpy().astype(np.uint8) for pair in splits]).tobytes())
    assert digest.hexdigest()[:16] == "45f6d9b1adbbd57f"


def test_windows_cover_the_text_and_parts_do_not_share_a_character() -> None:
    text = "".join(chr(index) for index in range(200))
    x, y = windows(text[:20], text, 6)
    assert x.tolist() == [list(range(start, start + 6)) for start in (0, 6, 12)]
    assert torch.equal(y, x + 1)
    splits = text_splits(text, text, context=6, ends=(100, 150))
    assert splits.test is not None
    used = [set(torch.cat(pair).flatten().tolist()) for pair in (splits.train, splits.validation, splits.test)]
    assert used == [set(range(97)), set(range(100, 149)), set(range(150, 199))]


@pytest.mark.parametrize(
    ("name", "sizes", "digest"),
    [("cancer-mlp", [365, 91, 113], "63ee027ff3724291"), ("friedman-mlp", [2048, 1024, 1024], "fb57aaba4a0ede59")],
)
def test_tables_are_split_once_and_standardised_by_the_training_part(name: str, sizes: list[int], digest: str) -> None:
    splits = parts_of(name)
    assert [len(pair.x) for pair in splits] == sizes
    together = torch.cat([torch.cat([pair.x, pair.y.view(-1, 1).float()], 1) for pair in splits])
    assert len(together.unique(dim=0)) == sum(sizes)  # no sample is in two parts
    rounded = (together.double() * 100).round().to(torch.int32).numpy()
    assert hashlib.sha256(rounded.tobytes()).hexdigest()[:16] == digest
    scaled = [pair.x if name == "cancer-mlp" else pair.y for pair in splits]
    assert scaled[0].double().mean(0).abs().max() < 1e-6
    assert torch.allclose(scaled[0].double().std(0, correction=0), torch.tensor(1.0, dtype=torch.float64), atol=1e-5)
    assert all(part.double().mean(0).abs().max() > 1e-3 for part in scaled[1:])


def test_the_noise_of_friedmans_problem_is_the_floor_of_its_scale() -> None:
    """With the true function known, what is left of the targets is noise: decades is log₁₀ of the variance over it."""
    x, y = parts_of("friedman-mlp")[2]
    u = x.double() / math.sqrt(12) + 0.5
    f = 10 * (math.pi * u[:, 0] * u[:, 1]).sin() + 20 * (u[:, 2] - 0.5) ** 2 + 10 * u[:, 3] + 5 * u[:, 4]
    design = torch.stack([f, torch.ones_like(f)], 1)
    left = y.double() - design @ torch.linalg.lstsq(design, y.double()).solution
    assert float(u.min()) >= -1e-6
    assert float(u.max()) <= 1 + 1e-6
    assert -math.log10(float(left.square().mean())) == pytest.approx(find_task("friedman-mlp").decades, abs=0.05)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cancer-mlp", math.log(2)),
        ("friedman-mlp", 1.0),
        ("digits-mixer", math.log(10)),
        ("text-transformer", math.log(20)),
    ],
)
def test_the_first_loss_is_that_of_knowing_nothing(name: str, expected: float) -> None:
    assert Workload(find_task(name)).first_loss == pytest.approx(expected, rel=0.3)


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(11, context=12, width=16, blocks=2).double()


def test_what_comes_later_changes_nothing_earlier(model: Transformer) -> None:
    x = torch.arange(12).unsqueeze(0) % 11
    outputs = model(x)
    for place in range(12):
        changed = x.clone()
        changed[0, place] = 10 - x[0, place] if x[0, place] != 5 else 0
        difference = (model(changed) - outputs).abs().amax((0, 1))
        assert torch.equal(difference[:place], torch.zeros(place, dtype=torch.float64))
        assert bool((difference[place:] > 1e-9).all())  # and all that follows sees it
    assert torch.allclose(model(x[:, :7]), outputs[..., :7])


def test_attention_is_torchs_own() -> None:
    torch.manual_seed(0)
    attention, x = Attention(16, 2).double(), torch.randn(3, 12, 16, dtype=torch.float64)
    theirs = torch.nn.MultiheadAttention(16, 2, batch_first=True, dtype=torch.float64)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = attention.qkv.weight.data, attention.qkv.bias.data
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = attention.out.weight.data, attention.out.bias.data
    mask = torch.full((12, 12), -torch.inf, dtype=torch.float64).triu(1)
    assert torch.allclose(attention(x), theirs(x, x, x, attn_mask=mask, need_weights=False)[0])


def test_a_mixer_looks_at_patches() -> None:
    """Its embedding is a convolution as wide as its stride."""
    torch.manual_seed(0)
    model, seen = Mixer(size=8, patch=2, channels=16, hidden=32, blocks=1, classes=10), []
    model.embed.register_forward_hook(lambda module, inputs, output: seen.append(output))
    x = torch.randn(3, 1, 8, 8)
    assert model(x).shape == (3, 10)
    kernel = model.embed.weight.view(16, 1, 2, 2)
    expected = functional.conv2d(x, kernel, model.embed.bias, stride=2).flatten(2).transpose(1, 2)
    assert torch.allclose(seen[0], expected, atol=1e-6)


def sequences(**changes) -> Task:
    """A model of tokens, 8 targets a sample; tiny, so that it may be stacked in every way."""
    generator = torch.Generator().manual_seed(3)
    pair = tuple(torch.randint(5, (21, 8), generator=generator) for _ in "xy")
    given = {
        "model": lambda: Transformer(5, context=8, width=16), "train": pair, "validation": pair, "batch": 6,
    }  # fmt: skip
    return Task("sequences", **{**given, **changes})


@pytest.mark.parametrize("stacking", ["vmap", "single"])
def test_targets_at_every_place_give_torchs_loss_gradient_and_accuracy(stacking: str) -> None:
    workload = Workload(sequences(), dtype=torch.float64, stacking=stacking)
    rows, model = workload.rows(1), Transformer(5, context=8, width=16).double()
    rows.start(2)
    for parameter, segment in zip(model.parameters(), workload.segments, strict=True):
        parameter.data = workload.initial(2)[segment.start : segment.stop].view(segment.shape).clone()
    x, y = workload.batch(2, 0)
    loss = functional.cross_entropy(model(x), y)
    loss.backward()
    assert float(rows.losses_and_grad(2, 0)[0]) == pytest.approx(loss.item(), rel=1e-9)
    for parameter, segment in zip(model.parameters(), workload.segments, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(rows.grad[0, segment.start : segment.stop], parameter.grad.flatten(), atol=1e-9)
    scores, (x, y) = rows.evaluate(), workload.split("validation")
    assert scores.accuracy is not None
    assert float(scores.accuracy[0]) == pytest.approx((model(x).argmax(1) == y).double().mean().item())
    assert float(scores.loss[0]) == pytest.approx(functional.cross_entropy(model(x), y).item(), rel=1e-9)


def test_targets_that_do_not_fit_the_outputs_are_explained() -> None:
    x, y = sequences().splits(DataRequest()).train
    with pytest.raises(UserError, match=r"must be \[batch, classes, 7\] for targets \[21, 7\], not \[2, 5, 8\]"):
        Workload(sequences(train=(x, y[:, :7])))
    with pytest.raises(UserError, match=r"must be \[batch, classes\], not \[2, 5, 8\]"):
        Workload(sequences(train=(x, y), validation=(x, y[:, 0])))
    with pytest.raises(UserError, match="controllers train on"):
        suits(Workload(sequences()))


def test_a_text_that_is_another_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tinyshakespeare.txt").write_text("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    with pytest.raises(UserError, match=r"tinyshakespeare\.txt is damaged"):
        shakespeare(tmp_path)


@needs_data
def test_shakespeare_is_split_in_its_order() -> None:
    splits = parts_of("shakespeare-transformer")
    assert [len(pair.x) for pair in splits] == [31_370, 1_742, 1_742]
    letters = sorted(set(shakespeare()))
    assert len(letters) == 65
    assert "".join(letters[code] for code in splits[0].x[0]) == "First Citizen:\nBefore we proceed"

"""Hugging Face's Trainer, by both of its arguments for optimizers, on a tiny GPT-2 and a tiny BERT."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from client_checks import HALF, STEPS, Client, Fit, copies, needs
from client_forms import Maker

pytestmark = [pytest.mark.clients, needs("transformers", "accelerate")]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=32,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_inner=32,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    return GPT2LMHeadModel(config)


def bert() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=2,
        initializer_range=0.3,
    )
    return BertForSequenceClassification(config)


def sentences(labels: bool) -> list[dict[str, torch.Tensor]]:
    """Numbers that rise by two; the label of a sentence says whether they are even."""
    starts = torch.randint(0, 16, (64,), generator=torch.Generator().manual_seed(0))
    rows = (starts[:, None] + 2 * torch.arange(8)) % 32
    targets = list(starts % 2) if labels else rows
    return [{"input_ids": row, "labels": target} for row, target in zip(rows, targets, strict=True)]


@functools.cache
def collator() -> Any:
    from transformers import default_data_collator

    return default_data_collator


class TrainerClient(Client):
    """A training by Trainer, with its own linear schedule, clipping and checkpoints."""

    package = "transformers"
    labels: bool

    def model(self) -> Any:
        raise NotImplementedError

    def optimizer(self, make: Maker, model: torch.nn.Module) -> dict[str, Any]:
        raise NotImplementedError

    def fit(self, make: Maker, folder: Path, resume: bool) -> Fit:
        from transformers import Trainer, TrainingArguments

        args = TrainingArguments(
            output_dir=str(folder),
            max_steps=STEPS,
            save_steps=HALF,
            per_device_train_batch_size=8,
            weight_decay=0.1,
            learning_rate=1e-2,
            warmup_steps=2,
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
            seed=0,
        )
        model = self.model()
        data = sentences(self.labels)
        trainer = Trainer(
            model=model, args=args, train_dataset=data, data_collator=collator(), **self.optimizer(make, model)
        )
        before = self.loss(model, data)
        trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{HALF}") if resume else None)
        return Fit(before, self.loss(model, data), copies(model.parameters()))

    def loss(self, model: Any, data: list[dict[str, torch.Tensor]]) -> float:
        model.eval()
        with torch.no_grad():
            return model(**collator()(data)).loss.item()


class TestOptimizersArgument(TrainerClient):
    name, labels = "Trainer, `optimizers=`", False

    def model(self) -> Any:
        return gpt2()

    def optimizer(self, make: Maker, model: torch.nn.Module) -> dict[str, Any]:
        return {"optimizers": (make(model.parameters()), None)}


class TestClassAndOptions(TrainerClient):
    """Trainer makes two groups, and sets ``weight_decay`` in both, whatever the rule."""

    name, labels = "Trainer, `optimizer_cls_and_kwargs=`", True

    def model(self) -> Any:
        return bert()

    def optimizer(self, make: Maker, model: torch.nn.Module) -> dict[str, Any]:
        return {"optimizer_cls_and_kwargs": (make.cls, dict(make.options))}

"""Accelerate: gradients accumulated over two batches, and its own saved states."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from client_checks import HALF, STEPS, Client, Fit, batch, copies, loss_of, needs, network
from client_forms import Maker
from torch import nn

pytestmark = [pytest.mark.clients, needs("accelerate")]


class TestAccelerate(Client):
    name, package = "Accelerate", "accelerate"

    def fit(self, make: Maker, folder: Path, resume: bool) -> Fit:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        model = network()
        before = loss_of(model)
        optimizer = make(model.parameters())
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3)
        model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
        if resume:
            accelerator.load_state(str(folder / "half"))
        for step in range(HALF if resume else 0, STEPS):
            for x, y in (batch(2 * step), batch(2 * step + 1)):
                with accelerator.accumulate(model):
                    accelerator.backward(nn.functional.cross_entropy(model(x), y))
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 0.5)
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
            if step + 1 == HALF and not resume:
                accelerator.save_state(str(folder / "half"), safe_serialization=False)
        return Fit(before, loss_of(model), copies(model.parameters()))

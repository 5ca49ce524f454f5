"""Lightning, with automatic and with manual optimization."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from client_checks import HALF, STEPS, Client, Fit, batch, copies, loss_of, needs, network
from client_forms import FORMS, Maker, maker
from torch import nn

pytestmark = [
    pytest.mark.clients,
    needs("lightning"),
    pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers"),
]


def module_of(make: Maker, manual: bool) -> Any:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = not manual
            self.net = network()

        def training_step(self, samples: Any, index: int) -> torch.Tensor:
            x, y = samples
            loss = nn.functional.cross_entropy(self.net(x), y)
            if manual:
                optimizer, scheduler = self.optimizers(), self.lr_schedulers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
                scheduler.step()
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = make(self.net.parameters())
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + 0.1 * step))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    return Module()


class TestAutomatic(Client):
    """A closure at every step, clipped gradients, a scheduler, and a checkpoint after each of two epochs."""

    name, package, manual = "Lightning", "lightning", False

    def fit(self, make: Maker, folder: Path, resume: bool) -> Fit:
        import lightning
        from lightning.pytorch.callbacks import ModelCheckpoint

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        module = module_of(make, self.manual)
        before = loss_of(module.net)
        trainer = lightning.Trainer(
            max_epochs=STEPS // HALF,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)],
            gradient_clip_val=None if self.manual else 0.5,
        )
        data = torch.utils.data.DataLoader([batch(step) for step in range(HALF)], batch_size=None)
        trainer.fit(module, data, ckpt_path=folder / "epoch=0.ckpt" if resume else None, weights_only=True)
        assert trainer.global_step == STEPS
        return Fit(before, loss_of(module.net), copies(module.net.parameters()))


class TestManual(TestAutomatic):
    name, manual = "Lightning, manual optimization", True


@pytest.mark.parametrize("form", FORMS)
def test_callbacks_that_reach_into_the_optimizer(form: str, tmp_path: Path) -> None:
    """Rates watched, weights averaged, gradients accumulated, and a search for a rate that puts all back."""
    import lightning
    from lightning.pytorch import callbacks
    from lightning.pytorch.loggers import CSVLogger
    from lightning.pytorch.tuner.tuning import Tuner

    module = module_of(maker(form, "adamw"), manual=False)
    module.lr = 1e-2
    data = torch.utils.data.DataLoader([batch(step) for step in range(HALF)], batch_size=None)
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=CSVLogger(tmp_path),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[callbacks.LearningRateMonitor(), callbacks.StochasticWeightAveraging(5e-3, swa_epoch_start=2)],
        accumulate_grad_batches=2,
    )
    before = loss_of(module.net)
    found = Tuner(trainer).lr_find(module, data, num_training=8, update_attr=False)
    assert len(found.results["lr"]) == len(found.results["loss"]) > 0
    assert loss_of(module.net) == before
    trainer.fit(module, data)
    assert loss_of(module.net) < before
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    (rate,) = [name for name in rows[0] if name.startswith("lr-")]
    assert len({row[rate] for row in rows}) > 2

"""skorch: the optimizer as a class, with its numbers as ``optimizer__…`` arguments of the net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from client_checks import HALF, STEPS, Client, Fit, batch, copies, loss_of, needs, network
from client_forms import FORMS, Maker, maker
from torch import nn

pytestmark = [pytest.mark.clients, needs("skorch")]


def net_of(make: Maker, **more: Any) -> Any:
    from skorch import NeuralNetClassifier

    return NeuralNetClassifier(
        network,
        criterion=nn.CrossEntropyLoss,
        optimizer=make.cls,
        **{f"optimizer__{name}": value for name, value in make.options.items()},
        batch_size=16,
        train_split=None,
        verbose=0,
        **more,
    )


def epoch(start: int) -> tuple[Any, Any]:
    """As many samples as ``HALF`` batches."""
    pairs = [batch(start + step) for step in range(HALF)]
    return torch.cat([x for x, _ in pairs]).numpy(), torch.cat([y for _, y in pairs]).numpy()


class TestSkorch(Client):
    name, package = "skorch", "skorch"

    def fit(self, make: Maker, folder: Path, resume: bool) -> Fit:
        assert STEPS == 2 * HALF
        files = {f"f_{name}": str(folder / f"{name}.pt") for name in ("params", "optimizer", "history")}
        net = net_of(make, max_epochs=1).initialize()
        before = loss_of(net.module_)
        if resume:
            net.load_params(**files)
        else:
            net.partial_fit(*epoch(0))
            net.save_params(**files)
        net.partial_fit(*epoch(HALF))
        return Fit(before, loss_of(net.module_), copies(net.module_.parameters()))

    @pytest.mark.parametrize("form", FORMS)
    def test_groups_by_name_and_options_set_later(self, form: str) -> None:
        """A group for parameters whose names match, and ``set_params`` between fits."""
        net = net_of(maker(form, "adamw"), max_epochs=1, optimizer__param_groups=[("0.*", {"lr": 0.0})])
        net.initialize()
        first, last = copies(net.module_[0].parameters()), copies(net.module_[3].parameters())
        net.partial_fit(*epoch(0))
        assert all(torch.equal(a, b) for a, b in zip(first, net.module_[0].parameters(), strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(last, net.module_[3].parameters(), strict=True))
        net.set_params(optimizer__lr=0.125)
        assert net.optimizer_.param_groups[-1]["lr"] == 0.125

    @pytest.mark.parametrize("form", FORMS)
    def test_clones_and_pickles(self, form: str) -> None:
        import pickle

        from sklearn.base import clone

        net = clone(net_of(maker(form, "adamw"), max_epochs=1)).fit(*epoch(0))
        other = pickle.loads(pickle.dumps(net))
        for one in (net, other):
            one.partial_fit(*epoch(HALF))
        for a, b in zip(net.module_.parameters(), other.module_.parameters(), strict=True):
            assert torch.equal(a, b)

"""What every client must show: it trains, goes on bit for bit from a checkpoint, and equals torch's AdamW."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from client_forms import FORMS, RULES, TORCH, Maker, maker
from torch import Tensor, nn

STEPS, HALF = 8, 4
CHECKPOINT = "checkpoint.pt"


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip a file whose peer is not installed, without importing the peer where it is."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@dataclass(frozen=True)
class Fit:
    """What a training came to: the loss before and after on the same data, and the weights."""

    before: float
    after: float
    weights: list[Tensor]


@dataclass(frozen=True)
class Outcome:
    """A training without a break, and one that went on from a checkpoint made half-way through the first."""

    straight: Fit
    resumed: Fit


class Client:
    """A way to train. A subclass says how, in :meth:`fit`, and inherits the checks."""

    name: ClassVar[str]
    package: ClassVar[str]
    _outcomes: ClassVar[dict[Any, Outcome]] = {}

    def fit(self, make: Maker, folder: Path, resume: bool) -> Fit:
        """Train a new model for ``STEPS`` steps, and leave a checkpoint of step ``HALF`` in a folder.

        Args:
            make: Makes the optimizer.
            folder: Of checkpoints.
            resume: Go on from the checkpoint there instead.
        """
        raise NotImplementedError

    def outcome(self, form: str, rule: str) -> Outcome:
        key = (type(self), form, rule)
        if key not in self._outcomes:
            self._outcomes[key] = self._outcome(form, rule)
        return self._outcomes[key]

    def _outcome(self, form: str, rule: str) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            return outcome_of(self.fit, maker(form, rule), Path(folder))

    @pytest.fixture(autouse=True)
    def _told(self, record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> None:
        """Tells the table of clients what a test is about: see ``conftest.py``."""
        params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
        if "form" in params:
            check = request.node.originalname.removeprefix("test_")
            rule = params.get("rule", "adamw")
            told = {"client": self.name, "package": self.package, "form": params["form"], "rule": rule, "check": check}
            record_property("client", told)

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("rule", RULES)
    def test_trains(self, rule: str, form: str) -> None:
        fit = self.outcome(form, rule).straight
        assert fit.after < 0.95 * fit.before

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("rule", RULES)
    def test_resumes(self, rule: str, form: str) -> None:
        outcome = self.outcome(form, rule)
        assert outcome.resumed.after == outcome.straight.after
        for one, other in zip(outcome.resumed.weights, outcome.straight.weights, strict=True):
            assert torch.equal(one, other)

    @pytest.mark.parametrize("form", FORMS)
    def test_equals_adamw(self, form: str) -> None:
        ours, theirs = (self.outcome(one, "adamw").straight.weights for one in (form, TORCH))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def outcome_of(fit: Callable[[Maker, Path, bool], Fit], make: Maker, folder: Path) -> Outcome:
    """Both trainings, from one seed, with an empty folder for checkpoints."""
    fits = []
    for resume in (False, True):
        torch.manual_seed(0)
        fits.append(fit(make, folder, resume))
    return Outcome(*fits)


# --- A small problem, and the loop that a user writes ---------------------------------------------------------


def network() -> nn.Sequential:
    """A small network, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 3))


def batch(step: int, rows: int = 16) -> tuple[Tensor, Tensor]:
    """The samples of a step, labelled by a fixed rule."""
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(100 + step))
    return x, x[:, :3].argmax(dim=1)


def loss_of(model: nn.Module) -> float:
    """The loss on samples that no step uses, in evaluation mode."""
    training = model.training
    model.eval()
    x, y = batch(10_000, 256)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(x.to(next(model.parameters()).dtype)), y).item()
    model.train(training)
    return loss


def copies(params: Iterable[Tensor]) -> list[Tensor]:
    return [param.detach().clone() for param in params]


class Loop(Client):
    """A loop of the user's own: :meth:`parts` are saved and loaded one by one, :meth:`step` is a step."""

    def parts(self, make: Maker) -> dict[str, Any]:
        """What has a ``state_dict``; ``model`` and ``optimizer`` among them."""
        model = network()
        return {"model": model, "optimizer": make(model.parameters())}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        parts["optimizer"].zero_grad()
        nn.functional.cross_entropy(parts["model"](x), y).backward()
        parts["optimizer"].step()

    def model(self, parts: dict[str, Any]) -> nn.Module:
        """The model that counts in the end."""
        return parts["model"]

    def fit(self, make: Maker, folder: Path, resume: bool) -> Fit:
        parts = self.parts(make)
        before = loss_of(parts["model"])
        if resume:
            saved = torch.load(folder / CHECKPOINT, weights_only=True)
            for name, part in parts.items():
                part.load_state_dict(saved[name])
        for step in range(HALF if resume else 0, STEPS):
            self.step(parts, *batch(step))
            if step + 1 == HALF and not resume:
                torch.save({name: part.state_dict() for name, part in parts.items()}, folder / CHECKPOINT)
        model = self.model(parts)
        return Fit(before, loss_of(model), copies(model.parameters()))

"""The system ``evograd``: controllers evolve beside plain Adam, and survive interruption bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import symevo
from symevo import cli
from symevo.config import resolve
from symevo.errors import Interrupted, UserError
from symevo.neural.files import read
from symevo.report.progress import SilentProgress
from symevo.systems import api, scoring
from symevo.tasks import Workload, find_task

FEW = {"preset": "quick", "population": 5, "generations": 3, "steps": 12, "elites": 2}


def run(out: Path, progress=None, **changes) -> symevo.Run:
    settings = resolve({"system": "evograd", **FEW, "out": out, **changes})
    return api.start(settings, progress=progress, engine="inline")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> symevo.Run:
    return run(tmp_path_factory.mktemp("evograd") / "run")


def evaluations(done: symevo.Run) -> list[dict]:
    store = api.Store.open(done.path)
    try:
        return list(store.evaluations())
    finally:
        store.close()


def test_every_generation_scores_all_beside_plain_adam(finished: symevo.Run) -> None:
    rows = evaluations(finished)
    assert len(rows) == 3 * 6
    for gen in range(3):
        born = [one for one in rows if one["gen"] == gen]
        assert [one["operator"] for one in born][-1] == "control"
        assert finished.history[gen]["adam"] == born[-1]["fitness"]
        assert sum(one["operator"] == "elite" for one in born) == (2 if gen else 0)


def test_the_best_controllers_are_kept_and_ranked_on_new_networks(finished: symevo.Run) -> None:
    numbers = finished.weights()["controllers"].numpy()
    assert numbers.shape == (3375,)
    genome = api.SYSTEMS.get("evograd").genome(finished.settings)
    stored = {genome.name(genome.from_json(one["genome"])): one for one in evaluations(finished)}
    best = genome.from_json(stored[finished.ranking[0]["identity"]]["genome"])
    assert np.array_equal(numbers, best.numbers)
    assert [len(values) for values in finished.replays.values()] == [scoring.FRESH] * 2
    accuracies = [one["validation"]["accuracy"] for one in finished.ranking]
    assert accuracies == sorted(accuracies, reverse=True)
    assert np.mean(finished.replays[scoring.BEST]) == pytest.approx(accuracies[0])


def test_the_report_has_adam_beside_the_controllers(finished: symevo.Run) -> None:
    text = str(finished)
    assert f"{finished.history[2]['adam']:.4f}" in text
    assert "on 4 networks drawn anew" in text
    assert "difference" in text
    assert {path.name for path in (finished.path / "figures").iterdir()} == {"fitness.png", "fitness.svg"}


def test_the_best_trains_a_model_of_ones_own(finished: symevo.Run) -> None:
    workload, model = Workload(find_task("digits-flat")), find_task("digits-flat").model()
    trainer = finished.best.optimizer(model, lr=0.01)
    losses = [trainer.step(*workload.batch(0, step)) for step in range(30)]
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(UserError, match=r"Conv2d"):
        finished.best.optimizer(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)))


def test_the_best_is_saved_as_the_run_keeps_it(finished: symevo.Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    finished.best.save(path)
    assert path.read_bytes() == (finished.path / "best.safetensors").read_bytes()
    about = read(path).about
    assert (about["task"], about["scale"], about["seed"]) == ("digits-flat", finished.settings.scale, 0)
    assert about["fitness"] == finished.best.fitness
    models = [find_task("digits-flat").model() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    x, y = Workload(find_task("digits-flat")).batch(0, 0)
    trainers = finished.best.optimizer(models[0], lr=0.01), symevo.EvoGrad(models[1], path, lr=0.01)
    losses = [[trainer.step(x, y) for _ in range(3)] for trainer in trainers]
    assert losses[0] == losses[1]
    finished.best.save(path)  # over what is there
    with pytest.raises(UserError, match=r"cannot write .*mine"):
        finished.best.save(path / "in" / "a" / "file")


class Stopping(SilentProgress):
    """Ctrl-C in the second generation."""

    left = 1

    def generation(self, record) -> None:
        self.left -= 1

    def advance(self, trained: int, total: int) -> None:
        if self.left == 0:
            self.left = -99
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, finished: symevo.Run) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", progress=Stopping())
    unfinished = api.load(tmp_path / "run")
    stored = [one for one in evaluations(unfinished) if one["operator"] == "control"]
    assert not {one["identity"] for one in stored} & {one.identity for one in unfinished.candidates}  # it is no find
    again = api.resume(tmp_path / "run", {}, engine="inline")
    assert (again.ranking, again.replays) == (finished.ranking, finished.replays)
    assert [one["best"] for one in again.history] == [one["best"] for one in finished.history]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--tasks", "digits-flat,mnist-flat"], "--tasks names 2: controllers are evolved on one task"),
        (["--seeds", "2"], "--seeds means nothing to evograd"),
        (["--fitness", "loss"], "--fitness loss is none of evograd's: use accuracy or peak"),
        (["--noise", "uniform"], "--noise uniform is none of evograd's: use gaussian or triangular"),
        (["--scale", "0"], "--scale must be"),
        (["--rule", "lion"], "--rule means nothing to system 'evograd'"),
        (["--tasks", "digits-cnn"], "digits-cnn"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, capsys, argv: list[str], words: str) -> None:
    assert cli.main(["run", "evograd", "--preset", "quick", "--out", str(tmp_path / "run"), *argv]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert not (tmp_path / "run").exists()

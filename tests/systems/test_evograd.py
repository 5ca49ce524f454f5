"""The system ``evograd``: controllers evolve beside plain Adam, and survive interruption bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import symevo
from symevo import cli
from symevo.errors import Interrupted, UserError
from symevo.evograd.files import read
from symevo.evolution import evolve as api
from symevo.reporting.progress import SilentProgress
from symevo.reporting.text.runs import fresh_lines
from symevo.settings.resolution import resolve
from symevo.systems import evograd
from symevo.tasks import Workload, find_task
from symevo.training.controllers import score

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
    assert [len(values) for values in finished.replays.values()] == [evograd.FRESH] * 2
    accuracies = [one["validation"]["accuracy"] for one in finished.ranking]
    assert accuracies == sorted(accuracies, reverse=True)


def test_what_is_told_of_the_best_comes_from_networks_that_did_not_pick_it(finished: symevo.Run) -> None:
    genome = api.SYSTEMS.get("evograd").genome(finished.settings)
    workload = Workload(find_task("digits-flat"))
    last = finished.settings.generations
    best = genome.from_json(finished.best.genome)
    loop = evograd.ControllerLoop(finished.settings)
    loop.search = SimpleNamespace(genome=genome)

    def accuracies(numbers: np.ndarray, phases: range) -> list[float]:
        moved = [loop.trained(genome.individual(numbers, phase)) for phase in phases]
        found = [score(workload, [one.to_json()], steps=12)[0] for one in moved]
        return [one["accuracy"] for one in found]

    picked = accuracies(best.numbers, range(last, last + 4))
    assert np.mean(picked) == pytest.approx(finished.ranking[0]["validation"]["accuracy"])
    others = range(last + 4, last + 8)
    assert finished.replays[evograd.BEST] == pytest.approx(accuracies(best.numbers, others))
    assert finished.replays[evograd.ADAM] == pytest.approx(accuracies(np.zeros(3375), others))


def test_the_report_has_adam_beside_the_controllers(finished: symevo.Run) -> None:
    text = str(finished)
    assert f"{finished.history[2]['adam']:.4f}" in text
    words = " ".join(text.split())
    assert "on 4 networks drawn anew that took no part in choosing the best; Adam has the learning rate" in words
    assert "untuned" in words
    assert "difference" in text
    assert {path.name for path in (finished.path / "figures").iterdir()} == {"fitness.png", "fitness.svg"}


def test_a_network_that_diverged_is_counted_in_the_report() -> None:
    text = fresh_lines({"best": [0.5, None], "Adam": [None, None]})
    assert "best  0.5000, 1 diverged" in text
    assert "Adam  -, 2 diverged" in text


class Told(SilentProgress):
    """Keeps what is said, and how many trainings were done in each go."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.records: list[dict] = []
        self.done = 0

    def generation(self, record) -> None:
        self.records.append(dict(record))
        self.done = 0

    def advance(self, trained: int, total: int) -> None:
        self.done += trained == total and total

    def message(self, text: str) -> None:
        self.words.append(text)


def test_the_ranking_is_announced_counted_and_told(tmp_path: Path) -> None:
    told = Told()
    run(tmp_path / "run", progress=told, generations=1)
    assert told.words[0] == "after the last generation at most 28 trainings more, on networks drawn anew"
    assert told.words[1:] == [
        "ranking the last population on 4 networks drawn anew",
        "scoring the best, beside plain Adam, on 4 others",
    ]
    assert told.done == 28  # 5 individuals on 4 networks, the best and Adam on 4 others
    assert "rule" not in told.records[0]  # its equations would be Adam's


def test_the_best_trains_a_model_of_ones_own(finished: symevo.Run) -> None:
    workload, model = Workload(find_task("digits-flat")), find_task("digits-flat").model()
    trainer = finished.best.optimizer(model, lr=0.01)
    losses = [trainer.step(*workload.batch(0, step)) for step in range(30)]
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(UserError, match=r"Conv2d"):
        finished.best.optimizer(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)))


def test_controllers_are_not_told_as_adam(finished: symevo.Run, capsys) -> None:
    for text in (str(finished.best), repr(finished.best)):
        assert "θ" not in text
        assert "size" not in text
    assert "3,375 numbers that correct Adam's step; keep them with best.save(path)" in str(finished.best)
    path = str(finished.path)
    for more in ([], ["--rank", "1"]):
        assert cli.main(["show", path, "--latex", *more]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "controllers, which have no equations: best.save(path) keeps their numbers" in err
    assert cli.main(["show", path, "--rank", "1"]) == 0
    assert "3,375 numbers" in (text := capsys.readouterr().out)
    assert "θ" not in text
    assert cli.main(["show", path, "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    assert best["controllers"] is True
    assert "not comparable over generations" in best["fitness_of"]


def test_the_best_is_saved_as_the_run_keeps_it(finished: symevo.Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    finished.best.save(path)
    assert path.read_bytes() == (finished.path / "best.safetensors").read_bytes()
    about = read(path).about
    assert (about["task"], about["scale"], about["seed"]) == ("digits-flat", finished.settings.scale, 0)
    assert about["fitness"] == finished.best.fitness
    assert "not comparable over generations" in about["fitness_of"]
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

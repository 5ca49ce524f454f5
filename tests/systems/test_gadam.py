"""The system ``gadam``: networks evolve, survive interruption bit for bit, and load into a user's model."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import symevo
from symevo import cli
from symevo.errors import Interrupted, RunFailed, UserError
from symevo.evolution import evolve as api
from symevo.reporting.progress import SilentProgress
from symevo.settings.resolution import resolve
from symevo.systems import gadam
from symevo.tasks import DataRequest, find_task
from symevo.tasks.zoo import mlp
from symevo.training import snapshots

FEW = {"preset": "quick", "backend": "eager", "population": 4, "generations": 4, "steps": 10, "threads": 1}


def run(out: Path, progress=None, **changes) -> symevo.Run:
    settings = resolve({"system": "gadam", **FEW, "out": out, **changes})
    return api.start(settings, progress=progress, engine="inline")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> symevo.Run:
    return run(tmp_path_factory.mktemp("gadam") / "run")


def test_the_best_network_loads_into_the_model_and_has_the_stated_scores(finished: symevo.Run) -> None:
    task = find_task("digits-mlp")
    model = task.model()
    model.load_state_dict(symevo.load(finished.path).weights())
    splits = task.splits(DataRequest())
    for split in ("validation", "test"):
        x, y = getattr(splits, split)
        with torch.no_grad():
            outputs = model.eval()(x)
        stated = finished.ranking[0][split]
        assert float(functional.cross_entropy(outputs, y)) == pytest.approx(stated["loss"], rel=1e-5)
        assert float((outputs.argmax(1) == y).double().mean()) == pytest.approx(stated["accuracy"], abs=1e-12)


def test_the_folder_holds_the_survivors_and_nothing_else(finished: symevo.Run) -> None:
    held = {path.stem for path in (finished.path / "weights").iterdir()}
    assert held == {one["identity"] for one in finished.ranking}
    assert len(held) == 4
    losses = [one["validation"]["loss"] for one in finished.ranking]
    assert losses == sorted(losses)
    assert finished.best.identity == finished.ranking[0]["identity"]
    names = {path.name for path in (finished.path / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in ("loss", "scores", "adopted") for kind in ("png", "svg")}


def test_the_report_and_the_json_tell_the_result(finished: symevo.Run) -> None:
    text = str(finished)
    assert max(map(len, text.splitlines()[:-1])) <= 80
    assert "adopted" in text
    assert f"{finished.ranking[0]['test']['loss']:.4f}" in text
    assert ".weights())" in text
    summary = finished.summary()
    assert summary["best"]["network"]["digest"] == finished.ranking[0]["digest"]
    assert summary["evaluations"] == 4 * 2 * 4
    assert len(summary["front"]) == 1


def test_parents_are_selected_on_one_batch_and_compete_with_their_children_on_another() -> None:
    loop = gadam.GadamLoop(resolve({"system": "gadam", "preset": "paper"}))
    probes = [loop.stretch(phase)["probes"] for phase in range(4)]
    assert [len(one) for one in probes] == [2, 1, 2, 1]
    assert probes[0][1] == probes[1][0]
    assert probes[2][1] == probes[3][0]
    assert len({probe for one in probes for probe in one}) == 4
    assert {probe[:2] for one in probes for probe in one} == {("train", 128)}
    assert all(one[0] == "validation" for one in gadam.GadamLoop(resolve({"system": "gadam"})).stretch(0)["probes"])


def test_the_schedule_goes_on_through_generations() -> None:
    loop = gadam.GadamLoop(resolve({"system": "gadam", **FEW}))
    assert [loop.stretch(phase)["clock"] for phase in range(3)] == [0, 10, 20]
    assert loop.stretch(0)["total"] == 80
    assert len({loop.stretch(phase)["seed"] for phase in range(8)}) == 8


def test_the_rule_of_a_candidate_trains_a_model_of_ones_own(finished: symevo.Run) -> None:
    optimizer = finished.best.optimizer(find_task("digits-mlp").model(), lr=0.5)
    assert isinstance(optimizer, symevo.Optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.5


class Stopping(SilentProgress):
    """Ctrl-C once so many trainings of a generation are done."""

    def __init__(self, gen: int, trained: int) -> None:
        self.left, self.trained = gen, trained

    def generation(self, record) -> None:
        self.left -= 1

    def advance(self, trained: int, total: int) -> None:
        if self.left == 0 and trained >= self.trained:
            self.trained += 10**9
            raise KeyboardInterrupt


@pytest.mark.parametrize(("gen", "trained"), [(0, 2), (1, 2), (2, 4)])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, finished: symevo.Run, gen: int, trained: int) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", progress=Stopping(gen, trained))
    snapshots._kept.clear()
    again = api.resume(tmp_path / "run", {}, engine="inline")
    assert again.ranking == finished.ranking
    seconds = {"seconds", "elapsed"}
    histories = [[{k: v for k, v in one.items() if k not in seconds} for one in r.history] for r in (again, finished)]
    assert histories[0] == histories[1]


def stopped(tmp_path: Path) -> Path:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", progress=Stopping(2, 2))
    snapshots._kept.clear()
    return tmp_path / "run"


def of_the_population(path: Path) -> list[Path]:
    """Weights that the last closed generation left."""
    store = api.Store.open(path)
    last = store.last_generation()
    store.close()
    assert last is not None
    genome = api.SYSTEMS.get("gadam").genome(symevo.load(path).settings)
    return [path / "weights" / f"{genome.name(genome.from_json(one['genome']))}.safetensors" for one in last[1]]


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_damaged_weights_are_one_line_and_exit_code_2(tmp_path: Path, capsys, damage: str) -> None:
    path = stopped(tmp_path)
    file = of_the_population(path)[1]
    data = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        data[-9] ^= 1
        file.write_bytes(data[:-40] if damage == "cut" else data)
    assert cli.main(["run", "--resume", str(path), "--engine", "serial"]) == 2
    out, err = capsys.readouterr()
    line = err.strip().splitlines()[-1]
    assert "weights file" in line
    assert "restore it from a copy, or start anew" in line
    assert not out


def test_weights_of_an_unfinished_generation_are_made_once_more_if_damaged(
    tmp_path: Path, finished: symevo.Run
) -> None:
    path = stopped(tmp_path)
    kept = set(of_the_population(path))
    new = [file for file in (path / "weights").iterdir() if file not in kept]
    assert new
    new[0].write_bytes(b"no weights")
    assert api.resume(path, {}, engine="inline").ranking == finished.ranking


def test_a_ranking_that_cannot_be_is_refused(tmp_path: Path, finished: symevo.Run) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    for name, value in (("loss", "NaN"), ("loss", "1e999"), ("loss", '"low"'), ("accuracy", "7.0")):
        with sqlite3.connect(tmp_path / "run" / "run.sqlite") as db:
            text = db.execute("SELECT value FROM about WHERE key = 'ranking'").fetchone()[0]
            bad = re.sub(rf'"{name}": [^,}}]*', f'"{name}": {value}', text, count=1)
            db.execute("UPDATE about SET value = ? WHERE key = 'ranking'", (bad,))
        with pytest.raises(UserError, match="is corrupt or not a run"):
            symevo.load(tmp_path / "run")
        with sqlite3.connect(tmp_path / "run" / "run.sqlite") as db:
            db.execute("UPDATE about SET value = ? WHERE key = 'ranking'", (text,))
    assert symevo.load(tmp_path / "run").ranking == finished.ranking


def test_no_two_networks_of_the_start_share_a_draw(finished: symevo.Run) -> None:
    """The first population and the first children come from streams of their own."""
    store = api.Store.open(finished.path)
    recipes = [one["genome"] for one in store.evaluations() if one["gen"] == 0]
    store.close()
    drawn = [value for one in recipes for value in (one["order"], one["start"].get("seed"), one["start"].get("draw"))]
    drawn = [value for value in drawn if value is not None]
    assert len(set(drawn)) == len(drawn)


class NoRoom(SilentProgress):
    """Weights cannot be written any more after the first generation."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def generation(self, record) -> None:
        if record["gen"] == 0:
            (self.out / "weights").rename(self.out / "moved")
            (self.out / "weights").write_text("a file is in the way")


def test_weights_that_cannot_be_written_fail_the_run_and_no_network(tmp_path: Path, finished: symevo.Run) -> None:
    out = tmp_path / "run"
    with pytest.raises(
        RunFailed, match=rf"cannot write weights to .*: make room; go on with: symevo run --resume {out}"
    ):
        run(out, progress=NoRoom(out))
    (out / "weights").unlink()
    (out / "moved").rename(out / "weights")
    snapshots._kept.clear()
    assert api.resume(out, {}, engine="inline").ranking == finished.ranking


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "run", generations=1)
    (done.path / "best.safetensors").write_bytes(b"{}" * 100)
    with pytest.raises(UserError, match=r"weights file .*best\.safetensors cannot be used"):
        done.weights()
    assert api.resume(done.path, {}, engine="inline").weights()  # a resume writes it once more


def test_a_run_of_rules_has_no_weights(tmp_path: Path) -> None:
    settings = resolve({"tasks": ["quadratic"], "population": 4, "generations": 1, "steps": 5, "seeds": 1,
                        "elites": 1, "backend": "eager", "out": tmp_path / "run"})  # fmt: skip
    with pytest.raises(UserError, match="holds no network: it evolves rules"):
        api.start(settings, engine="inline").weights()


def test_it_stops_where_nothing_changes_and_stays_stopped(tmp_path: Path) -> None:
    done = run(tmp_path / "run", stop_below=1e9)
    assert len(done.history) == 2
    assert api.resume(done.path, {}, engine="inline").ranking == done.ranking
    assert len(symevo.load(done.path).history) == 2


def regression() -> symevo.Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 4, generator=generator)
    pairs = [(part, part.prod(1, keepdim=True)) for part in x.split(200)]
    return symevo.Task("gadam-regression", model=lambda: mlp(4, 16, 1), train=pairs[0], validation=pairs[1],
                       loss="mse", metric="loss", batch=32)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("system", ["gadam", "hyperparameters"])
def test_the_lowest_losses_survive_whatever_the_task_measures(tmp_path: Path, system: str) -> None:
    """Also where a stretch begins with a bad batch, from which there is much to gain."""
    mode = {"mode": "dynamic", "seeds": 1} if system == "hyperparameters" else {}
    done = symevo.evolve(system, [regression()], **{**FEW, "population": 6, **mode}, out=tmp_path / "run")
    store = api.Store.open(done.path)
    rows = list(store.evaluations())
    losses = {one["identity"]: store.training(one["identity"], "gadam-regression", 0)["loss"] for one in rows}
    for gen in range(1, 4):
        before = sorted((one for one in rows if one["gen"] == gen - 1), key=lambda one: losses[one["identity"]])
        copied = {
            one["genome"]["start"]["copy"] for one in rows if one["gen"] == gen and "copy" in one["genome"]["start"]
        }
        if system == "gadam":
            assert copied == {one["identity"] for one in before[:6]}
        else:
            assert copied == {one["identity"] for one in before[:4]}
    fitness = sorted(rows, key=lambda one: losses[one["identity"]])
    assert [one["fitness"] for one in fitness] == sorted((one["fitness"] for one in rows), reverse=True)
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("inherit", ["none", "fitter", "both"])
def test_any_rule_may_train(tmp_path: Path, inherit: str) -> None:
    done = run(tmp_path / "run", generations=2, rule="lion", inherit=inherit, noise="uniform", schedule="cosine")
    assert done.best.rule.name == "lion"
    assert done.best.rule.schedule.decay == "cosine"
    assert len(done.ranking) == 4


def test_networks_that_fail_have_no_children_and_new_ones_take_their_place(tmp_path: Path) -> None:
    done = run(tmp_path / "run", generations=4, rule="theta = theta - lr*g*where(g > 0.135, 1e30, 1)")
    assert sum(record["failed"] for record in done.history) > 0
    store = api.Store.open(done.path)
    evaluations = list(store.evaluations())
    store.close()
    failed = {one["identity"] for one in evaluations if one["status"] != "ok"}
    assert {one["status"] for one in evaluations} == {"ok", "diverged"}
    for one in evaluations:
        start = one["genome"]["start"]
        assert not failed & {start.get("copy"), *start.get("cross", [])}


def test_a_run_of_which_every_network_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"training loss .* at step"):
        run(tmp_path / "run", rule="theta = theta - lr*1e30*g")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--tasks", "digits-mlp,digits-cnn"], "--tasks names 2: networks that go on are trained on one task"),
        (["--seeds", "2"], "--seeds means nothing to gadam"),
        (["--population", "1"], "--population must be at least 2"),
        (["--islands", "2"], "--islands means nothing where networks go on"),
        (["--mutation", "2"], "--mutation must be at most 1"),
        (["--noise", "white"], "--noise must be"),
        (["--score-split", "test"], "--score-split must be"),
        (["--fitness", "paper"], "--fitness paper means nothing where networks go on"),
        (["--tune", "lr"], "--tune means nothing to system 'gadam'"),
        (["--rule", "adamm"], "adam"),
        (["--score-batch", "0"], "--score-batch must be at least 1"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, capsys, argv: list[str], words: str) -> None:
    assert cli.main(["run", "gadam", "--out", str(tmp_path / "run"), *argv]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert not (tmp_path / "run").exists()

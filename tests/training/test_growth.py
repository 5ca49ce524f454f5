"""Training that goes on: cut anywhere, in any company, it is the training that was never cut."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
import torch
from torch import nn

from symevo.errors import RunFailed, UserError
from symevo.genomes.weights import INHERIT, NOISES
from symevo.rules.rule import Rule, rule
from symevo.rules.schedule import Schedule
from symevo.tasks import Task, Workload, find_task
from symevo.tasks.stacked.layers import Segment
from symevo.training import snapshots
from symevo.training.continued import Member, Stretch, child, grow, mutated
from symevo.training.lockstep import train
from symevo.training.snapshots import Snapshot

torch.set_num_threads(1)
PROBES = (("validation", 10**9, 0),)


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(find_task("digits-mlp"))


@pytest.fixture(autouse=True)
def forget():
    """No snapshot is kept in memory between tests."""
    snapshots._kept.clear()


def member(trained_by: Rule, start: dict, order: int | None, through: Stretch) -> Member:
    """A member whose name tells all of it."""
    found = Member("", trained_by, start, order, through)
    return replace(found, name=blake2b(json.dumps(found.to_json()).encode(), digest_size=12).hexdigest())


def stretch(clock: int, **changes) -> Stretch:
    return Stretch(**{"seed": 3, "first": clock, "clock": clock, "total": 24, "probes": PROBES, **changes})


def scheduled(name: str) -> Rule:
    data = rule(name).to_json()
    return Rule.from_json({**data, "schedule": {"warmup": 5, "decay": "cosine"}})


@pytest.mark.parametrize("name", ["adamw", "nadam", "nesterov"])
@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "from the file"])
def test_a_training_in_stretches_is_the_training_in_one(
    workload: Workload, tmp_path: Path, name: str, in_memory: bool
) -> None:
    trained_by = scheduled(name)
    (whole,) = train(workload, [trained_by], seed=3, steps=24, backend="eager")
    start: dict = {"seed": 3}
    for clock, steps in ((0, 9), (9, 6), (15, 9)):
        one = member(trained_by, start, None, stretch(clock))
        (part,) = grow(workload, [one], folder=str(tmp_path), steps=steps, backend="eager")
        start = {"copy": one.identity}
        if not in_memory:
            snapshots._kept.clear()
    for key in ("loss", "accuracy", "status"):
        assert part[key] == whole[key]
    assert part["curve"] == whole["curve"][-9:]


def running_statistics() -> Workload:
    generator = torch.Generator().manual_seed(0)
    pair = (torch.randn(64, 1, 4, 4, generator=generator), torch.arange(64) % 3)

    def model() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))

    return Workload(Task("statistics", model=model, train=pair, validation=pair, batch=16))


def test_running_statistics_go_on_too(tmp_path: Path) -> None:
    workload, sgd = running_statistics(), rule("sgd")
    (whole,) = train(workload, [sgd], seed=3, steps=8, backend="eager")
    first = member(sgd, {"seed": 3}, None, stretch(0))
    second = member(sgd, {"copy": first.identity}, None, stretch(4))
    for one in (first, second):
        (found,) = grow(workload, [one], folder=str(tmp_path), steps=4, backend="eager")
    assert found["loss"] == whole["loss"]


def members_of_two_generations(workload: Workload, folder: Path) -> list[Member]:
    adam = rule("adam")
    elders = [member(adam, {"seed": n}, 50 + n, stretch(0)) for n in range(4)]
    grow(workload, elders, folder=str(folder), steps=5, backend="eager")
    names = [one.identity for one in elders]
    how = {"share": 0.6, "rate": 0.05, "noise": "gaussian", "scale": 0.1}
    starts = [{"copy": names[0]}, {"seed": 9}]
    starts += [{"cross": names[i : i + 2], **how, "inherit": kind, "draw": i} for i, kind in enumerate(INHERIT)]
    return [member(adam, start, 70 + n, stretch(5)) for n, start in enumerate(starts)]


@pytest.mark.parametrize("stacking", ["products", "vmap", "single"])
def test_a_member_does_not_depend_on_its_company(tmp_path: Path, stacking: str) -> None:
    workload = Workload(find_task("digits-mlp"), stacking=stacking)
    one_row = stacking == "single"
    if one_row:
        members = members_of_two_generations(Workload(find_task("digits-mlp")), tmp_path)
    else:
        members = members_of_two_generations(workload, tmp_path)

    def grown(chunks: list[list[int]], rows: int) -> list:
        found: dict[int, tuple] = {}
        for chunk in chunks:
            outcomes = grow(
                workload, [members[i] for i in chunk], folder=str(tmp_path), steps=7, rows=rows, backend="eager"
            )
            found |= {i: (one["loss"], one["digest"], one["curve"]) for i, one in zip(chunk, outcomes, strict=True)}
        return [found[i] for i in range(len(members))]

    alone = grown([[0], [1], [2], [3], [4]], 1)
    assert len({digest for _, digest, _ in alone}) == 5
    snapshots._kept.clear()
    again = grown([[4], [2], [0], [1], [3]], 1) if one_row else grown([[4, 2, 0], [3, 1]], 4)
    assert again == alone


def test_probes_are_scored_in_order_and_the_last_counts(workload: Workload) -> None:
    probes = (("train", 64, 1), ("validation", 32, 2), ("validation", 10**9, 0))
    one = member(rule("adam"), {"seed": 1}, None, stretch(0, probes=probes))
    (found,) = grow(workload, [one], folder=None, steps=3, backend="eager")
    losses = [one["loss"] for one in found["probes"]]
    assert len(set(losses)) == 3
    assert losses[-1] == found["loss"]
    assert "digest" not in found


def test_a_member_survives_json() -> None:
    one = member(rule("adam"), {"seed": 1}, 4, stretch(0))
    assert Member.of(one.rule, json.loads(json.dumps(one.to_json()))) == one


WEIGHTS = 200_000
SEGMENTS = (Segment("a", 0, WEIGHTS, torch.Size([WEIGHTS])), Segment("b", WEIGHTS + 8, WEIGHTS + 20, torch.Size([12])))


def parents() -> list[Snapshot]:
    found, generator = [], torch.Generator().manual_seed(0)
    for sign in (1.0, -1.0):
        theta = torch.zeros(WEIGHTS + 24)
        for _, start, stop, _ in SEGMENTS:
            theta[start:stop] = sign * (2 + torch.rand(stop - start, generator=generator))
        found.append(Snapshot(theta, (sign * torch.ones_like(theta),), {"mean": torch.tensor(sign)}, 7))
    return found


def crossed(**how) -> Snapshot:
    plain = {"share": 0.7, "rate": 0.0, "noise": "uniform", "scale": 1.0, "inherit": "none", "draw": 5}
    first, second = parents()
    return child(first, second, {**plain, **how}, SEGMENTS)


@pytest.mark.parametrize("share", [0.0, 0.27, 0.5, 0.731, 1.0])
def test_crossover_takes_the_share_within_three_standard_errors(share: float) -> None:
    a, b = parents()
    found = crossed(share=share)
    from_a = found.theta[:WEIGHTS] > 0
    assert torch.equal(found.theta[:WEIGHTS], torch.where(from_a, a.theta[:WEIGHTS], b.theta[:WEIGHTS]))
    assert abs(from_a.double().mean() - share) <= 3 * (share * (1 - share) / WEIGHTS) ** 0.5
    neighbours = (from_a[1:] & from_a[:-1]).double().mean()  # independent draws: share² of pairs
    assert abs(neighbours - share**2) <= 5 * (share**2 * (1 - share**2) / WEIGHTS) ** 0.5 + 1e-12
    assert not found.theta[WEIGHTS : WEIGHTS + 8].any()


@pytest.mark.parametrize("noise", NOISES)
def test_mutation_hits_its_rate_within_three_standard_errors(noise: str) -> None:
    rate, before = (
        0.0098,
        torch.full((WEIGHTS,), 5.0) + torch.randn(WEIGHTS, generator=torch.Generator().manual_seed(1)),
    )
    after = mutated(before, rate, noise, 1.0 if noise == "uniform" else 0.5, torch.Generator().manual_seed(2))
    hit = after != before
    assert abs(hit.double().mean() - rate) <= 3 * (rate * (1 - rate) / WEIGHTS) ** 0.5
    count, new = int(hit.sum()), after[hit].double()
    if noise == "uniform":
        assert new.min() >= 0
        assert new.max() <= 1
        assert abs(new.mean() - 0.5) <= 3 * (1 / 12 / count) ** 0.5
    else:
        change = new - before[hit].double()
        assert abs(change.mean()) <= 3 * 0.5 / count**0.5
        assert abs(change.std() - 0.5) <= 3 * 0.5 / (2 * count) ** 0.5


def test_children_are_drawn_from_their_seed_alone() -> None:
    one, same, other = crossed(rate=0.1), crossed(rate=0.1), crossed(rate=0.1, draw=6)
    assert torch.equal(one.theta, same.theta)
    assert not torch.equal(one.theta, other.theta)


def test_states_are_inherited_as_asked() -> None:
    assert crossed(inherit="none").states == ()
    assert crossed(inherit="none").age == 0
    fitter = crossed(inherit="fitter", share=0.2)
    assert bool((fitter.states[0] == -1).all())
    assert fitter.buffers["mean"] == -1
    both = crossed(inherit="both")
    assert torch.equal(both.states[0][:WEIGHTS] > 0, both.theta[:WEIGHTS] > 0)
    assert both.age == fitter.age == 7


def written(tmp_path: Path) -> tuple[Path, str]:
    name = snapshots.put(str(tmp_path), "one", parents()[0])
    snapshots._kept.clear()
    return tmp_path / "one.safetensors", name


def test_a_snapshot_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path, digest = written(tmp_path)
    found, expected = snapshots.read(path, expected=digest), parents()[0]
    assert torch.equal(found.states[0], expected.states[0])
    assert found.buffers["mean"] == 1
    assert found.age == 7
    assert [one.name for one in tmp_path.iterdir()] == ["one.safetensors"]


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "text", "changed", "folder", "other"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str) -> None:
    path, digest = written(tmp_path)
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "changed":
        path.write_bytes(data[:-5] + b"xxxxx")
    elif damage == "other":
        from safetensors.torch import save

        path.write_bytes(save({"weight": torch.ones(3)}))
        digest = None
    elif damage != "gone":
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "text": b"hello" * 100}[damage])
    with pytest.raises(UserError, match=r"weights file .*one\.safetensors cannot be used .*restore it") as error:
        snapshots.read(path, expected=digest if damage == "changed" else None)
    assert "\n" not in str(error.value)


def test_weights_of_another_model_are_refused(workload: Workload, tmp_path: Path) -> None:
    written(tmp_path)
    one = member(rule("adam"), {"copy": "one"}, None, stretch(0))
    with pytest.raises(RunFailed, match="of another model than that of task 'digits-mlp'"):
        grow(workload, [one], folder=str(tmp_path), steps=1, backend="eager")


def test_schedules_go_by_the_clock_and_corrections_by_age(workload: Workload) -> None:
    """A child whose states start anew late in a schedule: t is 1, the learning rate is that of the clock."""
    decayed = scheduled("adam")
    late = member(decayed, {"seed": 3}, None, stretch(20, first=0))
    constant = Rule.from_json({**rule("adam", lr=decayed.lr * float(Schedule(5, "cosine").factor(20, 24))).to_json()})
    plain = member(constant, {"seed": 3}, None, stretch(0))
    found = [grow(workload, [one], folder=None, steps=1, backend="eager")[0]["loss"] for one in (late, plain)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)

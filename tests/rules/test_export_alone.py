"""Exported files alone: schedules, compiling, a folder without symevo, two processes."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from export_files import module_of
from optimizer_models import model, same, train, weight
from torch.optim import lr_scheduler as schedules

from symevo.rules.classic import CLASSICS
from symevo.rules.export import source
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule


@pytest.mark.parametrize(
    "schedule",
    [Schedule(3, "linear"), Schedule(0, "linear"), Schedule(0.3, "constant"), Schedule(0, "constant", 2, 0.7),
     Schedule(2, "cosine", 3, 0.5)],
    ids=str,
)  # fmt: skip
def test_schedules(schedule):
    one = Rule(Program.parse("theta = theta - lr*g"), {}, schedule)
    found = module_of(source(one))
    for total, step in itertools.product((1, 10), range(12)):
        assert found._schedule(step, total) == pytest.approx(float(schedule.factor(step, total)), rel=1e-15)


def test_a_number_compiles_nothing(monkeypatch):
    found = module_of(source(CLASSICS.get("adamw"), name="Found"))
    net = model()
    optimizer = found.Found(net.parameters(), 0.01)
    compiled = []
    make = found._compile
    monkeypatch.setattr(found, "_compile", lambda *args: compiled.append(args) or make(*args))
    scheduler = schedules.ExponentialLR(optimizer, 0.9)
    train(net, optimizer, 3, scheduler=scheduler)
    assert len(compiled) == 1
    optimizer.param_groups[0].update(weight_decay=0.5, eps=1e-3)
    optimizer.add_param_group({"params": [weight(9, 9)], "beta1": 0.5})
    train(net, optimizer, 3, scheduler=scheduler)
    assert len(compiled) == 1


def test_no_compiler_gives_one_warning(monkeypatch):
    found = module_of(source(CLASSICS.get("adamw"), name="Found"))

    def broken(*args):
        raise RuntimeError("no C++ compiler\nfound")

    monkeypatch.setattr(found, "_compile", broken)
    nets = model(), model()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(nets[0], found.Found(nets[0].parameters(), 0.01), 3)
        train(nets[1].double(), found.Found(nets[1].parameters(), 0.01), 3)
    assert [str(one.message) for one in said] == [
        "no compiled steps: torch.compile does not work here (RuntimeError: no C++ compiler found)"
    ]
    other = model()
    train(other, found.Found(other.parameters(), 0.01, compile=False), 3)
    assert same(nets[0], other)


_ALONE = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("symevo", "numba", "deap", "scipy", "typer", "rich"):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Block())
sys.path.insert(0, sys.argv[1])
import torch
from found import Found, split_decay

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
for compile in (False, True):
    optimizer = Found(split_decay(net), lr=0.01, compile=compile)
    for _ in range(20):
        optimizer.zero_grad()
        loss = (net(torch.ones(3, 4)) - 1).square().mean()
        loss.backward()
        optimizer.step()
assert loss < 0.5, loss
assert not any(name.split(".")[0] == "symevo" for name in sys.modules)
print("alone")
"""


@pytest.mark.slow
def test_a_file_needs_torch_alone(tmp_path: Path):
    (tmp_path / "found.py").write_text(source(CLASSICS.get("adamw"), name="Found"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "alone\n"


_RANK = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
import torch.distributed as dist
from found import Found

rank = int(sys.argv[2])
dist.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=2)
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
parallel = torch.nn.parallel.DistributedDataParallel(net)
optimizer = Found(parallel.parameters(), lr=0.01)
x = torch.randn(8, 4, generator=torch.Generator().manual_seed(rank))
for _ in range(5):
    optimizer.zero_grad()
    parallel(x).square().mean().backward()
    optimizer.step()
torch.save([param.detach() for param in net.parameters()], sys.argv[1] + f"/rank{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_distributed_data_parallel(tmp_path: Path):
    (tmp_path / "found.py").write_text(source(CLASSICS.get("adamw"), name="Found"), encoding="utf-8")
    ranks = [
        subprocess.Popen([sys.executable, "-c", _RANK, str(tmp_path), str(rank), str(tmp_path / "store")])
        for rank in range(2)
    ]
    try:
        assert [one.wait(timeout=240) for one in ranks] == [0, 0]
    finally:
        for one in ranks:
            one.kill()
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

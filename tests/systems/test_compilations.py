"""A search compiles one update kernel for each shape of weights, whatever its candidates are."""

from __future__ import annotations

import pytest
import torch

from symevo.evolution.evolve import start
from symevo.rules.backends import compiled
from symevo.settings.resolution import resolve
from symevo.tasks import TASKS, Workload

TWO_TASKS = ["digits-mlp", "quadratic"]


@pytest.mark.slow
def test_twenty_generations_compile_one_kernel_a_task(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "_kernels", {})
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    chosen = {"tasks": TWO_TASKS, "population": 10, "generations": 20, "steps": 5, "seeds": 1, "rows": 5}
    with torch._dynamo.config.patch(error_on_recompile=True):
        run = start(resolve({**chosen, "out": tmp_path / "run"}), engine="inline")
    widths = [Workload(TASKS.get(name)()).width for name in TWO_TASKS]
    assert compiled.compilations() == {(5, width): 1 for width in widths}
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == len(TWO_TASKS)
    assert len(run.history) == 20
    assert len({record["evaluations"] for record in run.history}) > 1  # the number of candidates did change

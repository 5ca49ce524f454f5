"""A search compiles one update kernel for each shape of weights, whatever its candidates are."""

from __future__ import annotations

import torch

from symevo.rules import kernel


def test_twenty_generations_compile_one_kernel_a_task(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "_cache", {})
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with torch._dynamo.config.patch(error_on_recompile=True):
        from symevo.systems.api import start

        run = start(_settings(tmp_path / "run"), engine="inline")
    rows = {("digits-mlp", 2410): 5, ("quadratic", 32): 5}
    assert kernel.compilations() == {(count, weights): 1 for (_, weights), count in rows.items()}
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == len(rows)
    sizes = {record["evaluations"] for record in run.history}
    assert len(run.history) == 20
    assert len(sizes) > 1  # the number of candidates did change


def _settings(out):
    from symevo.config import resolve

    return resolve({"tasks": ["digits-mlp", "quadratic"], "population": 10, "generations": 20, "steps": 5, "seeds": 1,
                    "rows": 5, "out": out})  # fmt: skip

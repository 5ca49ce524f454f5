"""``--quiet``: nothing on standard error, whatever libraries have to say, here and in workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

NOISY = """
import sys, warnings
import torch
import symevo
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(4, 2)
    def forward(self, x):
        warnings.warn("a library of mine")
        return torch.renorm(self.inner(x), 2, 0, 1.0)  # torch has no batching rule for it, and warns
x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
pair = x, (x[:, 0] > 0).long()
symevo.Task("noisy", model=Net, train=pair, validation=pair, stacking="vmap")
"""


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_is_quiet(tmp_path: Path, quiet: bool) -> None:
    (tmp_path / "noisy.py").write_text(NOISY)
    small = "--population 4 --generations 1 --elites 1 --tournament 2 --steps 2 --seeds 1 --backend eager"
    line = f"run --tasks-from noisy.py --engine serial --out run --json {small}{' --quiet' * quiet}"
    command = [sys.executable, "-m", "symevo", *line.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["evaluations"] == 4
    for text in ("a library of mine", "batching rule"):
        assert done.stderr.count(text) >= (0 if quiet else 2)  # here and in a worker
    assert not quiet or done.stderr == ""

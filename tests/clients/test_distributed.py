"""Two processes that train one model, over gloo on the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from client_checks import Client, Fit, Outcome

pytestmark = [
    pytest.mark.clients,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed"),
]

ROOT = Path(__file__).parent.parent.parent
LIMIT = 480
"""Seconds after which two processes that wait for each other are ended."""


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes left what every distributed client came to."""
    folder = tmp_path_factory.mktemp("ranks")
    script = Path(__file__).with_name("client_ranks.py")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = []
    try:
        for rank in "01":
            with (folder / f"log{rank}").open("w") as log:
                command = [sys.executable, str(script), rank, str(folder)]
                processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT))
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline and any(one.poll() is None for one in processes):
            time.sleep(0.1)
    finally:
        for one in processes:
            one.kill()
            one.wait()
    return folder


class Distributed(Client):
    """Trains in two processes, which are started once for all clients, forms and rules."""

    package = "torch"
    key: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _ranks(self, ranks: Path) -> None:
        self.folder = ranks

    def _outcome(self, form: str, rule: str) -> Outcome:
        path = self.folder / f"{self.key}.pt"
        assert path.exists(), "\n".join((self.folder / f"log{rank}").read_text()[-2000:] for rank in "01")
        found = torch.load(path, weights_only=True)[form, rule]
        assert isinstance(found, dict), found
        return Outcome(**{name: Fit(**fit) for name, fit in found.items()})


class TestDistributedDataParallel(Distributed):
    name, key = "`DistributedDataParallel`", "ddp"


class TestZero(Distributed):
    name, key = "`ZeroRedundancyOptimizer`", "zero"


class TestFsdp2(Distributed):
    name, key = "FSDP2 (`fully_shard`), distributed checkpoints", "fsdp2"


class TestPlainWeightsBesideShards(Distributed):
    name, key = "FSDP2 with plain weights beside shards, flat checkpoints", "mixed"

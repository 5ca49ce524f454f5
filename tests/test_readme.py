"""The README: its Python runs as it stands, and its commands are where `.ci/run` looks for them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_python_of_the_readme_runs(source: str, tmp_path: Path) -> None:
    (tmp_path / "readme_block.py").write_text(source, encoding="utf-8")
    done = python("readme_block.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_task_of_the_readme_reaches_every_engine(tmp_path: Path) -> None:
    source = next(block for block in BLOCKS if block.startswith("# my_task.py"))
    (tmp_path / "my_task.py").write_text(source, encoding="utf-8")
    flags = "--population 6 --generations 2 --steps 5 --seeds 1 --backend eager --engine process --workers 2"
    done = python("-m", "symevo.run", "--tasks-from", "my_task.py", "--tasks", "parity", *flags.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "parity" in done.stdout


@pytest.mark.parametrize("name", ["run", "test"])
def test_each_command_is_one_line_between_its_markers(name: str) -> None:
    found = re.findall(rf"<!-- command: {name} -->\n```bash\n(.*?)\n```\n<!-- /command -->", TEXT, re.DOTALL)
    assert len(found) == 1
    assert "\n" not in found[0]

"""What inductor keeps on disk for one processor is not read by another."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from export_files import module_of
from torch import nn
from torch._dynamo.utils import counters
from torch._inductor import compile_fx, config, cpu_vec_isa, utils

from symevo.native.inductor import flat_kernel
from symevo.rules.backends.compiled import Kernel, TensorUpdate
from symevo.rules.classic import CLASSICS
from symevo.rules.export.writer import source

PROGRAM = CLASSICS.get("sgd").program


def flat() -> None:
    flat_kernel(lambda theta, slots: theta.mul_(slots[0]), [torch.float32], torch.ones(1), threads=1)


def layout() -> None:
    with torch.no_grad():
        TensorUpdate(PROGRAM)._update_layout([([torch.ones(3), torch.ones(3)], torch.ones(2))])


def rows() -> None:
    theta = torch.ones(2, 3)
    Kernel(PROGRAM, "compiled")(theta, theta.clone(), [], torch.ones(2, 2, 1), torch.ones(2, 1, dtype=torch.bool))


def exported() -> None:
    param = nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    module_of(source(CLASSICS.get("sgd"), name="Found")).Found([param]).step()


class Seen(BaseException):
    """No Exception, so that nothing takes it for a missing compiler."""


@pytest.mark.parametrize("width", [0, 256, 512])
@pytest.mark.parametrize("make", [flat, layout, rows, exported])
def test_the_width_of_vectors_is_set_by_name(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], None], width: int
) -> None:
    """Then it is part of inductor's key, as all its settings are."""

    def stop(graph: Any, *_: Any) -> Any:
        raise Seen(config.cpp.simdlen)

    monkeypatch.setattr(cpu_vec_isa, "pick_vec_isa", lambda: SimpleNamespace(bit_width=lambda: width))
    monkeypatch.setattr(compile_fx, "compile_fx", stop)
    with pytest.raises(Seen) as seen:
        make()
    assert seen.value.args == (width,)
    assert config.cpp.simdlen is None


@pytest.mark.slow
def test_other_vectors_are_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with utils.fresh_cache():
        counters.clear()
        flat()
        flat()
        assert (counters["inductor"]["fxgraph_cache_miss"], counters["inductor"]["fxgraph_cache_hit"]) == (1, 1)
        before = cpu_vec_isa.pick_vec_isa()
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
        flat()
        misses = 2 if before else 1  # a processor may have no vectors that inductor knows
        assert counters["inductor"]["fxgraph_cache_miss"] == misses

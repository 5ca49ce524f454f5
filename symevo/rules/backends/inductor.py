"""torch's inductor, asked so that no processor is given the code of another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def compile_graph(
    graph: Any, inputs: Any, inner: Callable[..., Any] | None = None, settings: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Compile a graph, or take what an earlier process compiled for vectors of the same width.

    The loops that inductor writes take one vector of the processor at a time, but the key of what it keeps on disk
    names no processor: a loop that was written for AVX-512 and is read under AVX2 leaves half of the weights as they
    were. The width becomes part of the key when it is set by name. It is the one that inductor takes anyway, so no
    code changes.

    Args:
        graph: What to compile.
        inputs: Its example inputs.
        inner: What compiles the graph once it is functional; None: inductor's own.
        settings: More settings of inductor, by name.
    """
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    with config.patch({"cpp.simdlen": pick_vec_isa().bit_width(), **(settings or {})}):
        return compile_fx(graph, inputs, *([inner] if inner else []))  # type: ignore[return-value]

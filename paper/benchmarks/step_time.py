"""What a step of ``symevo.Optimizer`` costs on a CPU, beside torch's fused AdamW.

For models of 13 thousand, 0.8 million and 10 million weights, with one and with two threads: a whole ``step()`` of
rules given as program text (``RULES``), and of the files that ``symevo export`` writes of some of them, over one of
``torch.optim.AdamW(fused=True)``. Beside them torch's AdamW in its other forms, and those of ``LIBRARIES``; why one of
these has no row stands in ``missing``. Gradients are fixed numbers. ``again`` is torch's fused AdamW a second time: how
far two identical runs are apart.

Slices of equally many steps alternate, and a ratio is the median over the rounds, with the smallest and the largest of
them: of the time on the clock, and of the processor's. ``load`` is how many processes wanted a core (a minute's mean);
where others work too, take many short slices and keep threads on their cores (OMP_PROC_BIND=true). ``GB/s`` is what a
step moves at least, every buffer read once and what changes written once, by its time on the clock; a plain copy of as
much memory as the weights take stands beside it.

    python paper/benchmarks/step_time.py [--models 13k,0.8M,10M] [--threads 1,2] [--rounds 9] [--seconds 0.1]
        [--out FILE.json]

Prints one JSON line for each model and number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module, util
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from machine import about

import symevo
from symevo.rules.program import Program

MODELS: dict[str, list[tuple[int, ...]]] = {
    "13k": [(16, 784), (16,), (10, 16), (10,)],
    "0.8M": [(32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (256, 3136), (256,), (10, 256), (10,)],
    "10M": [(2048, 784), (2048,), (2048, 2048), (2048,), (2048, 2048), (2048,), (10, 2048), (10,)],
}
"""Shapes of the parameters: a perceptron, the CNN of arXiv 2512.11853 for 28×28 pixels, another perceptron."""

MOMENTS = "m = beta1*m + (1 - beta1)*g; v = beta2*v + (1 - beta2)*g**2"
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "adamw as text": (
        f"{MOMENTS}; theta = theta - lr*(m/(1 - beta1**t)/(sqrt(v/(1 - beta2**t)) + eps) + wd*theta)",
        {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "wd": 0.01},
    ),
    "published winner": (  # arXiv 2512.11853, with the numbers of its code
        f"{MOMENTS}; w = theta*(1 - lr*wd); theta = w - lr*(a4*sign(g) + a3*m/(sqrt(v) + eps))",
        {"beta1": 0.8553020861538518, "beta2": 0.9357561078635277, "eps": 10**-8.26423960220415,
         "wd": 10**-3.0112238437153316, "a4": 0.41205802174892475 + 0.32238621456272765,
         "a3": 2.0030004279455267 + 1.6322011630060542},
    ),
    "expression": (  # ratio(ema_hat(g), root(ema(square(g)))) with a sign, as `symevo run expression` finds them
        "m = beta1*m + (1 - beta1)*g; v = beta2*v + (1 - beta2)*square(g); "
        "theta = theta - lr*(ratio(m/(1 - beta1**t), root(v)) + 0.3*sign(m - 0.5*g) + wd*theta)",
        {"beta1": 0.9, "beta2": 0.99, "wd": 0.01},
    ),
    "evolved": (  # the best rule of `symevo run expression`
        "m = beta1*m + (1 - beta1)*g; m2 = beta2*m2 + (1 - beta2)*(g/(root(g) + 1e-08)); "
        "theta = theta - lr*(beta3*m + (1 - beta3)*m2)",
        {"beta1": 0.6019295617161939, "beta2": 0.9651650945318988, "beta3": 0.3352133826672331,
         "lr": 0.07581955897420996},
    ),
    "with tanh": (
        "m = beta1*m + (1 - beta1)*tanh(g/s); theta = theta - lr*(m + wd*theta)", {"beta1": 0.9, "s": 0.01, "wd": 0.01},
    ),
    "with log": (
        f"{MOMENTS}; theta = theta - lr*(signed_log(m/(sqrt(v) + eps)) + wd*theta)",
        {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "wd": 0.01},
    ),
}  # fmt: skip
EXPORTED = ("adamw as text", "published winner", "expression")
"""Rules that are measured as exported files too."""
_PLAIN = {"13k": 1.0, "0.8M": 1.0, "10M": 1.05}
GOALS = {
    **dict.fromkeys(("adamw as text", "published winner", "expression", "evolved"), _PLAIN),
    **{f"exported: {name}": _PLAIN for name in EXPORTED},
    **dict.fromkeys(("with tanh", "with log"), dict.fromkeys(MODELS, 1.3)),
}
"""At most so many times the time of torch's fused AdamW."""
LIBRARIES: dict[str, tuple[str, dict[str, Any]]] = {
    "heavyball": ("AdamW", {"lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.01}),
    "pytorch_optimizer": ("StableAdamW", {"lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.01}),
}
"""AdamW of other libraries. What pytorch_optimizer calls so is torch's; this is its own, with clipped updates."""


class Cost(NamedTuple):
    """Seconds of a step: on the clock, and of the processor."""

    clock: float
    processor: float


def parameters(model: str) -> list[nn.Parameter]:
    torch.manual_seed(0)
    found = [nn.Parameter(0.1 * torch.randn(shape)) for shape in MODELS[model]]
    for param in found:
        param.grad = 0.01 * torch.randn_like(param)
    return found


class Ways(NamedTuple):
    """A step of each optimizer, how long ours compiled, and why others are not there."""

    steps: dict[str, Callable[[], Any]]
    compiled: dict[str, float]
    missing: dict[str, str]


def ways(model: str) -> Ways:
    adamw, params = torch.optim.AdamW, parameters
    found = Ways({}, {}, {})
    found.steps["fused"] = adamw(params(model), fused=True).step
    found.steps["again"] = adamw(params(model), fused=True).step
    found.steps["foreach"] = adamw(params(model), foreach=True).step
    found.steps["for-loop"] = adamw(params(model), foreach=False).step
    for name, (text, hyper) in RULES.items():
        optimizer = symevo.Optimizer(params(model), text, **hyper)
        optimizer.step()
        found.steps[name], found.compiled[name] = optimizer.step, round(optimizer.compile_seconds, 2)
    for name in EXPORTED:
        found.steps[f"exported: {name}"] = exported(name)(params(model)).step
    for library in LIBRARIES:
        try:
            found.steps[library] = _of_library(library, params(model))
        except Exception as error:  # noqa: BLE001 - not installed, or it does not work here: no common class
            found.missing[library] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    source = [param.detach() for param in params(model)]
    target = [torch.empty_like(x) for x in source]
    found.steps["copy"] = lambda: [x.copy_(y) for x, y in zip(target, source, strict=True)]
    return found


@cache
def exported(name: str) -> Any:
    """The class in the file that ``symevo export`` writes of one of ``RULES``."""
    text, hyper = RULES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = symevo.export(symevo.rule(text, **hyper), Path(folder) / "exported.py", name="Exported")
        spec = util.spec_from_file_location("exported", path)
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.Exported


def _of_library(library: str, params: list[nn.Parameter]) -> Callable[[], Any]:
    """A step of another library's optimizer, which has worked once."""
    name, hyper = LIBRARIES[library]
    step = _with_gradients(getattr(import_module(library), name)(params, **hyper).step, params)
    step()
    return step


def _with_gradients(step: Callable[[], Any], params: list[nn.Parameter]) -> Callable[[], Any]:
    """A step that finds its gradients: heavyball takes them away."""
    grads = [param.grad for param in params]

    def whole() -> None:
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        step()

    return whole


def run(step: Callable[[], Any], count: int) -> Cost:
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        step()
    return Cost((time.perf_counter() - clock) / count, (time.process_time() - processor) / count)


def measure(model: str, *, threads: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Times, ratios and throughput of one model with some threads."""
    torch.set_num_threads(threads)
    steps, compiled, missing = ways(model)
    weights = sum(param.numel() for param in parameters(model))
    for step in steps.values():
        run(step, 3)
    count = max(2, int(seconds / run(steps["fused"], 10).processor))
    costs: dict[str, list[Cost]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()  # what it reads lies in the cache again, as far as it fits
            costs[name].append(run(step, count))
    found: dict[str, Any] = {"model": model, "weights": weights, "tensors": len(MODELS[model]), "threads": threads}
    for part in Cost._fields:
        times = {name: [getattr(cost, part) for cost in some] for name, some in costs.items()}
        ratios = {name: _ratio(some, times["fused"]) for name, some in times.items() if name not in ("fused", "copy")}
        microseconds = {name: round(1e6 * statistics.median(some), 1) for name, some in times.items()}
        found[part] = {"us": microseconds, "over fused": ratios}
    moved = {name: 4 * weights * _buffers(name) for name in steps}
    clock = {name: statistics.median(cost.clock for cost in some) for name, some in costs.items()}
    found["GB/s"] = {name: round(moved[name] / clock[name] / 1e9, 2) for name in steps}
    goals = {name: goal[model] for name, goal in GOALS.items()}
    how = {"rounds": rounds, "slice_seconds": seconds, "load": round(os.getloadavg()[0], 2)}
    return found | {"compile_seconds": compiled, "missing": missing, "goals": goals, **how}


def _buffers(name: str) -> int:
    """How often a step must read or write a number for each weight: a copy 2, AdamW 7."""
    rule = name.removeprefix("exported: ")
    if rule not in RULES:
        return 2 if name == "copy" else 7
    return 3 + 2 * len(Program.parse(RULES[rule][0]).states)


def _ratio(own: list[float], base: list[float]) -> dict[str, float]:
    ratios = sorted(a / b for a, b in zip(own, base, strict=True))
    each = {"ratio": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]}
    return {name: round(value, 2) for name, value in each.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.1, help="of the processor, for a slice of fused")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    head = about() | {"cores": os.cpu_count()}  # this thread may have one alone: threads can be kept on their cores
    for threads in map(int, options.threads.split(",")):
        for model in options.models.split(","):
            found.append(measure(model, threads=threads, rounds=options.rounds, seconds=options.seconds))
            print(json.dumps(found[-1]), flush=True)
            if options.out:
                options.out.write_text(json.dumps({"about": head, "rules": RULES, "measured": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()

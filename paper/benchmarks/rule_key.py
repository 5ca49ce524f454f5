"""Time of the canonical key of a long program: prints one JSON object.

python paper/benchmarks/rule_key.py > paper/results/rule_key.json
"""

from __future__ import annotations

import json
import statistics
import time

from machine import about

from symevo.rules.program import Program, structural_key

REPEATS = 200


def long_program(lines: int) -> Program:
    """Adam's first lines over and over, each round on the last one's result."""
    text = ["x0 = g"]
    while len(text) < lines - 2:
        i = (len(text) - 1) // 2
        text.append(f"m{i} = beta1*m{i} + (1 - beta1)*x{i}")
        text.append(f"x{i + 1} = m{i}/(sqrt(abs(x{i})*v + eps) + tanh(m{i}*c)*(1 - beta2**t))")
    text = text[: lines - 2]
    return Program.parse([*text, f"v = beta2*v + (1 - beta2)*x{i}**2", f"theta = theta - lr*(x{i} + v*theta)"])


def seconds(program: Program) -> list[float]:
    """One time for each of many calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        structural_key(program)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    program = long_program(30)
    times = seconds(program)
    parsing = time.perf_counter()
    Program.parse(program.lines)
    parsing = time.perf_counter() - parsing
    result = {
        "lines": len(program.lines),
        "nodes": program.complexity,
        "states": len(program.memory),
        "key_ms_median": 1e3 * statistics.median(times),
        "key_ms_max": 1e3 * max(times),
        "parse_ms": 1e3 * parsing,
        "repeats": REPEATS,
    }
    print(json.dumps({"about": about()} | result, indent=1))


if __name__ == "__main__":
    main()

"""What a generation of new structures costs: free-form rules against term-sum.

50 candidates train on fashion-mlp as a search trains them: in chunks of the measured number of rows, in one process
with one thread. In the same run:

- ``interpreter``: random free-form rules, no two of one program, in the interpreter;
- ``transcendental``: the same, with tanh, signed_log or bounded_exp in every tree;
- ``term_sum``: term-sum candidates in their compiled kernel. Compiling it is left out: a search does that once;
- ``eager``: the free-form rules, each in its own eager kernel over one row;
- ``one_compile``: the free-form rules of a chunk as one function of that many programs, compiled by torch.

A generation is measured in parts. Once a generation: making rules from genomes, probing and telling them apart, making
the update and the slot tables of all steps, evaluation. Once a step: gradients and update, in slices of some steps that
alternate between the contestants, so that what else the machine does falls on all alike. Times are those that the
processor spent on this process, for the same reason; only that of compiling, which torch does in other processes, is by
the clock. ``seconds`` is the sum for ``--steps`` steps, and a ratio of it to ``term_sum`` is the median over rounds of
the ratio within the round. Loops of the interpreter are loaded from disk where an earlier process compiled them, as in
a search.

    python paper/benchmarks/expression_cost.py [--steps 3000] [--rounds 9] [--slice 60] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from machine import about

from symevo.genomes.base import Genome
from symevo.genomes.expression.genome import Expression
from symevo.genomes.term_sum.genome import TermSum
from symevo.rules.backends.base import Update, update_for
from symevo.rules.backends.compiled import kernel_for
from symevo.rules.backends.graph import step_graph
from symevo.rules.backends.lowering import lower
from symevo.rules.rule import Rule
from symevo.tasks import TASKS, Workload
from symevo.training.lockstep import Course, lockstep, slot_table

POPULATION = 50
TASK = "fashion-mlp"
CPU = torch.device("cpu")
TRANSCENDENTAL = frozenset({"tanh", "signed_log", "bounded_exp"})


class PerRow:
    """Kernels of one row each, called one after another."""

    def __init__(self, rules: Sequence[Rule], weights: int) -> None:
        self.kernels = [
            kernel_for(rule.program, (1, weights), dtype=torch.float32, device=CPU, backend="eager") for rule in rules
        ]
        self.states = max(kernel.states for kernel in self.kernels)
        self.slots = [kernel.lowered.slots for kernel in self.kernels]

    def table(self, hypers: Any, lrs: Any, total: int) -> torch.Tensor:
        found = torch.zeros(total, max(self.slots), len(hypers), 1, dtype=torch.float64)
        for row, (kernel, hyper, lr) in enumerate(zip(self.kernels, hypers, lrs, strict=True)):
            found[:, : self.slots[row], row : row + 1] = kernel.table([hyper], [lr], total)
        return found

    def __call__(self, theta: Any, grad: Any, states: Any, slots: Any, alive: Any) -> None:
        for row, kernel in enumerate(self.kernels):
            at = slice(row, row + 1)
            memory = [state[at] for state in states[: kernel.states]]
            kernel(theta[at], grad[at], memory, slots[: self.slots[row], at], alive[at])


class OneCompile(PerRow):
    """All programs in one function for torch.compile; it is compiled at the first call."""

    def __init__(self, rules: Sequence[Rule], weights: int) -> None:
        super().__init__(rules, weights)
        graphs = [step_graph(lower(rule.program)) for rule in rules]
        counts = [(kernel.states, slots) for kernel, slots in zip(self.kernels, self.slots, strict=True)]

        def update(theta: Any, grad: Any, states: Any, slots: Any, alive: Any) -> None:
            memory = [theta, *states]
            rows = []
            for row, (graph, (kept, numbers)) in enumerate(zip(graphs, counts, strict=True)):
                # Copies that the compiler removes; rows written in place would each copy the whole stack.
                rows.append([tensor[row].clone() for tensor in memory[: 1 + kept]])
                graph(rows[-1][0], grad[row], *rows[-1][1:], slots[:numbers, row], alive[row])
            for index, tensor in enumerate(memory):
                found = [mine[index] if index < len(mine) else tensor[row] for row, mine in enumerate(rows)]
                tensor.copy_(torch.stack(found))

        self.function = torch.no_grad()(torch.compile(update, dynamic=False, fullgraph=True))

    def __call__(self, theta: Any, grad: Any, states: Any, slots: Any, alive: Any) -> None:
        self.function(theta, grad, states, slots, alive)


@dataclass
class Contestant:
    """A population and how it is updated.

    Attributes:
        once: Seconds once a generation, by part.
        compiling: Seconds of the first step, by the clock.
        step: Seconds of one step of the whole population, one number a round.
    """

    name: str
    genome: Genome
    people: list[Any]
    make: Callable[[Sequence[Rule]], Update]
    once: dict[str, float] = field(default_factory=dict)
    compiling: float = 0.0
    step: list[float] = field(default_factory=list)
    chunks: list[tuple[Any, Update, torch.Tensor]] = field(default_factory=list)

    def prepare(self, workload: Workload, steps: int, *, judged: bool) -> None:
        """All that is done once a generation, each part with its time."""

        def timed(part: str, work: Callable[[], Any]) -> Any:
            start = time.process_time()
            found = work()
            self.once[part] = self.once.get(part, 0.0) + time.process_time() - start
            return found

        gc.collect()
        rules = timed("express", lambda: [self.genome.candidate(one) for one in self.people])
        if judged:
            timed("probe", lambda: [self.genome.reject(one) for one in self.people])
            timed("identity", lambda: [self.genome.identity(rule) for rule in rules])
        rules = timed("transport", lambda: [Rule.from_json(json.loads(json.dumps(r.to_json()))) for r in rules])
        for at in range(0, len(rules), workload.max_rows):
            chunk = rules[at : at + workload.max_rows]
            chunk += [chunk[0]] * (workload.max_rows - len(chunk))
            session = workload.rows(len(chunk))
            if not judged and not at:  # one kernel for the whole search
                self.make(chunk)
            update = timed("update", lambda: self.make(chunk))  # noqa: B023
            slots = timed("slots", lambda: slot_table(update, chunk, steps).to(torch.float32))  # noqa: B023
            timed("start", lambda: session.start(0))  # noqa: B023
            self.chunks.append((session, update, slots))
            timed("evaluation", session.evaluate)
        start = time.perf_counter()
        self.run(0, 1)
        self.compiling = time.perf_counter() - start

    def run(self, first: int, steps: int) -> float:
        """Seconds a step."""
        passed = 0.0
        for session, update, slots in self.chunks:
            session.start(0)
            start = time.process_time()
            lockstep(session, update, slots[first : first + steps], Course(0), limit=float("inf"), live=slots.shape[2])
            passed += time.process_time() - start
        return passed / steps

    def seconds(self, steps: int, step: float, *, compiling: bool = False) -> float:
        return sum(self.once.values()) + steps * step + (self.compiling if compiling else 0.0)


def new_structures(genome: Expression, count: int, *, wanted: frozenset[str] = frozenset()) -> list[Any]:
    """Random individuals that a search would train, no two of one program."""
    found: dict[tuple[str, ...], Any] = {}
    while len(found) < count:
        one = genome.create()
        if (wanted and wanted.isdisjoint(node.name for node in one)) or genome.reject(one) is not None:
            continue
        found.setdefault(genome.express(one).program.lines, one)
    return list(found.values())


def contestants(width: int) -> list[Contestant]:
    random.seed(0)
    free, sums = Expression(), TermSum()
    people = new_structures(free, POPULATION)
    curved = new_structures(free, POPULATION, wanted=TRANSCENDENTAL)

    def backend(name: str) -> Callable[[Sequence[Rule]], Update]:
        return lambda rules: update_for(
            [r.program for r in rules], width, dtype=torch.float32, device=CPU, backend=name
        )

    return [
        Contestant("term_sum", sums, [sums.create() for _ in range(POPULATION)], backend("compiled")),
        Contestant("interpreter", free, people, backend("interpreter")),
        Contestant("transcendental", free, curved, backend("interpreter")),
        Contestant("one_compile", free, people, lambda rules: OneCompile(rules, width)),
        Contestant("eager", free, people, lambda rules: PerRow(rules, width)),
    ]


def forget() -> None:
    """Empties what this process remembers of programs: structures are new to it."""
    from symevo.genomes.expression import genome as expression
    from symevo.genomes.expression import rule as expression_rule
    from symevo.rules.backends import interpreter

    for known in (expression._probe, expression_rule.direction, interpreter.assembled):
        known.cache_clear()


def measure(steps: int, rounds: int, slice_: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    workload = Workload(TASKS.get(TASK)())
    field_ = contestants(workload.width)
    for one in field_:
        forget()
        one.prepare(workload, steps, judged=one.name != "term_sum")
    for index in range(rounds):
        first = slice_ * index % (steps - slice_)
        for one in field_:
            one.step.append(one.run(first, slice_))
    base = field_[0]
    rows = {}
    for one in field_:
        middle = statistics.median(one.step)
        compiling = one.compiling if one.name in ("one_compile", "term_sum") else 0.0
        whole = [one.seconds(steps, step, compiling=one.name == "one_compile") for step in one.step]
        ratios = [a / base.seconds(steps, b) for a, b in zip(whole, base.step, strict=True)]
        rows[one.name] = {
            "ratio": round(statistics.median(ratios), 3),
            "ratio_low": round(min(ratios), 3),
            "ratio_high": round(max(ratios), 3),
            "seconds": round(statistics.median(whole), 2),
            "ms_a_step": round(1e3 * middle, 3),
            "compile_seconds": round(compiling, 2),
            "once_ms": {part: round(1e3 * value, 1) for part, value in one.once.items()},
            "structures": len({one.genome.express(x).program.lines for x in one.people}),
            "mean_size": round(statistics.mean(one.genome.express(x).complexity for x in one.people), 1),
        }
    return {"task": TASK, "population": POPULATION, "rows": workload.max_rows, "steps": steps, "contestants": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--slice", type=int, default=60)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = measure(options.steps, options.rounds, options.slice)
    text = json.dumps({"about": about(), "rounds": options.rounds, "slice": options.slice} | found, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()

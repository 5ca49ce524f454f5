"""What a run found: the verdict, the best rule, the front, and what networks leave."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from statistics import fmean, stdev
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

from markupsafe import Markup

from symevo.reporting.compared import Comparison
from symevo.reporting.figures import by_generation, schedule_steps, shares
from symevo.reporting.figures.points import trade_off
from symevo.reporting.html.parts import (
    FigureWriter,
    PageContext,
    Part,
    Section,
    code,
    details,
    marked,
    table,
    text,
)
from symevo.reporting.text.runs import SCORES
from symevo.reporting.text.tables import number, shown, tree_of

MAX_RULES = 25
"""More rules of a front are counted, not shown."""
MAX_ROWS = 12


def verdict(context: PageContext, book: FigureWriter) -> Section:
    """What a comparison has shown; without one, what a score of the search is worth, and how to make one."""
    found = context.comparison
    parts = list(_without(context)) if found is None else _with(found)
    return Section("verdict", "Verdict", [{"kind": "verdict", "parts": parts}])


def _without(context: PageContext) -> Iterator[Part]:
    if context.redrawn:
        yield text("Each generation is scored on a network of its own, so its scores say little of another.")
    else:
        best = f"The best of {len(context.run.candidates):,} candidates has fitness {context.run.best.fitness:.4f}. "
        limits = "That is a score of the search itself, which picks what was lucky too: it is no evidence that the "
        yield text(best, limits, "result is better than a tuned baseline.")
    yield from _on_new_data(context)
    if context.finds == "rules":
        command = f"symevo compare {shlex.quote(shown(context.run.path))}"
        yield text("To compare it with tuned baselines: ", marked("code", command))


def _on_new_data(context: PageContext) -> Iterator[Part]:
    """Of networks: what data say that no selection has seen."""
    test = context.run.ranking[0]["test"] if context.run.ranking else None
    if test is not None:
        accuracy = "" if test["accuracy"] is None else f", accuracy {test['accuracy']:.4f}"
        yield text(f"On the test split the best network has loss {number(test['loss'])}{accuracy}.")
    known = {name: [one for one in values if one is not None] for name, values in context.run.replays.items()}
    if known and all(known.values()):
        words = ", ".join(f"{name} {fmean(values):.4f}" for name, values in known.items())
        what = "accuracy" if context.finds == "controllers" else "validation loss"
        count = max(map(len, context.run.replays.values()))
        yield text(f"On {count} new networks, which no generation saw, the mean {what} is: {words}.")


def _with(found: Comparison) -> list[Part | None]:
    overall = [text(marked("strong", f"{name}: "), said) for name, said in found.overall.items()]
    tasks = [
        (marked("strong", task + " (held out)" * one.held_out), f": {said.text}")
        for task, one in found.tasks.items()
        for said in one.verdicts.values()
        if said.text
    ]
    return [*overall, {"kind": "list", "list": tasks} if tasks else None]


def best(context: PageContext, book: FigureWriter) -> Section:
    """The best rule: equations with its numbers, its program, and the code that uses it; or what stands for a rule."""
    one = context.run.best
    use = code(_usage(context), "Code that uses the result")
    if context.finds == "controllers":
        base = one.rule.name.capitalize()
        what = "What was found is no equation but the weights of small networks: corrections beside plain "
        words = text(what, f"{base}, layer by layer. Where all weights are 0, training is plain {base}.")
        return Section("best", "The best controllers", [words, use])
    pairs = [("fitness", f"{one.fitness:.4f}"), ("size", one.complexity), ("states per weight", one.memory)]
    if len(one.per_task) > 1:
        pairs += [(f"on {task}", f"{score:.4f}") for task, score in one.per_task.items()]
    rule = context.finds == "rules" or context.timetable is not None
    title = "The best rule" if rule else "The rule that trained the best network"
    return Section("best", title, [{"kind": "facts", "pairs": pairs}, equations(one.rule), in_full(one), use])


def _usage(context: PageContext) -> str:
    if context.timetable is not None:
        lines = ["table = run.timetable()", "optimizer = symevo.Optimizer(model.parameters(), table.rule)",
                 "table.set(optimizer, step)  # before each step"]  # fmt: skip
    elif context.finds == "networks":
        lines = ["model.load_state_dict(run.weights())"]
    elif context.finds == "controllers":
        lines = ["trainer = run.best.optimizer(model, lr=1e-3)", "loss = trainer.step(x, y)"]
    else:
        total = "" if context.run.best.rule.schedule.is_constant else ", total_steps=STEPS"
        lines = [f"optimizer = symevo.Optimizer(model.parameters(), run.best.rule{total})"]
    return "\n".join(["import symevo", "", f"run = symevo.load({shown(context.run.path)!r})", *lines])


def equations(rule: Any) -> Part:
    """A rule's equations, each in a box that scrolls by itself."""
    return {"kind": "equations", "lines": list(zip(rule.unicode(numbers=True).splitlines(), mathml(rule), strict=True))}


def mathml(rule: Any) -> list[Markup]:
    """A rule's equations with its numbers, one ``math`` element each; a last one tells the schedule, if there is one.

    Presentation MathML of the Core that browsers draw by themselves, of what LaTeX prints.
    """
    from latex2mathml.converter import convert

    lines = []
    for row in rule.latex(numbers=True).splitlines()[1:-1]:
        words = row.removesuffix(r" \\").replace("&=", "=", 1).replace("$", "")
        math = fromstring(convert(words, xmlns="", display="block"))
        for node in list(math.iter()):
            if len(node) > 1 and all(one.get("mathvariant") == "normal" for one in node):  # a word, letter by letter
                word = Element("mi")
                word.text = "".join(node.itertext())
                node[:] = [word]
            if node.tag == "mover":
                node.set("accent", "true")
            if node.tag == "msub":
                # Without a font for mathematics browsers lower an index by no more than its base reaches down.
                base = Element("mpadded", depth=".14em")
                base.append(node[0])
                node[0] = base
        lines.append(Markup(tostring(math, encoding="unicode")))
    return lines


def in_full(one: Any) -> Part:
    """Program text, numbers and tree, shown when asked for."""
    rule = one.rule
    lines = [*rule.program.lines, "", f"# {rule.numbers()}"]
    lines += [] if rule.schedule.is_constant else [f"# schedule: {rule.schedule}"]
    parts = [code("\n".join(lines), "Program text")]
    if tree := tree_of(one):
        parts.append(code("\n".join(tree), "The rule as a tree"))
    return details("Program text and all digits", *parts)


def front(context: PageContext, book: FigureWriter) -> Section | None:
    """Rules that none beats in fitness, size and memory at once."""
    run = context.run
    if context.finds != "rules" or context.scales:  # numbers of one rule
        return None
    tasks = list(run.best.per_task) if len(run.best.per_task) > 1 else []
    ranked = list(enumerate(run.front[:MAX_RULES], 1))
    figure = book.draw(
        trade_off, "front", run.candidates, run.front, run.pick, ylabel="fitness", title=f"Front of {context.named}",
        alt=f"Fitness against size. {_extent(run.front)} What is far below it is drawn at the lower edge.",
    )  # fmt: skip
    if len(run.front) == 1:
        note = "One rule is the whole front: none is fitter, and none as fit is smaller or keeps fewer states."
        return Section("front", "The front", [text(note), figure])
    rows = [[rank, f"{one.fitness:.4f}", *(f"{one.per_task[task]:.4f}" for task in tasks), one.complexity, one.memory,
             "the pick" if one is run.pick else ""] for rank, one in ranked]  # fmt: skip
    note = "None of these rules is beaten in fitness, size and states at once. The pick gains most for its size."
    more = f" The first {MAX_RULES} of {len(run.front)} are shown." if len(run.front) > MAX_RULES else ""
    command = marked("code", f"symevo show {shlex.quote(shown(run.path))} --rank N")
    parts = [
        text(note, more, " In a terminal: ", command),
        figure,
        table("The front", ["rank", "fitness", *tasks, "size", "states", ""], rows),
        *(_folded(rank, one, pick=one is run.pick) for rank, one in ranked),
    ]
    return Section("front", "The front", parts)


def _extent(front: Any) -> str:
    if len(front) == 1:
        return f"The front is one rule of size {front[0].complexity} and fitness {front[0].fitness:.4f}."
    sizes, scores = [one.complexity for one in front], [one.fitness for one in front]
    return (
        f"The front has {len(front)} rules, of sizes {min(sizes)} to {max(sizes)} and fitness {min(scores):.4f} to "
        f"{max(scores):.4f}."
    )


def _folded(rank: int, one: Any, *, pick: bool) -> Part:
    title = f"Rank {rank}: fitness {one.fitness:.4f}, size {one.complexity}, states {one.memory}"
    return details(title + ", the pick" * pick, equations(one.rule), in_full(one), unfolded=pick or rank == 1)


def timetable(context: PageContext, book: FigureWriter) -> Section | None:
    """Numbers that changed while networks trained."""
    found = context.timetable
    if found is None:
        return None
    names = list(found.numbers)
    figure = book.draw(
        schedule_steps, "timetable", found.boundaries, found.numbers, scales=context.scales,
        title=f"Numbers of {found.rule.name}, {context.named}",
        alt=f"Values of {', '.join(names)} over {found.boundaries[-1]:,} training steps, constant within intervals.",
    )  # fmt: skip
    rows = [
        [f"{found.boundaries[at]}-{found.boundaries[at + 1]}", *(f"{found.numbers[name][at]:.4g}" for name in names)]
        for at in range(len(found.boundaries) - 1)
    ]
    return Section("timetable", "The timetable", [figure, table("The timetable", ["steps", *names], rows)])


def replays(context: PageContext, book: FigureWriter) -> Section | None:
    """New networks, trained under what the run found and under what it is compared with."""
    found = context.run.replays
    if not found:
        return None
    what = "accuracy on held-out images" if context.finds == "controllers" else "validation loss"
    count = max(map(len, found.values()))
    rows = []
    for name, values in found.items():
        known = [value for value in values if value is not None]
        rows.append([name, number(fmean(known) if known else None), number(stdev(known) if len(known) > 1 else None),
                     len(values) - len(known), ", ".join(map(number, values))])  # fmt: skip
    head = ["trained under", "mean", "standard deviation", "diverged", "each network"]
    words = text(f"What was found trained {count} networks that no generation saw.")
    caption = f"On {count} new networks: {what}"
    return Section("replays", "On new networks", [words, table(caption, head, rows)])


def ranking(context: PageContext, book: FigureWriter) -> Section | None:
    """The last population, best first; and where children compete with parents, how they fared."""
    run, parts = context.run, list[Part]()
    if run.ranking:
        splits = [split for split in ("validation", "test") if any(one[split] for one in run.ranking)]
        rows = [
            [rank, *(number((one[split] or {}).get(name)) for split in splits for name in SCORES)]
            for rank, one in enumerate(run.ranking[:MAX_ROWS], 1)
        ]
        head = ["rank", *(f"{split} {name}" for split in splits for name in SCORES)]
        once = ", and the test split was read once" if "test" in splits else ""
        parts.append(text(f"Ranked by the whole validation split{once}."))
        parts.append(table(f"The last population: {len(run.ranking)} individuals", head, rows))
    if all("elders" in record for record in run.history):
        parts += _competition(context, book)
    return Section("ranking", "The networks", parts) if parts else None


def _competition(context: PageContext, book: FigureWriter) -> list[Part]:
    history = context.run.history
    losses = {
        f"{words}, {how}": [record[key][at] for record in history]
        for words, key in (("parents", "elders"), ("children", "children"))
        for at, how in enumerate(("best", "mean"))
    }
    adopted = [record["adopted"] for record in history]
    return [
        book.draw(by_generation, "losses-by-generation", losses, ylabel="loss", logy=True,
                  title=f"Parents and children, {context.named}",
                  alt="Lowest and mean loss of parents and of their children, by generation."),
        book.draw(shares, "adoption", {"adopted": adopted}, ylabel="children among the survivors",
                  title=f"Adoption, {context.named}",
                  alt=f"Share of children among the survivors by generation, {100 * fmean(adopted):.0f} % on average."),
    ]  # fmt: skip

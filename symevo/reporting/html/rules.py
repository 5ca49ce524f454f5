"""Rules in full: the best one, and the front."""

from __future__ import annotations

import shlex
from typing import Any

from symevo.reporting.figures.search import Place, trade_off
from symevo.reporting.html.markup import Html, Section, Sketchbook, code, details, element, facts, join, scroll, table
from symevo.reporting.html.subject import Subject
from symevo.reporting.text.tables import shown

MAX_RULES = 25
"""More rules of a front are counted, not shown."""
_OF_RULES = ("term-sum", "expression")
"""Systems whose candidates differ in their programs."""


def best(subject: Subject, book: Sketchbook) -> Section:
    """The best rule: equations with its numbers, its program, and the code that uses it; or what stands for a rule."""
    one, path = subject.run.best, shown(subject.run.path)
    use = code(_usage(subject, path), "Code that uses the result")
    if subject.run.settings.system == "evograd":
        return Section("best", "The best controllers", join(_controllers(one), use))
    pairs = [("fitness", f"{one.fitness:.4f}"), ("size", one.complexity), ("states per weight", one.memory)]
    if len(one.per_task) > 1:
        pairs += [(f"on {task}", f"{score:.4f}") for task, score in one.per_task.items()]
    title = "The rule that trained the best network" if subject.run.settings.system == "gadam" else "The best rule"
    return Section("best", title, join(facts(pairs), equations(one.rule), in_full(one), use))


def _controllers(one: Any) -> Html:
    """What was found where no rule was: corrections beside one."""
    base = one.rule.name.capitalize()
    found = f"What was found is no equation but the weights of small networks: corrections beside plain {base}, layer "
    return element("p", found, f"by layer. Where all weights are 0, training is plain {base}.")


def _usage(subject: Subject, path: str) -> str:
    loaded = f"run = symevo.load({path!r})"
    if subject.timetable is not None:
        lines = ["table = run.timetable()", "optimizer = symevo.Optimizer(model.parameters(), table.rule)",
                 "table.set(optimizer, step)  # before each step"]  # fmt: skip
    elif subject.run.settings.system == "gadam":
        lines = ["model.load_state_dict(run.weights())"]
    elif subject.run.settings.system == "evograd":
        lines = ["trainer = run.best.optimizer(model, lr=1e-3)", "loss = trainer.step(x, y)"]
    else:
        total = "" if subject.run.best.rule.schedule.is_constant else ", total_steps=STEPS"
        lines = [f"optimizer = symevo.Optimizer(model.parameters(), run.best.rule{total})"]
    return "\n".join(["import symevo", "", loaded, *lines])


def equations(rule: Any) -> Html:
    """A rule's equations, each in a box that scrolls by itself."""
    from symevo.rules.printing.mathml import equations as in_mathml

    texts = rule.unicode(numbers=True).splitlines()
    lines = [scroll(text, Html(math)) for text, math in zip(texts, in_mathml(rule, numbers=True), strict=True)]
    return element("div", *lines, class_="equations")


def in_full(one: Any) -> Html:
    """Program text, numbers and tree, shown when asked for."""
    rule = one.rule
    lines = [*rule.program.lines, "", f"# {rule.numbers()}"]
    lines += [] if rule.schedule.is_constant else [f"# schedule: {rule.schedule}"]
    parts = [code("\n".join(lines), "Program text")]
    tree = one.genome.get("tree") if isinstance(one.genome, dict) else None
    if tree is not None:
        from symevo.reporting.text.tables import tree_picture

        parts.append(code("\n".join(tree_picture(tree)), "The rule as a tree"))
    return details("Program text and all digits", *parts)


def front(subject: Subject, book: Sketchbook) -> Section | None:
    """Rules that none beats in fitness, size and memory at once."""
    run = subject.run
    if run.settings.system not in _OF_RULES:
        return None
    tasks = list(run.best.per_task)
    rows = [[rank, f"{one.fitness:.4f}", *(f"{one.per_task[task]:.4f}" for task in tasks if len(tasks) > 1),
             one.complexity, one.memory, "the pick" if one is run.pick else ""]
            for rank, one in enumerate(run.front, 1)]  # fmt: skip
    head = ["rank", "fitness", *(tasks if len(tasks) > 1 else []), "size", "states", ""]
    more = f" The first {MAX_RULES} of {len(run.front)} are shown." if len(run.front) > MAX_RULES else ""
    note = "None of these rules is beaten in fitness, size and states at once. The pick gains most for its size."
    if len(run.front) == 1:
        note = "One rule is the whole front: none is fitter, and none as fit is smaller or keeps fewer states."
    rules = [_folded(rank, one, pick=one is run.pick) for rank, one in enumerate(run.front[:MAX_RULES], 1)]
    many = len(run.front) > 1
    command = element("code", f"symevo show {shlex.quote(shown(run.path))} --rank N")
    parts = [
        element("p", note, more, " In a terminal: ", command) if many else element("p", note),
        book.draw(
            trade_off, "front", _places(run), ylabel="fitness", title=f"Front of {subject.named}",
            alt=f"Fitness against size. {_extent(run.front)} What is far below it is drawn at the lower edge.",
        ),
        table("The front", head, rows[:MAX_RULES]) if many else None,
        *(rules if many else []),
    ]  # fmt: skip
    return Section("front", "The front", join(*parts))


def _extent(front: Any) -> str:
    if len(front) == 1:
        return f"The front is one rule of size {front[0].complexity} and fitness {front[0].fitness:.4f}."
    sizes, scores = [one.complexity for one in front], [one.fitness for one in front]
    return (
        f"The front has {len(front)} rules, of sizes {min(sizes)} to {max(sizes)} and fitness {min(scores):.4f} to "
        f"{max(scores):.4f}."
    )


def _folded(rank: int, one: Any, *, pick: bool) -> Html:
    title = f"Rank {rank}: fitness {one.fitness:.4f}, size {one.complexity}, states {one.memory}"
    return details(title + ", the pick" * pick, equations(one.rule), in_full(one), open_=pick or rank == 1)


def _places(run: Any) -> list[Place]:
    best = {one.identity for one in run.front}
    picked = run.pick.identity if run.pick else None
    return [
        Place(one.complexity, one.memory, one.fitness, one.identity in best, one.identity == picked)
        for one in run.candidates
    ]

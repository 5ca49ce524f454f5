"""Where the best candidate comes from: its ancestors, read from the births in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symevo.reporting.figures.search import Key, family
from symevo.reporting.html.markup import Section, Sketchbook, digits, element, join, table
from symevo.reporting.html.subject import Evaluation, Subject
from symevo.reporting.text.tables import one_line, spread
from symevo.rules.rule import Rule

MAX_PEOPLE = 400
MAX_ROWS = 25


def ancestors(births: Mapping[Key, Evaluation], of: Key, *, most: int = MAX_PEOPLE) -> dict[Key, list[Key]]:
    """All that one descends from, with the parents of each, nearest first.

    Args:
        births: All evaluations, by generation and place.
        of: The descendant.
        most: Ancestors beyond so many are left out, the farthest first.
    """
    found: dict[Key, list[Key]] = {}
    waiting = [of]
    for key in waiting:
        if key in found or len(found) >= most:
            continue
        parents = dict.fromkeys((one[0], one[1]) for one in births[key]["parents"])
        found[key] = [one for one in parents if one in births and one != key]
        waiting += found[key]
    return {key: [one for one in parents if one in found] for key, parents in found.items()}


def main_line(births: Mapping[Key, Evaluation], parents: Mapping[Key, Sequence[Key]], of: Key) -> list[Key]:
    """From the oldest ancestor to the descendant, always by the fitter parent."""
    line = [of]
    while before := [one for one in parents[line[-1]] if one not in line]:
        line.append(max(before, key=lambda key: births[key]["fitness"]))
    return line[::-1]


def tree(subject: Subject, book: Sketchbook) -> Section | None:
    """The family tree of the best candidate, and its line in words."""
    births: dict[Key, Evaluation] = {(one["gen"], one["place"]): one for one in subject.evaluations}
    best = subject.winner()
    of = best["gen"], best["place"]
    parents = ancestors(births, of)
    line = main_line(births, parents, of)
    if len(parents) == 1:
        made = (
            f"The best candidate has no parents: it was made in generation {of[0]} by {best['operator'] or 'chance'}."
        )
        return Section("family", "Family tree of the best", element("p", made))
    people = {key: (_time(key, parents), births[key]["fitness"]) for key in parents}
    left_out = f" Only the {MAX_PEOPLE} nearest are shown." if len(parents) >= MAX_PEOPLE else ""
    alt = f"Ancestors of the best candidate by generation and fitness: {len(parents) - 1} of them, over generations "
    alt += f"{min(key[0] for key in parents)} to {of[0]}.{left_out} The line of the fitter parents is {len(line)} long."
    figure = book.draw(
        family, "family", people, parents, line, ylabel="fitness", title=f"Family tree, {subject.named}", alt=alt
    )
    rows = [[key[0], births[key]["operator"] or "-", digits(births[key]["fitness"]), _words(subject, births[key])]
            for key in spread(line, MAX_ROWS)]  # fmt: skip
    caption = "Line of the fitter parents, oldest first"
    return Section(
        "family", "Family tree of the best", join(figure, table(caption, ["generation", "by", "fitness", "as"], rows))
    )


def _time(key: Key, parents: Mapping[Key, Sequence[Key]]) -> float:
    """The generation; half a one later where a parent is of the same."""
    return key[0] + 0.5 * any(before[0] == key[0] for before in parents[key])


def _words(subject: Subject, one: Evaluation) -> str:
    """What tells it from others: its numbers, how its network began, or its equation."""
    genome = one["genome"]
    if subject.scales:
        numbers = genome.get("numbers", genome)
        return ", ".join(f"{name} {numbers[name]:.4g}" for name in subject.scales)
    if isinstance(genome, dict) and "start" in genome:
        return "a child of two networks" if "cross" in genome["start"] else "trained further"
    if subject.run.settings.system == "evograd":
        return "controllers"
    return one_line(Rule.from_json(one["rule"]), numbers=True)

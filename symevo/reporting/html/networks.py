"""What networks leave: a ranking, a timetable of numbers, and new networks trained once more."""

from __future__ import annotations

from statistics import fmean, stdev

from symevo.reporting.figures import by_generation, schedule_steps, shares
from symevo.reporting.html.markup import Html, Section, Sketchbook, digits, element, join, table
from symevo.reporting.html.subject import Subject

MAX_ROWS = 12


def timetable(subject: Subject, book: Sketchbook) -> Section | None:
    """Numbers that changed while networks trained."""
    found = subject.timetable
    if found is None:
        return None
    names = list(found.numbers)
    figure = book.draw(
        schedule_steps, "timetable", found.boundaries, found.numbers, scales=subject.scales,
        title=f"Numbers of {found.rule.name}, {subject.named}",
        alt=f"Values of {', '.join(names)} over {found.boundaries[-1]:,} training steps, constant within intervals.",
    )  # fmt: skip
    rows = [
        [f"{found.boundaries[at]}-{found.boundaries[at + 1]}", *(f"{found.numbers[name][at]:.4g}" for name in names)]
        for at in range(len(found.boundaries) - 1)
    ]
    return Section("timetable", "The timetable", join(figure, table("The timetable", ["steps", *names], rows)))


def replays(subject: Subject, book: Sketchbook) -> Section | None:
    """New networks, trained under what the run found and under what it is compared with."""
    found = subject.run.replays
    if not found:
        return None
    evograd = subject.run.settings.system == "evograd"
    what = "accuracy on held-out images" if evograd else "validation loss"
    count = max(map(len, found.values()))
    rows = []
    for name, values in found.items():
        known = [value for value in values if value is not None]
        rows.append([name, digits(fmean(known) if known else None), digits(stdev(known) if len(known) > 1 else None),
                     len(values) - len(known), ", ".join(map(digits, values))])  # fmt: skip
    head = ["trained under", "mean", "standard deviation", "diverged", "each network"]
    words = element("p", f"What was found trained {count} networks that no generation saw.")
    caption = f"On {count} new networks: {what}"
    return Section("replays", "On new networks", join(words, table(caption, head, rows)))


def ranking(subject: Subject, book: Sketchbook) -> Section | None:
    """The last population, best first; and where children compete with parents, how they fared."""
    run, parts = subject.run, list[Html]()
    if run.ranking:
        splits = [split for split in ("validation", "test") if any(one[split] for one in run.ranking)]
        rows = [
            [rank, *(digits((one[split] or {}).get(name)) for split in splits for name in _SCORES)]
            for rank, one in enumerate(run.ranking[:MAX_ROWS], 1)
        ]
        head = ["rank", *(f"{split} {name}" for split in splits for name in _SCORES)]
        once = ", and the test split was read once" if "test" in splits else ""
        parts.append(element("p", f"Ranked by the whole validation split{once}."))
        parts.append(table(f"The last population: {len(run.ranking)} individuals", head, rows))
    if all("elders" in record for record in run.history):
        parts += _competition(subject, book)
    return Section("ranking", "The networks", join(*parts)) if parts else None


_SCORES = ("loss", "accuracy")


def _competition(subject: Subject, book: Sketchbook) -> list[Html]:
    history = subject.run.history
    losses = {
        f"{words}, {how}": [record[key][at] for record in history]
        for words, key in (("parents", "elders"), ("children", "children"))
        for at, how in enumerate(("best", "mean"))
    }
    adopted = [record["adopted"] for record in history]
    return [
        book.draw(by_generation, "losses-by-generation", losses, ylabel="loss", logy=True,
                  title=f"Parents and children, {subject.named}",
                  alt="Lowest and mean loss of parents and of their children, by generation."),
        book.draw(shares, "adoption", {"adopted": adopted}, ylabel="children among the survivors",
                  title=f"Adoption, {subject.named}",
                  alt=f"Share of children among the survivors by generation, {100 * fmean(adopted):.0f} % on average."),
    ]  # fmt: skip

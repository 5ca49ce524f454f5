"""The table of a search for numbers, in 80 columns."""

from __future__ import annotations

from symevo.reporting.text.runs import comparison, numbers_table
from symevo.runs.run import Trial


def trial(loss, numbers, *, accuracy=0.9, gen=3, tasks=("a",)):
    return Trial(numbers, f"{loss}", gen, 0.5, dict.fromkeys(tasks, (loss, accuracy)), 0.1)


def test_few_numbers_stand_in_columns():
    best = trial(0.123456, {"lr": 0.001234567, "momentum": 0.9, "weight_decay": 1e-6})
    found = [best, trial(None, {"lr": 1, "momentum": 0, "weight_decay": 0}, accuracy=None)]
    lines = numbers_table(found).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1", "0.5000", "0.12346", "0.9000", "0.001235", "0.9", "1e-06", "gen", "3"],
        ["2", "0.5000", "failed", "-", "1", "0", "0", "gen", "3"],
    ]
    assert lines[0].split()[-5:] == ["lr", "momentum", "weight_decay", "first", "in"]
    assert max(map(len, lines)) <= 80


def test_many_numbers_stand_below_and_rows_are_counted():
    numbers = {f"number{index}": index / 7 for index in range(8)}
    lines = numbers_table([trial(0.1, numbers)] * 12).splitlines()
    assert lines[2].startswith("     number0 0, number1 0.1429, ")
    assert lines[-1] == "and 2 more"
    assert max(map(len, lines)) <= 80


def test_the_comparison_is_honest_about_what_is_missing():
    best = trial(0.1, {"lr": 1.0}, tasks=("a", "b"))
    assert comparison(best, None) == [
        "tuned: loss 0.1, accuracy 0.9000; the rule's own numbers were not in this search"
    ]
    own = trial(None, {"lr": 0.1}, accuracy=None, tasks=("a", "b"))
    lines = comparison(best, own)
    assert lines[0] == "default numbers: did not train to the end; tuned: loss 0.1, accuracy 0.9000"
    assert lines[2] == "  b: did not train to the end; tuned: loss 0.1, accuracy 0.9000"
    assert "new data will show less of a difference" in lines[-1]
    assert (
        comparison(trial(0.1, {}), trial(0.2, {}))[0]
        == "default numbers: loss 0.2, accuracy 0.9000; tuned: 0.1, 0.9000"
    )
    plain = comparison(trial(0.1, {}, accuracy=None), trial(0.2, {}, accuracy=None))
    assert (plain[0], len(plain)) == ("default numbers: loss 0.2; tuned: 0.1", 2)

"""The front against its definition."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from symevo.search.pareto import pareto_front

points = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.2 + 1e-16, 0.5]), st.integers(1, 4), st.integers(0, 2)))


@given(points)
def test_the_front_is_what_the_definition_says(points):
    ones = [SimpleNamespace(fitness=f, complexity=c, memory=m, place=place) for place, (f, c, m) in enumerate(points)]

    def beats(a, b):
        better = (a.fitness, -a.complexity, -a.memory), (b.fitness, -b.complexity, -b.memory)
        at_least = all(x >= y for x, y in zip(*better, strict=True))
        return at_least and (better[0] != better[1] or a.place < b.place)

    expected = [one for one in ones if not any(beats(other, one) for other in ones)]
    front = pareto_front(ones)
    assert sorted(one.place for one in front) == sorted(one.place for one in expected)
    assert [one.fitness for one in front] == sorted((one.fitness for one in expected), reverse=True)

"""The critical path against a brute-force oracle; what remains behind a node."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rumpel.engine.durations import critical_path


@st.composite
def timed(draw: st.DrawFn) -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    names = [f"n{number}" for number in range(draw(st.integers(0, 7)))]
    needs = {
        name: tuple(draw(st.lists(st.sampled_from(names[:place]), unique=True))) if place else ()
        for place, name in enumerate(names)
    }
    return needs, {name: float(draw(st.integers(0, 9))) for name in names}


@given(timed())
def test_it_is_the_longest_of_all_paths(
    graph: tuple[dict[str, tuple[str, ...]], dict[str, float]],
) -> None:
    needs, took = graph

    def paths(end: str) -> list[tuple[str, ...]]:
        before = [path for need in needs[end] for path in paths(need)] or [()]
        return [(*path, end) for path in before]

    every = [path for name in needs for path in paths(name)]
    found, total = critical_path(needs, took)
    assert total == max((sum(took[name] for name in path) for path in every), default=0.0)
    assert total == sum(took[name] for name in found) <= sum(took.values())
    assert all(before in needs[after] for before, after in pairwise(found))
    assert critical_path(needs, took) == (found, total)

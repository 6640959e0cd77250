"""Pictures of any graph: each node once, nothing recursive, nothing unsafe."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rumpel.cli import render_graph


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Nodes in an order they can run, and edges forward in it."""
    names = draw(st.lists(st.text(min_size=1), unique=True, max_size=12))
    nodes = [{"id": name, "kind": name, "state": "cached", "reasons": []} for name in names]
    pairs = [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]]
    return nodes, draw(st.lists(st.sampled_from(pairs), unique_by=tuple)) if pairs else []


@given(graphs())
def test_every_node_is_drawn_once_below_one_of_its_needs(
    graph: tuple[list[dict[str, Any]], list[list[str]]],
) -> None:
    nodes, edges = graph
    drawn = render_graph.tree(nodes, edges)
    assert sorted(node["id"] for _, node in drawn) == sorted(node["id"] for node in nodes)
    seen: set[str] = set()
    for _, node in drawn:
        needs = {before for before, after in edges if after == node["id"]}
        assert not needs or needs & seen
        seen.add(node["id"])
    for lines in (render_graph.dot(nodes, edges), render_graph.mermaid(nodes, edges)):
        assert all(line.isprintable() for line in lines)
        assert sum("->" in line or "-->" in line for line in lines) >= len(edges)


def test_a_long_chain_needs_no_recursion() -> None:
    nodes = [{"id": f"n{number}", "state": "cached"} for number in range(3000)]
    edges = [[f"n{number}", f"n{number + 1}"] for number in range(2999)]
    assert len(render_graph.tree(nodes, edges)) == 3000


def test_a_need_that_stands_above_anyway_is_not_repeated() -> None:
    nodes = [{"id": name, "kind": name} for name in "abcd"]
    edges = [["a", "b"], ["a", "c"], ["b", "c"], ["d", "c"]]
    # d comes last in the order, so c is drawn below it and says that it also needs b (and so a).
    nodes = [nodes[0], nodes[1], nodes[3], nodes[2]]
    assert [line for line, _ in render_graph.tree(nodes, edges)] == [
        "a",
        "└─ b",
        "d",
        "└─ c (and b and a)",
    ]
    edges.remove(["d", "c"])
    assert [line for line, _ in render_graph.tree(nodes, edges)] == ["a", "└─ b", "   └─ c", "d"]


def test_values_are_short_and_safe() -> None:
    assert render_graph.value(None) == "not set"
    assert render_graph.value("") == "''"
    assert render_graph.value(["a\x1b"]) == '["a\\u001b"]'
    assert len(render_graph.value("x" * 500)) == render_graph.MAX_VALUE


def test_reasons_read_as_phrases() -> None:
    phrase = render_graph.reason
    assert phrase({"kind": "never-ran", "subject": "image"}) == "never ran"
    failed = {"kind": "failed", "subject": "crashed", "after": "the daemon was stopped\nmore"}
    assert phrase(failed) == "last attempt was interrupted: the daemon was stopped"
    assert phrase({"kind": "probe", "subject": "container was removed"}) == "container was removed"
    assert phrase({"kind": "upstream", "subject": "image/local/1"}) == "depends on image"
    step = "lifecycle/local/1/a/onCreateCommand"
    assert phrase({"kind": "upstream", "subject": step}) == "depends on onCreateCommand"
    assert phrase({"kind": "upstream", "subject": "it runs for another request"}).startswith("it")
    assert phrase({"kind": "something-new"}) == "no reason given"


def test_many_needs_are_more_than_one_line() -> None:
    nodes = [{"id": f"container/local/d0a6cdb192b3/{name}"} for name in "abc"] + [{"id": "n"}]
    edges = [[str(node["id"]), "n"] for node in nodes[:3]]
    lines = render_graph.why(nodes[-1], nodes, edges, now=0.0)
    at = next(number for number, line in enumerate(lines) if line.startswith("  needs "))
    assert all(len(line) <= 80 for line in lines)
    words = {word.strip(",") for line in lines[at : at + 3] for word in line.split()}
    assert words == {"needs", *(node["id"] for node in nodes[:3])}

"""The picture of a graph: well-formed, safe, nothing drawn twice, the same bytes each time."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from rumpel.cli.render_svg import direct, longest_first, svg

NODES: list[dict[str, Any]] = [
    {"id": "image/x", "kind": "image", "state": "cached", "duration_s": 4.0},
    {
        "id": "container/x/y/a",
        "kind": "container",
        "pod": "a",
        "state": "failed",
        "error": {"message": "<script>alert(1)</script>\x1b[2J"},
    },
    {"id": "port/x/y/a", "kind": "port", "pod": "a", "state": "may-run"},
    {
        "id": "clone/x/y/a",
        "kind": "clone",
        "pod": "a",
        "state": "stale",
        "reasons": [{"kind": "input", "subject": "a&b", "before": '"', "after": "<"}],
    },
    {"id": "sync/x/y/a", "kind": "sync", "pod": "a", "state": "may-run"},
]
BOX, CLONE = "container/x/y/a", "clone/x/y/a"
EDGES = [
    ["image/x", BOX],
    ["image/x", CLONE],
    [BOX, CLONE],
    [BOX, "port/x/y/a"],
    ["image/x", "sync/x/y/a"],
    [CLONE, "sync/x/y/a"],
]


def drawn() -> str:
    return "\n".join(svg(NODES, EDGES, title="rumpel graph <a>"))


def test_it_is_a_picture_of_all_nodes_and_says_why() -> None:
    assert drawn() == drawn()
    root = ET.fromstring(drawn())
    tags = [one.tag.rpartition("}")[2] for one in root.iter()]
    assert "script" not in tags
    assert tags.count("path") == 4
    colors = 3
    assert tags.count("rect") == 1 + len(NODES) + colors
    words = " ".join("".join(one.itertext()) for one in root.iter() if one.tag.endswith("}text"))
    assert "image · up to date · 4.00 s" in words
    assert "<script>alert(1)</script>\\x1b[2J" in words
    assert 'a&b changed: " → <' in words
    assert "may run or will run" in words


def test_what_follows_from_others_is_no_line() -> None:
    found = direct(NODES, EDGES)
    assert ("image/x", CLONE) not in found
    assert ("image/x", "sync/x/y/a") not in found
    assert len(found) == 4


def test_the_longest_way_goes_straight_down() -> None:
    order = [node["id"] for node in longest_first(NODES, direct(NODES, EDGES))]
    assert order.index(CLONE) < order.index("port/x/y/a")
    assert order.index(BOX) < order.index(CLONE) < order.index("sync/x/y/a")

"""The one-file picture: whole, safe, the same bytes for the same nodes."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from rumpel.cli import render_graph
from rumpel.cli.render_html import html, places, spans

NODES: list[dict[str, Any]] = [
    {"id": "image/x", "kind": "image", "state": "cached", "duration_s": 4.0, "updated_at": 104.0},
    {
        "id": "container/a",
        "kind": "container",
        "pod": "a",
        "state": "failed",
        "duration_s": 1.0,
        "updated_at": 1000.0,
        "reasons": [{"kind": "input", "subject": "<b>", "before": "&", "after": None}],
        "error": {"message": "no <script>alert(1)</script>"},
    },
    {"id": "clone/a", "kind": "clone", "pod": "a", "state": "may-run"},
]
EDGES = [["image/x", "container/a"], ["container/a", "clone/a"]]


class Reader(HTMLParser):
    """Tags, attributes, words; raises nothing, so the counts are what is checked."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [value or "" for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(**more: Any) -> str:
    return "\n".join(html(NODES, EDGES, title="rumpel graph <a>", **more))


def test_it_shows_every_node_edge_time_and_reason() -> None:
    read = Reader(page(path=["image/x", "container/a"]))
    assert read.tags.count("rect") == 3 + 2, "a box for each node, a bar for each that ran"
    assert read.tags.count("path") == 2
    words = " ".join(read.words)
    assert "failed · 1.00 s" in words
    assert "<b> changed" in words
    assert "no <script>alert(1)</script>" in words
    assert page(path=["image/x"]).count('class="box slow"') == 2


def test_it_is_one_file_without_scripts_and_safe() -> None:
    read = Reader(page())
    assert read.urls == []
    assert not {"script", "link", "img", "iframe", "object"} & {*read.tags}
    assert "http" not in page()
    hostile = [{"id": "x/\x1b]0;evil\x07", "kind": "</svg><script>", "state": '"><b>'}]
    text = "\n".join(html(hostile, [], title="t"))
    assert "<script" not in text
    assert "\x1b" not in text


def test_the_same_nodes_give_the_same_bytes() -> None:
    assert page() == page()
    again = [dict(reversed(node.items())) for node in NODES]
    assert "\n".join(html(again, EDGES, title="rumpel graph <a>")) == page()
    assert render_graph.dot(again, EDGES) == render_graph.dot(NODES, EDGES)
    assert render_graph.mermaid(again, EDGES) == render_graph.mermaid(NODES, EDGES)


def test_what_is_needed_stands_to_the_left() -> None:
    found = places(NODES, [("image/x", "container/a"), ("container/a", "clone/a")])
    assert [column for column, _ in found.values()] == [0, 1, 2]


def test_a_pause_of_hours_has_no_width() -> None:
    """The image was built at 100 s, the container made at 999 s: the bars follow each other."""
    assert [(begin, took) for _, begin, took in spans(NODES)] == [(100.0, 4.0), (999.0, 1.0)]
    bars = [line for line in page().split("\n") if 'height="16"' in line]
    starts = [float(line.split('<rect class="box" x="')[1].split('"')[0]) for line in bars]
    assert starts == [210.0, 210.0 + 4 * 620 / 5]
    told = "when each step ran last, which may have been for different requests"
    assert told in page()
    assert "nothing ran for 14 min 55 s in all, cut out at the dashed lines" in page()
    assert page().count('class="cut"') == 1


def test_history_and_critical_path_are_tables() -> None:
    runs = [
        {
            "run": 7,
            "verb": "create",
            "state": "failed",
            "started_at": 60.0,
            "duration_s": 2.5,
            "nodes": 9,
            "ran": 3,
            "trigger": {
                "node": "container/local/1/a",
                "reason": {"kind": "input", "subject": "runArgs", "before": [], "after": ["x"]},
            },
        }
    ]
    lines = render_graph.history(runs, now=120.0)
    assert lines[0].split() == ["RUN", "WHEN", "WHAT", "STATE", "TIME", "RAN", "WHY"]
    assert 'container: runArgs changed: [] → ["x"]' in lines[1]
    assert render_graph.history([], now=0.0) == ["nothing has run yet"]
    reason = {"kind": "input", "subject": "runArgs", "before": [], "after": ["x" * 50]}
    runs[0]["trigger"] = {"node": "container/local/1/a", "reason": reason}
    assert max(map(len, render_graph.history(runs, now=120.0))) > 80
    narrow = render_graph.history(runs, now=120.0, columns=60)
    assert max(map(len, narrow)) <= 60
    assert "container: " in narrow[1]
    path = {"nodes": ["image/x", "container/a"], "total_s": 5.0, "sum_s": 6.0}
    lines = render_graph.slowest(path, NODES)
    assert "80%" in lines[1]
    assert lines[-1].startswith("5.00 s on this path, 6.00 s of work")

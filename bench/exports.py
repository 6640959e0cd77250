"""How long a picture of 1,000 nodes takes in the CLI; each is made twice and must be the same.

In CPU time: it waits for nothing, and a busy machine multiplies the time on the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine import shape

from rumpel import jsonline
from rumpel.cli import render_graph, render_html, render_svg

REASON = {"kind": "input", "subject": "runArgs", "before": [], "after": ["--init"]}


def nodes_and_edges(count: int) -> tuple[list[dict[str, Any]], list[list[str]]]:
    edges = shape(count)
    nodes = [
        {
            "id": f"container/local/4f2a/{name}",
            "kind": "container",
            "pod": name,
            "title": "Creating container",
            "state": ("cached", "stale", "failed")[number % 3],
            "reasons": [REASON] * (number % 3),
            "duration_s": 1.0 + number % 7,
            "updated_at": 1e9 + number,
        }
        for number, name in enumerate(edges)
    ]
    named = {name: node["id"] for name, node in zip(edges, nodes, strict=True)}
    return nodes, [[named[dep], named[name]] for name, deps in edges.items() for dep in deps]


def measure(count: int = 1000, rounds: int = 25) -> dict[str, float]:
    """Best CPU ms for each format."""
    nodes, edges = nodes_and_edges(count)
    formats: dict[str, Callable[[], Any]] = {
        "json": lambda: jsonline.dumps({"nodes": nodes, "edges": edges}),
        "dot": lambda: render_graph.dot(nodes, edges),
        "mermaid": lambda: render_graph.mermaid(nodes, edges),
        "svg": lambda: render_svg.svg(nodes, edges, title="bench"),
        "html": lambda: render_html.html(nodes, edges, title="bench"),
        "tree": lambda: render_graph.tree_rows(nodes, edges),
    }
    found = {}
    for name, draw in formats.items():
        times = []
        for _ in range(rounds):
            start = time.process_time()
            drawn = draw()
            times.append(time.process_time() - start)
        if drawn != draw():
            raise SystemExit(f"{name} is not the same twice")
        found[name] = min(times) * 1e3
    return found


if __name__ == "__main__":
    for name, ms in measure().items():
        print(f"{name:10} {ms:7.1f} ms")

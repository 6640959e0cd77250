"""A graph as one HTML file: boxes by depth, times, a timeline and why. No network, no script.

The same nodes give the same bytes: there is no clock in it but that of the nodes. Pure; foreign
text is made safe here.
"""

from __future__ import annotations

import functools

from rumpel import text
from rumpel.cli import render_graph
from rumpel.cli.render_graph import label, state_of, words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

    from rumpel.cli.render_graph import Edge, Node

WIDTH, HEIGHT, GAP_X, GAP_Y = 190, 40, 60, 14
BAR_WIDTH = 620
LEAST_PAUSE_S = 1.0
"""Shorter ones are those between the steps of one run."""
META = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:24px;color:#222;background:#fff}
h1{font-size:18px}h2{font-size:15px;margin-top:28px}
svg text{font:12px system-ui,sans-serif}.time{fill:#555}
.box{stroke:#888;rx:6}.slow{stroke:#b30;stroke-width:2.5}
.cut{stroke:#888;stroke-dasharray:3 3;fill:none}
.edge{fill:none;stroke:#aaa}.edge.slow{stroke:#b30;stroke-width:2}
table{border-collapse:collapse}td,th{text-align:left;padding:3px 14px 3px 0;vertical-align:top}
th{border-bottom:1px solid #ccc}.key{display:inline-block;padding:1px 9px;margin-right:6px;
border:1px solid #888;border-radius:6px}
"""


def html(
    nodes: Sequence[Node], edges: Iterable[Edge], *, title: str, path: Collection[str] = ()
) -> list[str]:
    """`path`: the nodes that decide how long it takes, drawn in red."""
    known = {str(node["id"]) for node in nodes}
    pairs = [(edge[0], edge[1]) for edge in edges if edge[0] in known and edge[1] in known]
    slow = set(path)
    head = escaped(title)
    return [
        "<!DOCTYPE html>",
        f'<html lang="en">{META}<title>{head}</title><style>{STYLE}</style>',
        f"<h1>{head}</h1>",
        _legend(nodes),
        *_picture(nodes, pairs, slow),
        *_timeline(nodes, slow),
        *_table(nodes),
        "</html>",
    ]


def _legend(nodes: Iterable[Node]) -> str:
    states = dict.fromkeys(state_of(node) for node in nodes)
    keys = (
        f'<span class="key" style="background:{color_of(state)}">{escaped(words_of(state))}</span>'
        for state in states
    )
    return f"<p>{''.join(keys)}</p>"


def places(nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Column (how deep) and row of each node; nodes come in an order they can run."""
    needs: dict[str, list[str]] = {}
    for before, after in edges:
        needs.setdefault(after, []).append(before)
    found: dict[str, tuple[int, int]] = {}
    filled: dict[int, int] = {}
    for node in nodes:
        node_id = str(node["id"])
        column = 0
        for need in needs.get(node_id, ()):
            if need in found and found[need][0] >= column:
                column = found[need][0] + 1
        row = filled.get(column, 0)
        filled[column] = row + 1
        found[node_id] = (column, row)
    return found


def _picture(nodes: Sequence[Node], edges: Sequence[tuple[str, str]], slow: set[str]) -> list[str]:
    at = {
        node_id: (column * (WIDTH + GAP_X) + 4, row * (HEIGHT + GAP_Y) + 4)
        for node_id, (column, row) in places(nodes, edges).items()
    }
    width = max((x for x, _ in at.values()), default=0) + WIDTH + 8
    height = max((y for _, y in at.values()), default=0) + HEIGHT + 8
    lines = [f'<svg width="{width}" height="{height}" role="img">']
    bend = GAP_X // 2
    for before, after in edges:
        (x1, y1), (x2, y2) = at[before], at[after]
        x1, y1, y2 = x1 + WIDTH, y1 + 20, y2 + 20
        mark = " slow" if before in slow and after in slow else ""
        lines.append(
            f'<path class="edge{mark}" d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"/>'
        )
    with_pod = render_graph.has_several_pods(nodes)
    boxes = (_box(node, *at[str(node["id"])], slow=slow, with_pod=with_pod) for node in nodes)
    return [*lines, *boxes, "</svg>"]


def _box(node: Node, x: int, y: int, *, slow: set[str], with_pod: bool) -> str:
    node_id, state, took = str(node["id"]), state_of(node), node.get("duration_s")
    mark = " slow" if node_id in slow else ""
    name = escaped(text.clip(label(node, with_pod=with_pod), 26))
    time = "" if took is None else f" · {text.duration(float(took))}"
    return (
        f'<g><title>{escaped(node_id)}</title><rect class="box{mark}" x="{x}" y="{y}"'
        f' width="{WIDTH}" height="{HEIGHT}" fill="{color_of(state)}"/>'
        f'<text x="{x + 9}" y="{y + 17}">{name}</text>'
        f'<text class="time" x="{x + 9}" y="{y + 33}">{escaped(words_of(state) + time)}</text></g>'
    )


def spans(nodes: Iterable[Node]) -> list[tuple[Node, float, float]]:
    """When each node last ran, as (node, begin, seconds), the earliest first."""
    found = []
    for node in nodes:
        end, took = node.get("updated_at"), node.get("duration_s")
        if isinstance(end, str):
            end = text.unix_time(end)
        if end is not None and took is not None:
            found.append((node, float(end) - float(took), float(took)))
    return sorted(found, key=lambda span: (span[1], str(span[0]["id"])))


def _timeline(nodes: Sequence[Node], slow: set[str]) -> list[str]:
    """The last run of each node. What ran in other hours is cut off: pauses have no width."""
    found = spans(nodes)
    if not found:
        return []
    offsets, total, pauses = _without_pauses(found)
    scale = BAR_WIDTH / (total or 1.0)
    with_pod = render_graph.has_several_pods(nodes)
    height = len(found) * 20 + 4
    lines = ["<h2>Timeline</h2>", f"<p>{_told(pauses)}</p>"]
    lines.append(f'<svg width="{BAR_WIDTH + 340}" height="{height}" role="img">')
    for row, _ in pauses:
        x, y = 210 + offsets[row] * scale, row * 20
        lines.append(
            f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="{max(y - 20, 0)}" y2="{y + 20}"/>'
        )
    for row, ((node, _, took), offset) in enumerate(zip(found, offsets, strict=True)):
        y, x, wide = row * 20 + 2, 210 + offset * scale, max(took * scale, 2.0)
        mark = " slow" if str(node["id"]) in slow else ""
        name = escaped(text.clip(label(node, with_pod=with_pod), 28))
        lines.append(
            f'<text x="0" y="{y + 13}">{name}</text><rect class="box{mark}" x="{x:.1f}" y="{y}"'
            f' width="{wide:.1f}" height="16" fill="{color_of(state_of(node))}"/>'
            f'<text class="time" x="{x + wide + 6:.1f}" y="{y + 13}">{text.duration(took)}</text>'
        )
    return [*lines, "</svg>"]


def _without_pauses(
    found: Sequence[tuple[Node, float, float]],
) -> tuple[list[float], float, list[tuple[int, float]]]:
    """Where each bar begins when time in which nothing ran is left out, the whole, and before
    which bars how much of it was."""
    offsets, cut, busy_until = [], found[0][1], found[0][1]
    pauses = []
    for row, (_, begin, took) in enumerate(found):
        if begin - busy_until >= LEAST_PAUSE_S:
            pauses.append((row, begin - busy_until))
        cut += max(0.0, begin - busy_until)
        offsets.append(begin - cut)
        busy_until = max(busy_until, begin + took)
    return offsets, busy_until - cut, pauses


def _told(pauses: Sequence[tuple[int, float]]) -> str:
    """A step that is up to date ran in some earlier run: this is no picture of one."""
    told = "when each step ran last, which may have been for different requests"
    if not pauses:
        return told
    total = text.duration(sum(pause for _, pause in pauses))
    return f"{told}; nothing ran for {total} in all, cut out at the dashed lines"


def _table(nodes: Iterable[Node]) -> list[str]:
    lines = ["<h2>Steps</h2>", "<table><tr><th>Step<th>State<th>Time<th>Why</tr>"]
    for node in nodes:
        took = node.get("duration_s")
        time = "" if took is None else text.duration(float(took))
        why = "<br>".join(escaped(render_graph.reason(one)) for one in node.get("reasons") or [])
        error: Mapping[str, Any] | None = node.get("error")
        if error:
            why = "<br>".join(filter(None, (why, escaped(str(error.get("message") or "")))))
        lines.append(
            f"<tr><td>{escaped(label(node))}<td>{escaped(words_of(state_of(node)))}<td>{time}"
            f"<td>{why}</tr>"
        )
    return [*lines, "</table>"]


@functools.lru_cache(maxsize=64)
def color_of(state: str) -> str:
    return render_graph.COLORS.get(render_graph.STYLES.get(state, ""), "#eeeeee")


@functools.lru_cache(maxsize=8192)
def escaped(words: str) -> str:
    """Most words come again: states, times, kinds."""
    found = text.safe(words)
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        found = found.replace(char, entity)
    return found

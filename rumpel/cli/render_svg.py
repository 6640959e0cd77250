"""A graph as a picture for a page: boxes from the top down, with state, time and why.

One SVG file without scripts, fonts or links, so that it can stand in a README. The same nodes give
the same bytes. Pure; foreign text is made safe here.
"""

from __future__ import annotations

from rumpel import text
from rumpel.cli import render_graph
from rumpel.cli.render_graph import label, state_of, words_of
from rumpel.cli.render_html import color_of, escaped, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rumpel.cli.render_graph import Edge, Node

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 316, 52, 28, 26, 12
LEGEND = 34
MOST_CHARS = 46
STYLE = """
text{font:13px system-ui,sans-serif;fill:#222}.why{font-size:11px;fill:#555}
.box{stroke:#888;rx:7}.edge{fill:none;stroke:#999}.name{font-weight:600}
"""


def svg(nodes: Sequence[Node], edges: Iterable[Edge], *, title: str) -> list[str]:
    pairs = direct(nodes, edges)
    at = {
        node_id: (MARGIN + row * (WIDTH + GAP_X), MARGIN + depth * (HEIGHT + GAP_Y))
        for node_id, (depth, row) in places(longest_first(nodes, pairs), pairs).items()
    }
    width = max((x for x, _ in at.values()), default=0) + WIDTH + MARGIN
    bottom = max((y for _, y in at.values()), default=0) + HEIGHT + MARGIN
    with_pod = render_graph.has_several_pods(nodes)
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + LEGEND}"'
        f' width="{width}" height="{bottom + LEGEND}" role="img">',
        f"<title>{escaped(title)}</title><style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff" rx="8"/>',
        *(_edge(at[before], at[after]) for before, after in pairs),
        *(_box(node, *at[str(node["id"])], with_pod=with_pod) for node in nodes),
        *_legend(nodes, bottom),
        "</svg>",
    ]


def direct(nodes: Sequence[Node], edges: Iterable[Edge]) -> list[tuple[str, str]]:
    """Without the edges that follow from others: a picture is for the order."""
    needs = render_graph.parents(nodes, edges)
    bit = {node_id: 1 << number for number, node_id in enumerate(needs)}
    above: dict[str, int] = {}
    found = []
    for node_id, wanted in needs.items():  # in an order they can run: needs come first
        implied = own = 0
        for one in wanted:
            implied |= above[one]
            own |= bit[one]
        found += [(one, node_id) for one in wanted if not implied & bit[one]]
        above[node_id] = implied | own
    return found


def longest_first(nodes: Sequence[Node], pairs: Sequence[tuple[str, str]]) -> list[Node]:
    """Still in an order they can run: the way with the most behind it is drawn straight down."""
    behind: dict[str, list[str]] = {}
    for before, after in pairs:
        behind.setdefault(before, []).append(after)
    height: dict[str, int] = {}
    for node in reversed(nodes):
        node_id = str(node["id"])
        height[node_id] = 1 + max((height[one] for one in behind.get(node_id, ())), default=0)
    depth = {node_id: place[0] for node_id, place in places(nodes, pairs).items()}
    return sorted(nodes, key=lambda node: (depth[str(node["id"])], -height[str(node["id"])]))


def _edge(before: tuple[int, int], after: tuple[int, int]) -> str:
    x1, y1 = before[0] + WIDTH // 2, before[1] + HEIGHT
    x2, y2 = after[0] + WIDTH // 2, after[1]
    bend = GAP_Y // 2 + 4
    return f'<path class="edge" d="M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"/>'


def _box(node: Node, x: int, y: int, *, with_pod: bool) -> str:
    state, took = state_of(node), node.get("duration_s")
    time = "" if took is None else f" · {text.duration(float(took))}"
    name = escaped(text.clip(label(node, with_pod=with_pod), 26))
    why = escaped(text.clip(render_graph.summary(node), MOST_CHARS))
    line = 22 if why else 31
    return (
        f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}"'
        f' fill="{color_of(state)}"/><text x="{x + 11}" y="{y + line}"><tspan class="name">{name}'
        f"</tspan> · {escaped(words_of(state) + time)}</text>"
        + (f'<text class="why" x="{x + 11}" y="{y + 40}">{why}</text>' if why else "")
    )


def _legend(nodes: Iterable[Node], y: int) -> list[str]:
    """One for each colour."""
    colors: dict[str, list[str]] = {}
    for state in dict.fromkeys(map(state_of, nodes)):
        colors.setdefault(color_of(state), []).append(words_of(state))
    lines, x = [], MARGIN
    for color, states in colors.items():
        words = text.listing(states, "or")
        lines.append(
            f'<rect class="box" x="{x}" y="{y + 5}" width="16" height="16" fill="{color}"/>'
            f'<text x="{x + 24}" y="{y + 18}">{escaped(words)}</text>'
        )
        x += 60 + 7 * len(words)
    return lines

"""A graph whose states change: redrawn in place on a terminal, else one line for each change."""

from __future__ import annotations

import sys
import time

from rumpel import text, ui
from rumpel.cli import render_graph
from rumpel.cli.follow import Follower
from rumpel.cli.live import REFRESH_S
from rumpel.cli.progress import UNEVENTFUL, name_of, sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rich.live import Live as RichLive

    from rumpel.cli.options import Options

    Nodes = list[dict[str, Any]]
    Draw = Callable[[Nodes, list[list[str]]], list[str]]

SETTLED = frozenset({"cached", "ok", "waiting", "upstream-failed"})


def start(options: Options, draw: Draw) -> States:
    """`draw` makes the lines of a tree."""
    if ui.is_terminal(sys.stdout) and ui.is_fancy() and not (options.json or options.quiet):
        return Tree(options, draw)
    return States(options)


class States(Follower):
    """The graph as last told; shows each change by itself."""

    is_drawn = False
    """Is the graph itself on the screen meanwhile?"""

    def __init__(self, options: Options) -> None:
        super().__init__(options, self._take, "graph")
        self.nodes: dict[str, dict[str, Any]] = {}
        self.edges: list[list[str]] = []
        self.has_begun = False

    def show(self, nodes: Nodes, *, is_whole: bool) -> None:
        if self.options.json:
            self.envelope("graph", {"nodes": nodes, "edges": self.edges if is_whole else []})
            return
        for node in () if self.options.quiet else nodes:
            state = str(node.get("state"))
            is_news = state not in UNEVENTFUL or self.options.verbose
            if is_news and state != "waiting" and (not is_whole or state == "running"):
                ui.out(f"{name_of(node)} · {sentence(node | {'elapsed_s': node['duration_s']})}")

    def _take(self, message: dict[str, Any]) -> None:
        heard = time.monotonic()
        is_whole = bool(message.get("whole"))
        nodes = [node | {"heard": heard} for node in message["nodes"]]
        if is_whole:
            self.nodes, self.edges = {}, message["edges"]
        self.nodes.update((str(node["id"]), node) for node in nodes)
        self.has_begun = True
        self.show(message["nodes"], is_whole=is_whole)


class Tree(States):
    """The tree itself, by rich: in its place until all is done."""

    is_drawn = True

    def __init__(self, options: Options, draw: Draw) -> None:
        super().__init__(options)
        self.draw = draw
        self._rich: RichLive | None = None

    def show(self, nodes: Nodes, *, is_whole: bool) -> None:
        if self._rich is None:
            self._rich = _rich(self.options)
            self._rich.start()
        self.tick()

    def tick(self) -> None:
        if self._rich is not None:
            from rich.text import Text

            lines = fitting(self._lines(), ui.rows(sys.stdout) - 1)
            self._rich.update(Text("\n").join(map(Text.from_ansi, lines)), refresh=True)

    def timeout_s(self) -> float | None:
        is_running = any(node["state"] == "running" for node in self.nodes.values())
        return REFRESH_S if is_running else None

    def pause(self) -> None:
        self.close()

    def say(self, line: str) -> None:
        self.close()
        super().say(line)

    def warn(self, line: str) -> None:
        self.close()
        super().warn(line)

    def close(self) -> None:
        if self._rich is not None:
            self._rich.stop()
            self._rich = None

    def _lines(self) -> list[tuple[str, str]]:
        """Lines and states; the first line is the head."""
        now = time.monotonic()
        nodes = [
            node | {"duration_s": float(node["duration_s"] or 0) + now - node["heard"]}
            if node["state"] == "running"
            else node
            for node in self.nodes.values()
        ]
        states = [str(node["state"]) for _, node in render_graph.tree(nodes, self.edges)]
        return list(zip(self.draw(nodes, self.edges), ["", *states], strict=True))


def fitting(lines: list[tuple[str, str]], room: int) -> list[str]:
    """What has ended or waits makes room for what runs or failed, from the top on."""
    spare = len(lines) - room + 1 if len(lines) > room else 0
    kept, hidden = [], 0
    for line, state in lines:
        if hidden < spare and state in SETTLED:
            hidden += 1
        else:
            kept.append(line)
    kept = kept[: max(room - 1, 1)] if spare else kept
    return [*kept, f"({text.count(len(lines) - len(kept), 'more step')})"] if spare else kept


def _rich(options: Options) -> RichLive:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.no_color = not ui.use_color(options.color, sys.stdout)
    return Live(
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )

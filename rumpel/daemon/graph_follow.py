"""`graph --follow`: the states of what runs for some pods, told as they change, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from rumpel import protocol
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import REPO_CHARS, place_of
from rumpel.engine.events import Event, EventKind, reason_json
from rumpel.engine.graph import Node
from rumpel.engine.run import GraphRun
from rumpel.engine.states import NodeState

MOST_CHANGES, MOST_RUNS = 1000, 64
"""Held for a client that is slow: past it, it gets all anew. Runs that ended are shown, too."""
STRUCTURE = (EventKind.RUN_PLANNED, EventKind.RUN_EXPANDED)
Picture = dict[str, Any]


async def follow(app: App, client: Client, repo_id: str, name: str | None) -> Picture | None:
    """How it was in the end; None when nothing ran. `name` None: all pods of the repository."""

    def is_about(node_id: str) -> bool:
        place = place_of(node_id)
        is_here = place.repo == repo_id[:REPO_CHARS]
        return is_here and (name is None or place.pod in (None, name))

    view = View(app, is_about)
    with app.engine.watch(view.hear):
        for active in app.engine.runs.values():
            view.join(active)
        if not view.runs:
            return None
        client.connection.is_patient = True
        while view.is_open and not client.gone.is_set():
            await _tell(client, view)
            await client.while_there(view.changed.wait())
        await _tell(client, view)
    return view.whole()


async def _tell(client: Client, view: View) -> None:
    for message in view.take():
        client.send(message)
    await client.connection.drain()


class View:
    """The runs that concern some pods as one graph, and what of it was not told yet."""

    def __init__(self, app: App, is_about: Callable[[str], bool]) -> None:
        self.app, self.is_about = app, is_about
        self.runs: dict[int, GraphRun] = {}
        self.changed = asyncio.Event()
        self._open: set[int] = set()
        self._told: dict[str, str] = {}
        self._changes: list[Picture] = []
        self._is_new = False
        """Nodes or edges came: all of it is to be told."""

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def join(self, active: GraphRun) -> None:
        if any(place_of(one).pod is not None and self.is_about(one) for one in active.graph.nodes):
            self.runs[active.run_id] = active
            self._open.add(active.run_id)
            ended = [run_id for run_id in self.runs if run_id not in self._open]
            for run_id in ended[: max(0, len(self.runs) - MOST_RUNS)]:
                del self.runs[run_id]
            self._is_new = True
            self.changed.set()

    def hear(self, event: Event) -> None:
        if event.kind in STRUCTURE:
            active = self.app.engine.runs.get(event.run_id)
            if active is not None:
                self.join(active)
        elif event.kind is EventKind.RUN_ENDED:
            self._open.discard(event.run_id)
            self.changed.set()
        elif event.run_id in self.runs and self.is_about(event.node_id):
            active = self.runs[event.run_id]
            found = self._node(active, active.graph.nodes[event.node_id])
            if self._is_news(found):
                if len(self._changes) >= MOST_CHANGES:
                    self._changes, self._is_new = [], True
                self._changes.append(found)
                self.changed.set()

    def take(self) -> Iterator[Picture]:
        self.changed.clear()
        changes, self._changes = self._changes, []
        if self._is_new:
            self._is_new = False
            yield protocol.graph(**self.whole(), is_whole=True)
        if changes:
            yield protocol.graph(nodes=changes, edges=[], is_whole=False)

    def whole(self) -> Picture:
        nodes: dict[str, Picture] = {}
        edges: dict[tuple[str, str], None] = {}
        for active in self.runs.values():
            for node in active.graph.validate():
                if self.is_about(node.id):
                    found = self._node(active, node)
                    if not _is_better(nodes.get(node.id), found):
                        nodes[node.id] = found
                    edges.update(dict.fromkeys((need, node.id) for need in node.deps))
        self._told.update((node_id, found["state"]) for node_id, found in nodes.items())
        known = [[one, other] for one, other in edges if one in nodes and other in nodes]
        return {"nodes": [*nodes.values()], "edges": known}

    def _is_news(self, found: Picture) -> bool:
        """Runs share nodes: each of them tells of the same change."""
        before = self._told.get(found["id"])
        if before == found["state"] or (before == "ok" and found["state"] == "cached"):
            return False
        self._told[found["id"]] = found["state"]
        return True

    def _node(self, active: GraphRun, node: Node) -> Picture:
        state = active.handle.states[node.id]
        planned = None if active.handle.plan is None else active.handle.plan.nodes.get(node.id)
        record = self.app.store.records.get(node.id)
        flight = self.app.engine.flights.get(node.id)
        error = active.errors.get(node.id)
        took = None if record is None or state is NodeState.WAITING else record.elapsed_s
        if state is NodeState.RUNNING and flight is not None:
            took = flight.elapsed_s
        return {
            "id": node.id,
            "kind": node.operation.KIND,
            "title": node.title,
            "pod": node.pod or place_of(node.id).pod,
            "state": str(state),
            "reasons": [] if planned is None else [reason_json(one) for one in planned.reasons],
            "duration_s": None if took is None else round(took, 3),
            "updated_at": None if record is None else record.updated_at,
            "by": None if record is None else (record.output or {}).get("by") or None,
            "error": None if error is None else error.to_json(),
        }


def _is_better(known: Picture | None, found: Picture) -> bool:
    """Of two runs with a node: the one that has something to do with it."""
    return known is not None and known["state"] != "cached" and found["state"] == "cached"

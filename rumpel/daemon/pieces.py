"""What the steps of a pod write: what is kept of the last attempts, and what is written now."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from rumpel.cache.records import Attempt
from rumpel.daemon.nodes import place_of
from rumpel.daemon.times import iso_ms
from rumpel.engine.events import Event, EventKind
from rumpel.engine.execute import Engine

MOST_WAITING = 5000
"""Pieces kept for a reader that does not keep up; older ones are left out, and that is said."""
ENDS = {
    EventKind.OK: "ok",
    EventKind.FAILED: "failed",
    EventKind.CANCELLED: "cancelled",
}
Piece = dict[str, Any]


class Pieces:
    """Listens to an engine: `begin` it in the same turn as it begins to hear."""

    def __init__(self, engine: Engine, is_wanted: Callable[[str], bool]) -> None:
        self.engine, self.is_wanted = engine, is_wanted
        self.changed = asyncio.Event()
        self.heard: set[str] = set()
        """Nodes that were running then or began later: their last attempt is told live."""
        self._running: set[str] = set()
        self._waiting: deque[Piece] = deque()
        self._left_out = 0

    def begin(self) -> None:
        for node_id, flight in self.engine.flights.items():
            if flight.started and self.is_wanted(node_id):
                self._begun(node_id)
                self._add(piece(node_id, "running", text=flight.tail))

    def hear(self, event: Event) -> None:
        if event.kind is EventKind.RUN_ENDED:
            self.changed.set()
        elif event.node_id and self.is_wanted(event.node_id):
            self._hear(event)

    def take(self) -> list[Piece]:
        found, self._waiting = [*self._waiting], deque()
        if self._left_out:
            text = f"({self._left_out} pieces left out: the reader was slow)\n"
            found.insert(0, found[0] | {"state": "running", "text": text, "error": None})
            self._left_out = 0
        self.changed.clear()
        return found

    def _hear(self, event: Event) -> None:
        node_id = event.node_id
        if event.kind is EventKind.RUNNING and node_id not in self._running:
            self._begun(node_id)
            self._add(piece(node_id, "running"))
        elif event.kind is EventKind.LOG and self._is_first(event):
            text = event.text if event.text.endswith("\n") else event.text + "\n"
            self._add(piece(node_id, "running", text=text))
        elif event.kind in ENDS and node_id in self._running:
            self._running.discard(node_id)
            error = None if event.error is None else event.error.to_json()
            took = round(event.elapsed_s, 3)
            self._add(piece(node_id, ENDS[event.kind], error=error, elapsed_s=took))

    def _is_first(self, event: Event) -> bool:
        """A step that several requests wait for is told of once for each of them."""
        flight = self.engine.flights.get(event.node_id)
        return flight is not None and flight.users[0].run_id == event.run_id

    def _begun(self, node_id: str) -> None:
        self._running.add(node_id)
        self.heard.add(node_id)

    def _add(self, one: Piece) -> None:
        self._waiting.append(one)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._left_out += 1
        self.changed.set()


def piece(
    node_id: str,
    state: str,
    *,
    text: str = "",
    error: Any = None,
    elapsed_s: float | None = None,
) -> Piece:
    place = place_of(node_id)
    return {
        "node": node_id,
        "name": place.name,
        "pod": place.pod,
        "state": state,
        "text": text,
        "error": error,
        "elapsed_s": elapsed_s,
        "started_at": None,
        "ended_at": None,
    }


def of_attempt(one: Attempt) -> Piece:
    took = None if one.ended_at is None else round(one.ended_at - one.started_at, 3)
    found = piece(one.node_id, one.state, text=one.log, error=one.error, elapsed_s=took)
    found["started_at"] = iso_ms(one.started_at)
    found["ended_at"] = None if one.ended_at is None else iso_ms(one.ended_at)
    return found

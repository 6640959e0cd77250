"""The log of what happened: numbered without gaps, told when it is durable, kept for a while.

Events are written with the transaction they tell of, one row for each group commit, and get their
numbers there. So a number that was told is never given again, also after a crash, and a reader
goes on from any number: `--since`.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rumpel.cache.records import encode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

RING: Final = 4000
"""Durable events kept in RAM for those who follow."""
KEEP_EVENTS: Final = 50_000
PUT_EVENTS: Final = "INSERT INTO events VALUES(?,?,?)"


class Note(NamedTuple):
    """What happened, before it is durable."""

    at: float
    run_id: int
    kind: str
    node_id: str
    data: Mapping[str, Any]


class Entry(NamedTuple):
    """A line of the log."""

    seq: int
    at: float
    run_id: int
    kind: str
    node_id: str
    data: Mapping[str, Any]


class EventLog:
    """Owned by the store: `note` on the loop, `take` when a batch goes to the writer."""

    def __init__(self, now: Callable[[], float], nudge: Callable[[], None]) -> None:
        """`nudge` sees to it that a batch goes, also when there is nothing else to write."""
        self.last = 0
        """The newest number that is durable."""
        self._now = now
        self._nudge = nudge
        self._pending: list[Note] = []
        self._ring: deque[Entry] = deque(maxlen=RING)
        self._waiting: set[asyncio.Future[None]] = set()

    def note(self, run_id: int, kind: str, node_id: str = "", **data: Any) -> None:
        """`data` must be JSON."""
        self._pending.append(Note(self._now(), run_id, kind, node_id, data))
        self._nudge()

    def take(self) -> list[Note]:
        """What is to be written now."""
        taken, self._pending = self._pending, []
        return taken

    def refused(self, taken: list[Note]) -> None:
        """What could not be written is tried with the next batch."""
        self._pending[:0] = taken
        del self._pending[:-KEEP_EVENTS]

    def written(self, taken: list[Note], first: int) -> None:
        """Tell those who wait."""
        self._ring.extend(Entry(first + place, *note) for place, note in enumerate(taken))
        self.last = first + len(taken) - 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def recent(self, since: int) -> list[Entry] | None:
        """From behind `since`, if they are all in RAM."""
        if since >= self.last:
            return []
        if not self._ring or self._ring[0].seq > since + 1:
            return None
        return [entry for entry in self._ring if entry.seq > since]

    async def changed(self, since: int) -> None:
        """Until there is something behind `since`."""
        while self.last <= since:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)


def put(connection: sqlite3.Connection, taken: list[Note]) -> int:
    """The number of the first."""
    before = last_number(connection)
    connection.execute(PUT_EVENTS, (before + len(taken), before + 1, encode(taken)))
    return before + 1


def last_number(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT MAX(last) FROM events").fetchone()
    return last or 0


def after(connection: sqlite3.Connection, since: int, *, limit: int = 1000) -> list[Entry]:
    """In order, from behind `since`; at least `limit` of them, if there are as many."""
    found: list[Entry] = []
    rows = connection.execute(
        "SELECT first, data FROM events WHERE last > ? ORDER BY last", (since,)
    )
    for first, data in rows:
        entries = (Entry(first + place, *note) for place, note in enumerate(json.loads(data)))
        found += [entry for entry in entries if entry.seq > since]
        if len(found) >= limit:
            break
    return found


def newest(
    connection: sqlite3.Connection, count: int, is_wanted: Callable[[Entry], bool]
) -> tuple[list[Entry], int]:
    """The last `count` that are wanted, in order, and the number to go on from."""
    found: list[Entry] = []
    for first, data in connection.execute("SELECT first, data FROM events ORDER BY last DESC"):
        if len(found) >= count:
            break
        notes = json.loads(data)
        entries = [Entry(first + place, *note) for place, note in enumerate(notes)]
        found += [entry for entry in reversed(entries) if is_wanted(entry)]
    return found[:count][::-1], last_number(connection)


def first_number(connection: sqlite3.Connection) -> int:
    """The oldest that is kept; 1 when there is none."""
    (first,) = connection.execute("SELECT MIN(first) FROM events").fetchone()
    return first or 1


def prune(connection: sqlite3.Connection, *, keep: int = KEEP_EVENTS) -> None:
    connection.execute(
        "DELETE FROM events WHERE last <= (SELECT MAX(last) FROM events) - ?", (keep,)
    )

"""History: which request ran what, when, with which result; and how long it is kept.

Each function takes a connection and is run by the writer thread: `store.query(recent_runs, …)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rumpel.cache import events
from rumpel.cache.records import Attempt, RunRow, attempt_of, run_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

KEEP_RUNS: Final = 500
KEEP_ATTEMPTS: Final = 20
"""Attempts kept for each node; the one its record came from is always kept."""
KEEP_S: Final = 90 * 86400.0
"""And nothing for longer than this."""


def running(connection: sqlite3.Connection) -> list[RunRow]:
    """Those that have not ended: going on, or left by a daemon that was killed."""
    return [run_of(row) for row in connection.execute("SELECT * FROM run WHERE state = 'running'")]


def recent_runs(
    connection: sqlite3.Connection, *, subject: str | None = None, limit: int = 50
) -> list[RunRow]:
    """Newest first; `subject` is what the graph was made for, such as a pod id."""
    if subject is None:
        rows = connection.execute("SELECT * FROM run ORDER BY id DESC LIMIT ?", (limit,))
    else:
        rows = connection.execute(
            "SELECT * FROM run WHERE subject = ? ORDER BY id DESC LIMIT ?", (subject, limit)
        )
    return [run_of(row) for row in rows]


ATTEMPT = (
    "SELECT a.id, run_id, node_id, kind, number, fp, nonce, state, reasons, started_at, ended_at,"
    " error, blob.data FROM attempt a LEFT JOIN blob ON blob.digest = a.log"
)


def attempts_of_run(connection: sqlite3.Connection, run_id: int) -> list[Attempt]:
    rows = connection.execute(f"{ATTEMPT} WHERE run_id = ? ORDER BY a.id", (run_id,))
    return [attempt_of(row) for row in rows]


def attempts_of_nodes(
    connection: sqlite3.Connection, node_ids: Sequence[str], *, limit: int = 50
) -> list[Attempt]:
    """Newest first, over all the nodes together."""
    marks = ",".join("?" * len(node_ids))
    rows = connection.execute(
        f"{ATTEMPT} WHERE node_id IN ({marks}) ORDER BY a.id DESC LIMIT ?",
        (*node_ids, limit),
    )
    return [attempt_of(row) for row in rows]


def last_attempts(
    connection: sqlite3.Connection, is_wanted: Callable[[str], bool]
) -> list[Attempt]:
    """The last one of each node whose id is wanted, oldest first."""
    found = connection.execute("SELECT node_id, MAX(id) FROM attempt GROUP BY node_id")
    wanted = sorted(attempt for node_id, attempt in found if is_wanted(node_id))
    rows = (connection.execute(f"{ATTEMPT} WHERE a.id = ?", (one,)).fetchone() for one in wanted)
    return [attempt_of(row) for row in rows]


def prune(
    connection: sqlite3.Connection,
    *,
    now: float,
    keep_runs: int = KEEP_RUNS,
    keep_attempts: int = KEEP_ATTEMPTS,
    keep_s: float = KEEP_S,
) -> None:
    """Drop old history. Records, open intents and what they point to are never touched."""
    connection.execute(
        "DELETE FROM run WHERE state != 'running' AND (ended_at < ? OR id NOT IN"
        " (SELECT id FROM run ORDER BY id DESC LIMIT ?))",
        (now - keep_s, keep_runs),
    )
    connection.execute(
        "DELETE FROM attempt WHERE (ended_at < ? OR id IN (SELECT id FROM (SELECT id,"
        " ROW_NUMBER() OVER (PARTITION BY node_id ORDER BY id DESC) AS age FROM attempt)"
        " WHERE age > ?)) AND state != 'running' AND id NOT IN (SELECT attempt FROM node)",
        (now - keep_s, keep_attempts),
    )
    connection.execute(
        "DELETE FROM blob WHERE digest NOT IN (SELECT log FROM attempt WHERE log IS NOT NULL)"
    )
    events.prune(connection)


def counters(connection: sqlite3.Connection) -> dict[str, Any]:
    """The highest number used so far in each table that is numbered in RAM."""
    found = {}
    for name, column, table in (("run", "id", "run"), ("attempt", "id", "attempt")):
        (highest,) = connection.execute(f"SELECT MAX({column}) FROM {table}").fetchone()  # noqa: S608 - names from this file
        found[name] = highest or 0
    return found

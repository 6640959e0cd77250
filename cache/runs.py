"""History: which request ran what, when, with which result; and how long it is kept.

Each function takes a connection and is run by the writer thread: `store.query(recent_runs, …)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rumpel.cache.records import Attempt, RunRow, attempt_of, run_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

KEEP_RUNS: Final = 500
KEEP_ATTEMPTS: Final = 20
"""Attempts kept for each node; the one its record came from is always kept."""


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


def attempts_of_run(connection: sqlite3.Connection, run_id: int) -> list[Attempt]:
    rows = connection.execute("SELECT * FROM attempt WHERE run_id = ? ORDER BY id", (run_id,))
    return [attempt_of(row) for row in rows]


def attempts_of_nodes(
    connection: sqlite3.Connection, node_ids: Sequence[str], *, limit: int = 50
) -> list[Attempt]:
    """Newest first, over all the nodes together."""
    marks = ",".join("?" * len(node_ids))
    rows = connection.execute(
        f"SELECT * FROM attempt WHERE node_id IN ({marks}) ORDER BY id DESC LIMIT ?",  # noqa: S608 - marks are only "?"
        (*node_ids, limit),
    )
    return [attempt_of(row) for row in rows]


def events_of_run(
    connection: sqlite3.Connection, run_id: int, *, after: int = 0
) -> list[tuple[int, float, str, str, str]]:
    """`(seq, at, kind, node_id, data as JSON text)` in order, from behind `after`."""
    rows = connection.execute(
        "SELECT seq, at, kind, node_id, data FROM event WHERE run_id = ? AND seq > ? ORDER BY seq",
        (run_id, after),
    )
    return [tuple(row) for row in rows]


def prune(
    connection: sqlite3.Connection,
    *,
    keep_runs: int = KEEP_RUNS,
    keep_attempts: int = KEEP_ATTEMPTS,
) -> None:
    """Drop old history. Records, open intents and what they point to are never touched."""
    connection.execute(
        "DELETE FROM run WHERE state != 'running' AND id NOT IN"
        " (SELECT id FROM run ORDER BY id DESC LIMIT ?)",
        (keep_runs,),
    )
    connection.execute("DELETE FROM event WHERE run_id NOT IN (SELECT id FROM run)")
    connection.execute(
        "DELETE FROM attempt WHERE id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER"
        " (PARTITION BY node_id ORDER BY id DESC) AS age FROM attempt) WHERE age > ?)"
        " AND state != 'running' AND id NOT IN (SELECT attempt FROM node)",
        (keep_attempts,),
    )


def counters(connection: sqlite3.Connection) -> dict[str, Any]:
    """The highest number used so far in each table that is numbered in RAM."""
    found = {}
    for name, column, table in (("run", "id", "run"), ("attempt", "id", "attempt")):
        (highest,) = connection.execute(f"SELECT MAX({column}) FROM {table}").fetchone()  # noqa: S608 - names from this file
        found[name] = highest or 0
    return found

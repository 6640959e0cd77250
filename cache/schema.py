"""The tables, their migrations, and what happens to a database that cannot be read."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final

from rumpel.errors import Conflict, RumpelError

if TYPE_CHECKING:
    from pathlib import Path

MIGRATIONS: Final = (
    """
    CREATE TABLE node(
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL,
        components TEXT NOT NULL, fp TEXT NOT NULL, output TEXT, attempt INTEGER NOT NULL,
        elapsed_s REAL NOT NULL, updated_at REAL NOT NULL, failure TEXT) WITHOUT ROWID;
    CREATE TABLE attempt(
        id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, node_id TEXT NOT NULL,
        kind TEXT NOT NULL, number INTEGER NOT NULL, fp TEXT NOT NULL, nonce TEXT NOT NULL,
        state TEXT NOT NULL, reasons TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL,
        error TEXT, log TEXT);
    CREATE INDEX attempt_node ON attempt(node_id, id);
    CREATE TABLE run(
        id INTEGER PRIMARY KEY, verb TEXT NOT NULL, subject TEXT NOT NULL, state TEXT NOT NULL,
        started_at REAL NOT NULL, ended_at REAL, nodes TEXT NOT NULL);
    CREATE INDEX run_subject ON run(subject, id);
    CREATE TABLE event(
        seq INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
        node_id TEXT NOT NULL, data TEXT NOT NULL);
    CREATE INDEX event_run ON event(run_id, seq);
    CREATE TABLE pod(
        pod_id TEXT PRIMARY KEY, repo_id TEXT NOT NULL, name TEXT NOT NULL, host TEXT NOT NULL,
        definition TEXT NOT NULL, created_at REAL NOT NULL, deleted_at REAL) WITHOUT ROWID;
    CREATE TABLE trust(
        repo_id TEXT NOT NULL, digest TEXT NOT NULL, granted_at REAL NOT NULL,
        items TEXT NOT NULL, PRIMARY KEY(repo_id, digest)) WITHOUT ROWID;
    CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    # Logs by their digest, and one row of events for each group commit. History of before goes.
    """
    DROP TABLE event;
    CREATE TABLE events(
        last INTEGER PRIMARY KEY, first INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE blob(digest TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
    UPDATE attempt SET log = NULL;
    """,
)
"""One script per schema version; `user_version` counts the ones applied."""

CHECKED_BYTES: Final = 64 << 20
"""Above this a full check at start would cost more than it is worth."""
CHECKPOINT_PAGES: Final = 4000
"""A checkpoint is two more syncs: one per 4000 pages keeps the mean under two a node."""


def open_database(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Open or create the database; blocking, in the thread that will use it.

    Returns the connection and whether an unreadable file was moved aside. Raises Conflict when
    another process holds it, RumpelError when it cannot be opened at all.
    """
    try:
        try:
            return _connect(path), False
        except sqlite3.OperationalError:
            raise  # locked, full, no permission: the file itself may be fine
        except sqlite3.DatabaseError:
            _move_aside(path)
            return _connect(path), True
    except (sqlite3.Error, OSError) as error:
        raise translated(error, path) from error


def translated(error: sqlite3.Error | OSError, path: Path) -> RumpelError:
    """A database error in words for the user."""
    text = str(error)
    if "locked" in text:
        return Conflict(
            f"the state database {path} is in use by another process", details={"reason": text}
        )
    hint = "free some disk space" if "full" in text else None
    return RumpelError(
        f"the state database {path} cannot be used: {text}", hint=hint, details={"reason": text}
    )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0.5, isolation_level=None, cached_statements=64)
    try:
        # One owner: no shared memory, no file locks per transaction, and the WAL-reset bug of
        # SQLite before 3.51.3, which needs two connections, cannot strike.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        if path.stat().st_size <= CHECKED_BYTES:
            _check(connection)
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"database disk image is malformed: {verdict}")


def migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise RumpelError(
            f"the state was written by a newer rumpel (schema {version}, known {len(MIGRATIONS)})",
            hint="upgrade rumpel",
        )
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version={number + 1}; COMMIT;"
        )


def _move_aside(path: Path) -> None:
    """Keep the unreadable files for whoever wants to look; Docker and git are the truth."""
    tag = f".unreadable-{time.time_ns()}"
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(path.name + suffix + tag))

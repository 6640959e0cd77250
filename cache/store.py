"""The state database: reads are synchronous and from RAM, writes are durable and awaited.

At most two transactions a node: `begin_attempt` (before the effect) and `finish_attempt` or
`fail_attempt` (after it). Transactions become durable in the order they were queued, so whatever
is durable stands on what was queued before it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from rumpel.cache import events, runs
from rumpel.cache.events import EventLog
from rumpel.cache.mirror import load
from rumpel.cache.records import (
    Attempt,
    Intent,
    PodRow,
    Record,
    TrustRow,
    blob_of,
    encode,
    record_row,
)
from rumpel.cache.writer import Queued, Writer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from pathlib import Path

T = TypeVar("T")
Statement = tuple[str, tuple[Any, ...]]

PUT_NODE = "INSERT OR REPLACE INTO node VALUES(?,?,?,?,?,?,?,?,?,?)"
PUT_ATTEMPT = "INSERT INTO attempt VALUES(?,?,?,?,?,?,?,?,?,?,NULL,NULL,NULL)"
END_ATTEMPT = "UPDATE attempt SET state=?, ended_at=?, error=?, log=? WHERE id=?"
PUT_RUN = "INSERT OR REPLACE INTO run VALUES(?,?,?,?,?,?,?)"
PUT_BLOB = "INSERT OR IGNORE INTO blob VALUES(?,?)"
PUT_POD = "INSERT OR REPLACE INTO pod VALUES(?,?,?,?,?,?,?)"
SET_KEY = "INSERT OR REPLACE INTO kv VALUES(?,?)"
PUT_TRUST = "INSERT OR REPLACE INTO trust VALUES(?,?,?,?)"

PRUNE_EVERY = 200
"""Runs between two prunings of the history."""


class Store:
    """`async with Store(path) as store:`, or `await Store.open(path)` and `await store.close()`.

    Methods that read answer from RAM at once; what writes is a coroutine or returns a future that
    ends when the change is durable (it happens also when nobody waits; shield a shared one).
    """

    def __init__(
        self, path: Path, *, now: Callable[[], float] = time.time, writer: Writer | None = None
    ) -> None:
        self._writer = writer or Writer(path)
        self._writer.last_words = self._events
        self.now = now
        self.log = EventLog(now, self._writer.nudge)
        self._records: dict[str, Record] = {}
        self._pods: dict[str, PodRow] = {}
        self._alive: tuple[PodRow, ...] | None = None
        """Of `pods`, until one of them changes."""
        self._trust: dict[tuple[str, str], TrustRow] = {}
        self._kv: dict[str, Any] = {}
        self._intents: dict[int, Intent] = {}
        self._last_run = 0
        self._last_attempt = 0
        self.records: Mapping[str, Record] = MappingProxyType(self._records)
        self.kv: Mapping[str, Any] = MappingProxyType(self._kv)
        self.intents: Mapping[int, Intent] = MappingProxyType(self._intents)
        """Open intents by attempt: running now, or left by a daemon that was killed."""

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Raises Conflict when another process has it open, RumpelError when it cannot be."""
        return await cls(path).__aenter__()

    async def __aenter__(self) -> Self:
        await self._writer.start()
        mirror = await self._writer.submit(load)
        self._records.update(mirror.records)
        self._pods.update(mirror.pods)
        self._alive = None
        self._trust.update(mirror.trust)
        self._kv.update(mirror.kv)
        self._intents.update(mirror.intents)
        self._last_run, self._last_attempt = mirror.last_run, mirror.last_attempt
        self.log.last = mirror.last_event
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._writer.stop()

    @property
    def is_empty(self) -> bool:
        """Nothing was ever done with it."""
        return not (self._last_run or self._pods or self._records)

    @property
    def was_reset(self) -> bool:
        """The file could not be read: it was moved aside and this one is new."""
        return self._writer.was_reset

    @property
    def commits(self) -> int:
        return self._writer.commits

    def query(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
        """Run a function of `rumpel.cache.runs` on the connection, in its thread."""
        return self._writer.submit(lambda connection: function(connection, *args, **kwargs))

    def next_run_id(self) -> int:
        self._last_run += 1
        return self._last_run

    def next_attempt_id(self) -> int:
        self._last_attempt += 1
        return self._last_attempt

    def begin_run(self, run_id: int, verb: str, subject: str) -> asyncio.Future[None]:
        self.log.note(run_id, "run-began", verb=verb, subject=subject)
        row = (run_id, verb, subject, "running", self.now(), None, "{}")
        return self._execute((PUT_RUN, row))

    def end_run(
        self,
        run_id: int,
        verb: str,
        subject: str,
        *,
        state: str,
        started_at: float,
        nodes: Mapping[str, str],
    ) -> asyncio.Future[None]:
        """One row for the run with the state of every node, the cached ones included."""
        row = (run_id, verb, subject, state, started_at, self.now(), encode(nodes))
        if run_id % PRUNE_EVERY == 0:
            self._writer.submit(partial(runs.prune, now=self.now()))
        odd = {name: state for name, state in nodes.items() if state not in ("ok", "cached")}
        self.log.note(run_id, "run-ended", verb=verb, subject=subject, state=state, nodes=odd)
        return self._execute((PUT_RUN, row))

    def begin_attempt(self, attempt: Attempt) -> asyncio.Future[None]:
        """The attempt, and so the intent: durable before the effect may start."""
        self._intents[attempt.id] = Intent(
            attempt.id, attempt.node_id, attempt.kind, attempt.nonce, attempt.started_at
        )
        self.log.note(
            attempt.run_id,
            "node-running",
            attempt.node_id,
            attempt=attempt.id,
            number=attempt.number,
        )
        return self._execute((PUT_ATTEMPT, _attempt_row(attempt)))

    def finish_attempt(
        self, attempt: Attempt, record: Record, *, log: str = ""
    ) -> asyncio.Future[None]:
        """The effect holds: record, end of the attempt and event, in one transaction.

        The record is visible in `records` at once: what is queued later is durable later.
        """
        self._records[record.node_id] = record
        self._intents.pop(attempt.id, None)
        now = record.updated_at or self.now()
        elapsed_s = round(record.elapsed_s, 6)
        self.log.note(
            attempt.run_id, "node-ok", attempt.node_id, attempt=attempt.id, elapsed_s=elapsed_s
        )
        return self._end(attempt.id, "ok", now, None, log, (PUT_NODE, record_row(record)))

    def fail_attempt(
        self,
        attempt: Attempt,
        *,
        state: str,
        error: Mapping[str, Any],
        log: str = "",
        marks_node: bool = True,
    ) -> asyncio.Future[None]:
        """The attempt ended without a result. The node's last good record stays.

        With `marks_node` the node is stale until an attempt succeeds; without it (the effect had
        not started, or a retry follows) the record is left as it is.
        """
        now = self.now()
        self._intents.pop(attempt.id, None)
        kept = encode(error)
        self.log.note(
            attempt.run_id,
            f"node-{state}",
            attempt.node_id,
            attempt=attempt.id,
            code=error.get("code"),
            message=error.get("message"),
        )
        if not marks_node:
            return self._end(attempt.id, state, now, kept, log)
        failure = {"state": state, "attempt": attempt.id, "at": now, "error": dict(error)}
        mark = (PUT_NODE, record_row(self._mark(attempt, failure)))
        return self._end(attempt.id, state, now, kept, log, mark)

    def _end(
        self, attempt: int, state: str, at: float, error: str | None, log: str, *more: Statement
    ) -> asyncio.Future[None]:
        """The end of an attempt, its log by digest, and what follows from it."""

        def job(connection: sqlite3.Connection) -> None:
            digest = None
            if log:
                digest, data = blob_of(log)
                connection.execute(PUT_BLOB, (digest, data))
            connection.execute(END_ATTEMPT, (state, at, error, digest, attempt))
            for sql, parameters in more:
                connection.execute(sql, parameters)

        return self._writer.submit(job)

    def _mark(self, attempt: Attempt | Intent, failure: Mapping[str, Any]) -> Record:
        known = self._records.get(attempt.node_id)
        if known is None:
            known = Record(
                node_id=attempt.node_id,
                kind=attempt.kind,
                version=0,
                components_text="{}",
                fp="",
                output_text=None,
                attempt=0,
            )
        marked = replace(known, failure=failure, updated_at=failure["at"])
        self._records[attempt.node_id] = marked
        return marked

    async def close_intents(self, error: Mapping[str, Any]) -> tuple[Intent, ...]:
        """After a crash: every open intent becomes a failed node, every open run a crashed one."""
        left = tuple(self._intents.values())
        now = self.now()
        statements: list[Statement] = [
            ("UPDATE run SET state='crashed', ended_at=? WHERE state='running'", (now,))
        ]
        for intent in left:
            failure = {"state": "crashed", "attempt": intent.attempt, "at": now, "error": error}
            statements += [
                (PUT_NODE, record_row(self._mark(intent, failure))),
                (END_ATTEMPT, ("crashed", now, encode(error), None, intent.attempt)),
            ]
            self.log.note(0, "node-crashed", intent.node_id, attempt=intent.attempt)
        self._intents.clear()
        crashed = await self.query(runs.running)
        for row in crashed:
            self.log.note(
                row.id, "run-ended", verb=row.verb, subject=row.subject, state="crashed", nodes={}
            )
        await self._execute(*statements)
        return left

    async def forget(self, node_ids: Iterable[str]) -> None:
        """Drop the records of nodes whose resource is gone for good. History stays."""
        ids = [(node_id,) for node_id in node_ids if self._records.pop(node_id, None)]
        if ids:
            await self._many("DELETE FROM node WHERE id=?", ids)

    def pods(self) -> tuple[PodRow, ...]:
        """All pods that are not deleted, oldest first."""
        if self._alive is None:
            alive = (pod for pod in self._pods.values() if pod.deleted_at is None)
            self._alive = tuple(sorted(alive, key=lambda pod: (pod.created_at, pod.pod_id)))
        return self._alive

    def pod(self, pod_id: str) -> PodRow | None:
        return self._pods.get(pod_id)

    async def put_pod(self, pod: PodRow, kept: Mapping[str, Any] | None = None) -> None:
        """`kept`: keys and values that are set in the same transaction."""
        self._kv.update(kept or {})
        self._pods[pod.pod_id], self._alive = pod, None
        definition = encode(pod.definition)
        row = (pod.pod_id, pod.repo_id, pod.name, pod.host, definition)
        more = [(SET_KEY, (key, encode(value))) for key, value in (kept or {}).items()]
        await self._execute((PUT_POD, (*row, pod.created_at, pod.deleted_at)), *more)

    async def delete_pod(self, pod_id: str) -> None:
        """The row goes; to keep it as deleted, put it with `deleted_at`."""
        if self._pods.pop(pod_id, None):
            self._alive = None
            await self._execute(("DELETE FROM pod WHERE pod_id=?", (pod_id,)))

    def trusted(self, repo_id: str, digest: str) -> TrustRow | None:
        return self._trust.get((repo_id, digest))

    async def grant_trust(self, row: TrustRow) -> None:
        self._trust[row.repo_id, row.digest] = row
        await self._execute(
            (PUT_TRUST, (row.repo_id, row.digest, row.granted_at, encode(row.items)))
        )

    def kv_get(self, key: str, default: Any = None) -> Any:
        return self._kv.get(key, default)

    def kv_put(self, key: str, value: Any) -> Coroutine[Any, Any, None]:
        """As `kv_set`, in memory at once; what is answered makes it durable."""
        self._kv[key] = value
        return self.kv_set(key, value)

    async def kv_set(self, key: str, value: Any) -> None:
        """Any JSON value; None removes the key."""
        if value is None:
            self._kv.pop(key, None)
            await self._execute(("DELETE FROM kv WHERE key=?", (key,)))
        else:
            self._kv[key] = value
            await self._execute((SET_KEY, (key, encode(value))))

    def _events(self) -> Queued | None:
        """The events of a batch, as its last transaction."""
        taken = self.log.take()
        if not taken:
            return None

        def ended(done: asyncio.Future[int]) -> None:
            if done.exception() is None:
                self.log.written(taken, done.result())
            else:
                self.log.refused(taken)

        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.add_done_callback(ended)
        return Queued(lambda connection: events.put(connection, taken), future)

    def _execute(self, *statements: Statement) -> asyncio.Future[None]:
        def job(connection: sqlite3.Connection) -> None:
            for sql, parameters in statements:
                connection.execute(sql, parameters)

        return self._writer.submit(job)

    def _many(self, sql: str, rows: list[tuple[Any, ...]]) -> asyncio.Future[None]:
        def job(connection: sqlite3.Connection) -> None:
            connection.executemany(sql, rows)

        return self._writer.submit(job)


def _attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    return (
        attempt.id,
        attempt.run_id,
        attempt.node_id,
        attempt.kind,
        attempt.number,
        attempt.fp,
        attempt.nonce,
        attempt.state,
        encode(attempt.reasons),
        attempt.started_at,
    )

"""Reading the tables into RAM at start. A row that cannot be decoded is dropped, not fatal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rumpel.cache.events import last_number
from rumpel.cache.records import Intent, PodRow, Record, TrustRow, pod_of, record_of, trust_of
from rumpel.cache.runs import counters

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
_OPEN = "SELECT id, node_id, kind, nonce, started_at FROM attempt WHERE state = 'running'"


class Mirror(NamedTuple):
    records: dict[str, Record]
    pods: dict[str, PodRow]
    trust: dict[tuple[str, str], TrustRow]
    kv: dict[str, Any]
    intents: dict[int, Intent]
    last_run: int
    last_attempt: int
    last_event: int


def load(connection: sqlite3.Connection) -> Mirror:
    """Everything the daemon reads without asking the database."""

    def rows(table: str) -> Iterable[tuple[Any, ...]]:
        return connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - names from below

    highest = counters(connection)
    return Mirror(
        records={record.node_id: record for record in _decoded(record_of, rows("node"))},
        pods={pod.pod_id: pod for pod in _decoded(pod_of, rows("pod"))},
        trust={(row.repo_id, row.digest): row for row in _decoded(trust_of, rows("trust"))},
        kv=dict(_decoded(_pair, rows("kv"))),
        intents={row[0]: Intent._make(row) for row in connection.execute(_OPEN)},
        last_run=highest["run"],
        last_attempt=highest["attempt"],
        last_event=last_number(connection),
    )


def _decoded(
    decode: Callable[[tuple[Any, ...]], T], rows: Iterable[tuple[Any, ...]]
) -> Iterator[T]:
    for row in rows:
        try:
            value = decode(row)
        except (ValueError, TypeError):  # damaged text: the world is asked again instead
            continue
        yield value


def _pair(row: tuple[Any, ...]) -> tuple[str, Any]:
    return row[0], json.loads(row[1])

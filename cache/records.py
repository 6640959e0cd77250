"""What the state remembers, as values. Rows in SQLite, mirrored in RAM for reading."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rumpel import jsonline

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKED_BYTES: Final = 4096
"""A log longer than this is kept compressed."""


@dataclass(slots=True)
class Record:
    """The last good result of a node, and the failure since, if any.

    A node that never succeeded has `output` None and an empty `fp`.
    """

    node_id: str
    kind: str
    version: int
    components_text: str
    """The components of the fingerprint as canonical JSON."""
    fp: str
    output_text: str | None
    attempt: int
    """The attempt that produced `output`; 0 when there is none."""
    elapsed_s: float = 0.0
    updated_at: float = 0.0
    failure: Mapping[str, Any] | None = None
    """`{"state", "attempt", "at", "error": {code, message, ...}}` of the last attempt."""
    fresh: Any = field(default=None, init=False, repr=False, compare=False)
    """What a plan says of the node while nothing has changed; never stored."""
    values: Mapping[str, Any] | None = field(default=None, init=False, repr=False, compare=False)
    """The output parsed, once somebody looked at it so; never stored."""
    live: bytes | None = field(default=None, init=False, repr=False, compare=False)
    """The components as they agreed the last time, marshalled; never stored."""

    @property
    def components(self) -> Mapping[str, Any]:
        """Parsed each time somebody looks: most records are only compared."""
        found: Mapping[str, Any] = json.loads(self.components_text)
        return found

    @property
    def output(self) -> Mapping[str, Any] | None:
        if self.values is None and self.output_text is not None:
            self.values = json.loads(self.output_text)
        return self.values


class Attempt(NamedTuple):
    """One execution of a node. `ended_at` None = still running (or the daemon died)."""

    id: int
    run_id: int
    node_id: str
    kind: str
    number: int
    fp: str
    nonce: str
    started_at: float
    reasons: tuple[Mapping[str, Any], ...] = ()
    state: str = "running"
    ended_at: float | None = None
    error: Mapping[str, Any] | None = None
    log: str = ""


class Intent(NamedTuple):
    """An effect that may have happened: an attempt that has not ended."""

    attempt: int
    node_id: str
    kind: str
    nonce: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRow:
    """A pod as the user made it. `definition` is what its graph is built from."""

    pod_id: str
    repo_id: str
    name: str
    host: str
    definition: Mapping[str, Any]
    created_at: float
    deleted_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRow:
    """The user's consent to what one repository's configuration does to the host."""

    repo_id: str
    digest: str
    granted_at: float
    items: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One request: the states its nodes ended in."""

    id: int
    verb: str
    subject: str
    state: str
    started_at: float
    ended_at: float | None
    nodes: Mapping[str, str]


encode = jsonline.encoder()
"""JSON as it is stored. Raises TypeError or ValueError for what JSON cannot say."""


def record_row(record: Record) -> tuple[Any, ...]:
    return (
        record.node_id,
        record.kind,
        record.version,
        record.components_text,
        record.fp,
        record.output_text,
        record.attempt,
        record.elapsed_s,
        record.updated_at,
        None if record.failure is None else encode(record.failure),
    )


def record_of(row: tuple[Any, ...]) -> Record:
    """Raises ValueError when the JSON in the row is broken."""
    node_id, kind, version, components, fp, output, attempt, elapsed_s, updated_at, failure = row
    return Record(
        node_id=node_id,
        kind=kind,
        version=version,
        components_text=components,
        fp=fp,
        output_text=output,
        attempt=attempt,
        elapsed_s=elapsed_s,
        updated_at=updated_at,
        failure=None if failure is None else json.loads(failure),
    )


def attempt_of(row: tuple[Any, ...]) -> Attempt:
    return Attempt(
        id=row[0],
        run_id=row[1],
        node_id=row[2],
        kind=row[3],
        number=row[4],
        fp=row[5],
        nonce=row[6],
        state=row[7],
        reasons=tuple(json.loads(row[8])),
        started_at=row[9],
        ended_at=row[10],
        error=None if row[11] is None else json.loads(row[11]),
        log=text_of(row[12]),
    )


def blob_of(text: str) -> tuple[str, str | bytes]:
    """(digest, what is kept) of a log; a long one is packed. For the writer's thread."""
    data = text.encode("utf-8", "replace")
    digest = blake2b(data, digest_size=16).hexdigest()
    return digest, zlib.compress(data, 1) if len(data) > PACKED_BYTES else data.decode()


def text_of(kept: str | bytes | None) -> str:
    if isinstance(kept, bytes):
        return zlib.decompress(kept).decode()
    return kept or ""


def pod_of(row: tuple[Any, ...]) -> PodRow:
    return PodRow(
        pod_id=row[0],
        repo_id=row[1],
        name=row[2],
        host=row[3],
        definition=json.loads(row[4]),
        created_at=row[5],
        deleted_at=row[6],
    )


def trust_of(row: tuple[Any, ...]) -> TrustRow:
    return TrustRow(
        repo_id=row[0], digest=row[1], granted_at=row[2], items=tuple(json.loads(row[3]))
    )


def run_of(row: tuple[Any, ...]) -> RunRow:
    return RunRow(
        id=row[0],
        verb=row[1],
        subject=row[2],
        state=row[3],
        started_at=row[4],
        ended_at=row[5],
        nodes=json.loads(row[6]),
    )

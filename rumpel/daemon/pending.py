"""Work that a new pod is still to get: a fork's, from the moment it is announced until it has it.

It is in the database, so that whatever finishes the pod (`create`, `enter`, the same fork again)
brings the work, too. The snapshot of the source is taken while the pod is made; once it is taken,
that one is what the pod gets. It gets it once: what it has after that is later work, whatever
its lifecycle commands did, and whatever container it has then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rumpel.daemon import left
from rumpel.daemon.nodes import is_own
from rumpel.engine.events import DONE
from rumpel.errors import Conflict
from rumpel.graphs.ids import node_id
from rumpel.graphs.snapshot import add_snapshot
from rumpel.graphs.workspace import Work

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.engine.execute import RunResult
    from rumpel.engine.graph import Graph
    from rumpel.errors import RumpelError
    from rumpel.model import PodSpec

PENDING = "pending/"
"""`pending/<pod id>` in the store: {"of": id of the source} until its snapshot was taken, then
also "snapshot": its commit, or null when there was nothing to take. Stays until all of the pod is
done: until then the same fork again goes on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Work that is held already, of a pod that is not asked again."""

    source_id: str
    snapshot: str


async def note(app: App, spec: PodSpec, source_id: str) -> None:
    await app.store.kv_set(f"{PENDING}{spec.pod_id}", {"of": source_id})


async def note_taken(app: App, spec: PodSpec, taken: Taken) -> None:
    value = {"of": taken.source_id, "snapshot": taken.snapshot}
    await app.store.kv_set(f"{PENDING}{spec.pod_id}", value)


def source_of(app: App, pod_id: str) -> str | None:
    """Of which pod it is a fork that was not finished."""
    found = app.store.kv_get(f"{PENDING}{pod_id}")
    return None if found is None else str(found["of"])


def has_it(app: App, spec: PodSpec) -> bool:
    """Did the pod get its work, or something else in its place, ever?"""
    record = app.pods.record("restore", spec)
    if record is None or record.output_text is None:
        return False
    return record.components.get("pod") == spec.pod_id


def add(app: App, graph: Graph, specs: list[PodSpec], made: Collection[str]) -> dict[str, Work]:
    """By pod id, with the nodes that take it. After a first attempt somebody may have used a pod:
    it is not `made` then.
    """
    work = {}
    for spec in specs:
        found = app.store.kv_get(f"{PENDING}{spec.pod_id}")
        if found is not None and not has_it(app, spec):
            oid = found["snapshot"] if "snapshot" in found else _taken_now(app, graph, spec)
            work[spec.pod_id] = Work(oid=oid, is_new=spec.pod in made)
    return work


def _taken_now(app: App, graph: Graph, spec: PodSpec) -> str:
    """What the snapshot of the source will be; Raises Conflict when there is no source any more."""
    source = app.pods.by_id(source_of(app, spec.pod_id) or "")
    if source is None:
        raise Conflict(
            f"pod {spec.pod!r} was to be a fork of a pod that was deleted meanwhile",
            hint=f"rumpel delete {spec.pod}; rumpel undelete   lists what can be brought back",
        )
    oid: str = add_snapshot(graph, source.spec, app.pods.access(source.spec)).out("oid")
    return oid


async def forget(app: App, specs: Iterable[PodSpec]) -> None:
    """All of them is done."""
    for spec in specs:
        if source_of(app, spec.pod_id) is not None:
            await app.store.kv_set(f"{PENDING}{spec.pod_id}", None)


async def settle(
    app: App, client: Client, specs: list[PodSpec], result: RunResult
) -> dict[str, RumpelError]:
    """After the run: what is done is forgotten. Answers what kept pods from their work."""
    errors = {}
    for spec in specs:
        await left.tell_replaced(app, client, spec, result)
        if source_of(app, spec.pod_id) is None or app.pods.by_id(spec.pod_id) is None:
            continue
        key, source = f"{PENDING}{spec.pod_id}", app.pods.by_id(source_of(app, spec.pod_id) or "")
        node = "" if source is None else node_id("snapshot", source.spec)
        if node in result.outputs and source is not None:
            taken = result.outputs[node]
            await app.store.kv_set(key, {"of": source.pod_id, "snapshot": taken.oid})
            for line in taken.left:
                client.warn(f"not in the fork of pod {source.name!r}: {line}")
        elif node in result.errors:
            errors[spec.pod] = result.errors[node]
        own = [
            state in DONE
            for name, state in result.states.items()
            if is_own(name, spec.repo.repo_id, spec.pod)
        ]
        if all(own) and has_it(app, spec):
            await app.store.kv_set(key, None)
    return errors

"""A pod whose container is being replaced: nobody else works on it, and a kill is made good.

What is needed to take a replacement back, or to know a finished one, is written down before the
first effect. At the next start that decides, together with the names of the containers (see
tasks.replace), which of the two is the pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rumpel import names
from rumpel.cache.fingerprint import canonical, fingerprint
from rumpel.cache.records import Attempt, Record, encode
from rumpel.daemon import adopt, later
from rumpel.daemon.nodes import is_own
from rumpel.daemon.pods import Pod, find_container
from rumpel.engine import faults
from rumpel.engine.events import DONE
from rumpel.engine.graph import Graph
from rumpel.errors import HostUnreachable, NotFound, RumpelError
from rumpel.graphs.ids import address, node_id
from rumpel.graphs.recreate import Before
from rumpel.model import PodSpec
from rumpel.tasks import container, copy_in, replace, retire, service_parts
from rumpel.tasks.world import Access

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.engine.execute import RunResult
    from rumpel.protocol import Request

log = logging.getLogger(__name__)

JOURNAL = "replacing/"
LOOKING = (
    *("list", "graph", "events", "logs", "config", "daemon-status", "daemon-stop"),
    "exec-exit",
)
LOOK_AGAIN_S = 1.0
RECORDS = ("container", "clone", "copy-in", "sync")
"""Their records know of the new container before it has the old one's place."""


async def undisturbed(app: App, pod_id: str) -> None:
    """Wait while the pod's container is replaced: then its event is in `app.replacing`."""
    while (gate := app.replacing.get(pod_id)) is not None:
        await gate.wait()


async def staying(app: App, pod: Pod) -> None:
    """Wait while somebody replaces or deletes the pod. Raises NotFound when it is gone then."""
    while pod.pod_id in app.replacing or pod.pod_id in app.leaving:
        await undisturbed(app, pod.pod_id)
        for gate in app.leaving.get(pod.pod_id, ())[:1]:
            await gate.wait()
    if app.pods.by_id(pod.pod_id) is None:
        raise NotFound(
            f"pod {pod.name!r} was deleted meanwhile",
            hint=f"rumpel create {pod.name}   makes it anew",
        )


@contextlib.asynccontextmanager
async def leaving(app: App, pods: Iterable[Pod]) -> AsyncIterator[None]:
    """These pods are deleted, to the last note of them: nobody begins to replace one meanwhile.

    Not so who makes one, or starts it: they look afterwards whether there is still a pod.
    """
    ids = [pod.pod_id for pod in pods]
    while closed := [pod_id for pod_id in ids if pod_id in app.replacing]:
        await faults.reach("delete.waits")
        await undisturbed(app, closed[0])
    gate = asyncio.Event()
    for pod_id in ids:
        app.leaving.setdefault(pod_id, []).append(gate)
    try:
        yield
    finally:
        for pod_id in ids:
            app.leaving[pod_id].remove(gate)
            if not app.leaving[pod_id]:
                del app.leaving[pod_id]
        gate.set()


async def turn(app: App, request: Request) -> None:
    """Let a request that is about such a pod wait; who only looks at pods need not.

    Raises HostUnreachable.
    """
    if not app.replacing or request.verb in LOOKING:
        return
    named = {request.args.get("name"), *(request.args.get("names") or ())}
    for pod in app.pods.all():
        is_meant = pod.name in named or request.args.get("all")
        if is_meant and pod.pod_id in app.replacing:
            await app.host(pod.spec.host)  # what waits for an engine that is away waits for ever
            await undisturbed(app, pod.pod_id)


@contextlib.asynccontextmanager
async def alone(app: App, pod: Pod, *, beside: str = "") -> AsyncIterator[None]:
    """Nobody else begins anything with the pod; what was begun ends first.

    `beside`: the verb of what may go on. Raises NotFound when that was its end.
    """
    await staying(app, pod)
    gate = app.replacing[pod.pod_id] = asyncio.Event()
    try:
        await app.runner.until_free(
            lambda graph: graph.verb != beside and _is_about(graph, pod.spec)
        )
        yield
    finally:
        if app.store.kv_get(JOURNAL + pod.pod_id) is None:
            open_gate(app, pod.pod_id)
        else:
            app.background.spawn(_settle_later(app, pod, gate), f"half replaced {pod.name}")


@contextlib.asynccontextmanager
async def making(app: App, pod: Pod) -> AsyncIterator[None]:
    """Its container is replaced; afterwards it is the one or the other, if Docker is there.

    What else went wrong is what is told: `alone` sees to the rest.
    """
    app.creating[pod.pod_id] = app.creating.get(pod.pod_id, 0) + 1
    try:
        yield
    finally:
        try:
            await settle(app, pod)
        except RumpelError as error:
            log.warning("pod %s is half replaced: %s", pod.name, error.message)
        finally:
            app.creating[pod.pod_id] -= 1
            if not app.creating[pod.pod_id]:
                del app.creating[pod.pod_id]
            app.reopen_ports(pod.pod_id)


async def made_good(app: App, pod: Pod) -> None:
    """Before anybody works on it: what could not be settled is tried again. Raises why not."""
    if app.store.kv_get(JOURNAL + pod.pod_id) is not None:
        await later.end(app, pod.pod_id)
        async with alone(app, pod):
            await settle(app, pod)


async def _settle_later(app: App, pod: Pod, gate: asyncio.Event) -> None:
    """Docker went away meanwhile: until it is back and asked, nobody works on the pod."""
    try:
        while app.replacing.get(pod.pod_id) is gate and app.pods.by_id(pod.pod_id) is not None:
            try:
                await app.host(pod.spec.host)
                await settle_all(app, {pod.pod_id: gate})
            except HostUnreachable:
                await asyncio.sleep(LOOK_AGAIN_S)
    finally:
        if app.replacing.get(pod.pod_id) is gate:
            open_gate(app, pod.pod_id)
    app.reopen_ports(pod.pod_id)


def _is_about(graph: Graph, spec: PodSpec) -> bool:
    return any(is_own(name, spec.repo.repo_id, spec.pod) for name in graph.nodes)


def before(app: App, pod: Pod) -> Before:
    """The pod as the warm view has it."""
    snapshot = app.world.snapshot(pod.spec.host)
    found = find_container(snapshot.containers.values(), pod.pod_id) if snapshot else None
    return Before(
        access=app.pods.access(pod.spec),
        folder=pod.spec.container.workspace_folder,
        is_running=found is not None and found.status in ("running", "paused", "restarting"),
        has_services=pod.spec.project is not None,
        ended=app.pods.ended(pod.spec),
    )


async def note(app: App, pod: Pod, spec: PodSpec, was: Before, *, has_copied: bool) -> None:
    """Durable, before anything is done. `has_copied`: what it was given of the host comes over."""
    records = [app.pods.record(kind, pod.spec) for kind in RECORDS]
    entry = {
        "definition": spec.to_json(),
        "access": None if was.access is None else asdict(was.access),
        "was_running": was.is_running,
        "has_copied": has_copied,
        "records": [_record_json(record) for record in records if record is not None],
    }
    await app.store.kv_set(JOURNAL + pod.pod_id, entry)


async def forget(app: App, pod: Pod, result: RunResult) -> None:
    """When it is the new one, or was never another. What it was given may not be known of it yet:
    that step failed, or the daemon stopped before it."""
    entry = app.store.kv_get(JOURNAL + pod.pod_id)
    if entry is not None and result.states.get(node_id(copy_in.KIND, pod.spec)) not in DONE:
        made = result.outputs[node_id("container", pod.spec)]
        await _know_given(app, pod.spec, entry, made.container_id)
    await _forget(app, pod.pod_id)


async def _forget(app: App, pod_id: str) -> None:
    await app.store.kv_set(JOURNAL + pod_id, None)


async def settle(app: App, pod: Pod) -> None:
    """The pod is the one or the other container again, and everything we wrote down says so."""
    entry = app.store.kv_get(JOURNAL + pod.pod_id)
    if entry is None:
        return
    old = None if entry["access"] is None else Access(**entry["access"])
    await replace.settle(app.world, address(pod.spec), old=old, start=entry["was_running"])
    found = await replace.containers(app.world, address(pod.spec))
    if found and old is not None and found[0].id != old.container_id:
        await _know_new(app, pod, entry, found[0].id)
    else:
        for record in entry["records"]:
            await _put_back(app, record)
    await _forget(app, pod.pod_id)


def dismiss(app: App, spec: PodSpec, retired: retire.Output | None) -> None:
    """In the background."""
    if retired is not None:
        work = remove(app, spec, retired.aside)
        app.background.spawn(work, f"old container of {spec.pod}")


async def remove(app: App, spec: PodSpec, container_ids: Iterable[str]) -> None:
    """Of finished replacements."""
    await replace.remove(app.world, address(spec), container_ids)
    if spec.project is not None and spec.project.service:
        await service_parts.tidy(app.world, address(spec), spec.project)
    await faults.reach("recreate.removed")


async def remove_all(app: App) -> None:
    """After a start of the daemon: what the last one had no time to remove."""
    for pod in app.pods.all():
        view = app.snapshots.get(pod.spec.host)
        own = [
            state
            for state in ([] if view is None else view.containers.values())
            if state.labels.get(names.LABEL_POD_ID) == pod.pod_id
        ]
        aside = [state.id for state in own if names.place_in_line(state.name) == 2]
        if len(aside) < len(own):
            await remove(app, pod.spec, aside)


async def settle_all(app: App, gates: Mapping[str, asyncio.Event]) -> None:
    """After a start of the daemon: what a killed one left, as `close_gates` said.

    Docker may have kept it waiting: by now a pod may be replaced by a request of ours.
    """
    for pod_id, gate in gates.items():
        pod = app.pods.by_id(pod_id)
        if pod is None or app.replacing.get(pod_id) is not gate:
            continue
        try:
            await settle(app, pod)
        except Exception as error:  # whatever it is, the other pods are not to wait for this one
            log.warning("pod %s may be left half replaced: %s", pod.name, error)
            if not await app.hosts[pod.spec.host].ping():
                # Once more when it answers; nobody works on the pod until then.
                raise HostUnreachable(f"Docker went away: {error}") from error
        open_gate(app, pod_id)
    app.background.spawn(remove_all(app), "old containers")


def close_gates(app: App) -> dict[str, asyncio.Event]:
    """At a start: of the pods that a killed daemon left half replaced."""
    left = [pod.pod_id for pod in app.pods.all() if app.store.kv_get(JOURNAL + pod.pod_id)]
    gates = {pod_id: asyncio.Event() for pod_id in left}
    app.replacing |= gates
    return gates


def open_gate(app: App, pod_id: str) -> None:
    gate = app.replacing.pop(pod_id, None)
    if gate is not None:
        gate.set()


async def _know_new(app: App, pod: Pod, entry: dict[str, Any], container_id: str) -> None:
    """The swap was done, but its daemon did not live to write down what the pod is now."""
    detail = await app.world.host(pod.spec.host).inspect(container_id)
    memo = adopt.memo_of(detail)
    spec = PodSpec.from_json(entry["definition"])
    made_of = {key: memo.get(key, "") for key in ("image_user", "user", "seed_volume")}
    label = detail.state.labels.get(container.LABEL_SPEC, "")
    made_of |= {"image_id": detail.state.image_id, "spec_label": label}
    beside = app.pods.record("services", spec)
    if spec.project is not None and beside is not None and beside.output is not None:
        # They were made of the same definition, before the container.
        made_of["service_images"] = " ".join(beside.output["image_ids"])
    await app.pods.put(spec, created_at=pod.created_at, made=made_of)
    await _know_given(app, spec, entry, container_id)


async def _know_given(app: App, spec: PodSpec, entry: dict[str, Any], container_id: str) -> None:
    """They came over with the workspace: the pod is not to be given again what it deleted."""
    if entry.get("has_copied") and _has_come_over(app, spec, container_id):
        for record in entry["records"]:
            if record["kind"] == copy_in.KIND:
                await _put_back(app, _in_new(record, container_id))


def _has_come_over(app: App, spec: PodSpec, container_id: str) -> bool:
    """Has this container the workspace that the pod had? Not when it was made for want of one."""
    record = app.pods.record(replace.KIND, spec)
    output = None if record is None else record.output
    if output is None or output["container_id"] != container_id:
        return False
    return bool(output.get("is_kept"))


def _in_new(saved: dict[str, Any], container_id: str) -> dict[str, Any]:
    """A record of what came over with the workspace, as of this container."""
    components = canonical(json.loads(saved["components_text"]) | {"container.id": container_id})
    output = json.loads(saved["output_text"]) | {"container_id": container_id}
    return {
        **saved,
        "components_text": components.decode(),
        "fp": fingerprint(saved["kind"], saved["version"], components),
        "output_text": encode(output),
    }


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "node_id": record.node_id,
        "kind": record.kind,
        "version": record.version,
        "components_text": record.components_text,
        "fp": record.fp,
        "output_text": record.output_text,
        "elapsed_s": record.elapsed_s,
        "updated_at": record.updated_at,
        "failure": record.failure,
    }


async def _put_back(app: App, saved: dict[str, Any]) -> None:
    attempt = Attempt(
        id=app.store.next_attempt_id(),
        run_id=0,
        node_id=saved["node_id"],
        kind=saved["kind"],
        number=1,
        fp=saved["fp"],
        nonce="",
        started_at=saved["updated_at"],
    )
    await app.store.finish_attempt(attempt, Record(**saved, attempt=attempt.id))

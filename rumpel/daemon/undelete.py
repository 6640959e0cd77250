"""`undelete`: a pod comes out of the trash, in a new container, or the trash is listed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rumpel import names
from rumpel.adapters import git_trash
from rumpel.adapters.git_trash import Deleted
from rumpel.daemon import (
    copied_in,
    image_label,
    image_specs,
    initialize,
    outside,
    requests,
    telling,
)
from rumpel.daemon import create as create_verb
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.requests import Base, Target
from rumpel.daemon.trash import BEGUN, describe, in_trash
from rumpel.engine.graph import Graph
from rumpel.engine.operation import Probe
from rumpel.errors import Conflict, NameTaken
from rumpel.graphs.create import create
from rumpel.graphs.ids import address, node_id
from rumpel.graphs.workspace import Work
from rumpel.model import PodSpec, PortSpec
from rumpel.tasks import restore as restore_task

if TYPE_CHECKING:
    from rumpel.devcontainer.config import DevConfig


async def undelete(app: App, client: Client) -> dict[str, object]:
    """The result line: the pod as `create` shows it, or a list of what is in the trash."""
    wanted = client.request.args["name"]
    read = requests.lenient if wanted is None else requests.target
    where = await read(client)
    found = await in_trash(app, where.ref)
    if wanted is None:
        rows = [describe(entry) for entry in found]
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    await _refuse_alive(app, where, found, wanted)
    entry = git_trash.pick(found, wanted)
    name = names.check_pod_name(client.request.args["as"] or entry.pod)
    _refuse_taken(app, where, entry, name)
    host = requests.local_host(entry.host)
    await app.host(host)
    await outside.note(app, client, where.settings, host)
    outcome = await _bring_back(app, client, where, entry, name)
    row = await asyncio.to_thread(create_verb.row, app, outcome, name)
    row |= {"restored": entry.snapshot, "left": list(entry.left)}
    error = outcome.errors.get(name)
    if error is not None:
        return {"error": error.to_json(), "data": row, "warnings": client.warnings}
    return {"result": row, "warnings": client.warnings, "exit_code": 0}


async def _refuse_alive(app: App, where: Target, found: list[Deleted], wanted: str) -> None:
    """A delete that was cut off leaves a pod that is there, whatever the trash says of it.

    Raises HostUnreachable where only Docker can tell: unknown is not gone.
    """
    pod = app.pods.find(where.ref.repo_id, wanted)
    if pod is None or any(wanted in (entry.pod, entry.pod_id) for entry in found):
        return
    await app.host(pod.spec.host)
    access = app.pods.access(pod.spec)
    is_gone = access is None or isinstance(
        app.world.container(pod.spec.host, access.container_id), Probe
    )
    if is_gone:
        raise Conflict(
            f"pod {wanted!r} was not deleted to the end: its container is gone, but not the pod",
            hint=f"rumpel delete --force {wanted}   ends it, then undelete brings it back",
        )
    raise Conflict(
        f"pod {wanted!r} is not deleted: there is nothing to bring back",
        hint=f"rumpel enter {wanted}   goes on with it; rumpel delete {wanted}   deletes it",
    )


def _refuse_taken(app: App, where: Target, entry: Deleted, name: str) -> None:
    if name != entry.pod and name in entry.branches and entry.pod in entry.branches:
        raise NameTaken(
            f"pod {entry.pod!r} has a branch {name!r}, and its own would get that name",
            hint=f"rumpel undelete {entry.pod} --as OTHER-NAME   brings it back under another name",
        )
    known = app.pods.find(where.ref.repo_id, name)
    if known is not None and known.pod_id != entry.pod_id:
        raise NameTaken(
            f"there is a pod {name!r} already",
            hint=f"rumpel undelete {entry.pod} --as NEW-NAME   brings it back under another name",
        )


async def _bring_back(
    app: App, client: Client, where: Target, entry: Deleted, name: str
) -> create_verb.Outcome:
    """Made like any pod, from the configuration of today, with its id and branches of then."""
    branches = _renamed(entry.branches, entry.pod, name)
    await initialize.before(app, client, where)
    outcome = create_verb.Outcome(where)
    outcome.wanted = await copied_in.wanted(app, client, where)
    spec, dev = await _spec(app, client, where, entry, name)
    spec = outcome.wanted.given(spec)
    outcome.devs[entry.pod_id] = dev
    async with app.gate(where.ref.repo_id, spec.host):
        _refuse_taken(app, where, entry, name)
        await asyncio.gather(
            app.store.kv_set(f"{BEGUN}{entry.pod_id}", True),
            app.store.kv_set(f"fresh/{entry.pod_id}", branches),
            app.links.modules.bring_back(
                entry.pod_id,
                {item.key: _renamed(item.branches, entry.pod, name) for item in entry.modules},
            ),
        )
        if app.pods.by_id(entry.pod_id) is None:
            outcome.made.add(name)
        outcome.pods[name] = await app.pods.put(spec)
    await app.links.restore(address(spec))
    app.creating[spec.pod_id] = app.creating.get(spec.pod_id, 0) + 1
    # Of one that was interrupted somebody may have used the pod since.
    work = _work(entry, is_new=name in outcome.made)
    await create_verb.realize(app, client, [spec], outcome, work=work)
    outputs = {} if outcome.result is None else outcome.result.outputs
    done: restore_task.Output | None = outputs.get(node_id("restore", spec))
    for line in () if done is None else done.left:
        client.warn(f"not put back in pod {name!r}: {line}")
    if spec.project is not None and spec.project.services:
        client.warn("services start anew: their volumes went with the pod")
    if name not in outcome.errors:
        await app.world.works.unbury(address(spec))
        await app.store.kv_set(f"{BEGUN}{entry.pod_id}", None)
    return outcome


def _work(entry: Deleted, *, is_new: bool) -> dict[str, Work]:
    if entry.snapshot is None:
        return {}
    return {entry.pod_id: Work(oid=entry.snapshot, is_new=is_new)}


def _renamed(branches: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    return {new if branch == old else branch: oid for branch, oid in branches.items()}


async def _spec(
    app: App, client: Client, where: Target, entry: Deleted, name: str, *, is_real: bool = True
) -> tuple[PodSpec, DevConfig]:
    dev = await requests.dev_config(where, client, pod=name, pod_id=entry.pod_id)
    if is_real:
        for warning in (*where.settings.warnings, *dev.warnings):
            client.warn(warning)
        await requests.consented(app.store, where, client, dev)
    start = Base(branch=entry.base_branch, oid=entry.base_oid)
    asked = requests.good_asks(entry.asked)
    spec = await requests.pod_spec(
        where, dev, pod=name, pod_id=entry.pod_id, start=start, asked=asked
    )
    if is_real:
        await telling.of_secrets(client, spec)
    return replace(spec, host=entry.host, forwards=_forwards(app, entry)), dev


def _forwards(app: App, entry: Deleted) -> tuple[PortSpec, ...]:
    """A local port of its own choice that another pod was given meanwhile stays that pod's."""
    others = [pod.spec for pod in app.pods.all() if pod.pod_id != entry.pod_id]
    taken = {port.local for spec in others for port in spec.open_ports}
    return tuple(
        replace(port, local=None) if port.local in taken else port for port in entry.forwards
    )


async def plan(app: App, client: Client, where: Target, name: str) -> Graph:
    """What `undelete` would do."""
    entry = git_trash.pick(await in_trash(app, where.ref), name)
    spec, dev = await _spec(app, client, where, entry, entry.pod, is_real=False)
    spec = await image_label.looked_at(app, where, spec, dev)
    spec = (await copied_in.look(client, where)).given(spec)
    bases = await image_specs.bases_of(spec)
    return create([spec], bases=bases, work=_work(entry, is_new=True))

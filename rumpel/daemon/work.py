"""`snapshot` and `restore`: uncommitted work of pods, put aside and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rumpel.adapters import git, git_trash, threads
from rumpel.adapters.git_trash import Snapshot
from rumpel.daemon import forward, left, requests
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.requests import Target
from rumpel.engine.events import DONE
from rumpel.engine.graph import Graph
from rumpel.errors import Conflict, RumpelError, UsageError
from rumpel.graphs import restore as restore_graph
from rumpel.graphs import snapshot as snapshot_graph
from rumpel.graphs.ids import node_id
from rumpel.model import RepoRef
from rumpel.tasks import restore as restore_task
from rumpel.tasks import snapshot as snapshot_task


async def snapshot(app: App, client: Client) -> dict[str, object]:
    where = await requests.lenient(client)
    names = tuple(dict.fromkeys(client.request.args["names"]))
    if not names:
        raise UsageError("name at least one pod")
    is_list = bool(client.request.args["list"])
    pods = [app.pods.get(where.ref.repo_id, name, prefix=is_list) for name in names]
    if is_list:
        rows = [row for pod in pods for row in await _listed(where.ref, pod)]
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    for pod in pods:
        await app.host(pod.spec.host)
    pairs = [(pod.spec, app.pods.access(pod.spec)) for pod in pods]
    result = await app.runner.run(snapshot_graph.snapshot(pairs), client)
    rows, errors = [], []
    for pod in pods:
        node = node_id("snapshot", pod.spec)
        if result.states.get(node) in DONE:
            taken = result.outputs[node]
            rows.append(await _taken(where.ref, pod, taken))
            for line in taken.left:
                client.warn(f"not in the snapshot of pod {pod.name!r}: {line}")
            continue
        error = result.errors.get(node) or RumpelError(f"snapshot of {pod.name} did not run")
        errors.append(error)
        rows.append({**_row(pod.name, None), "error": error.to_json()})
    if errors:
        return {"error": errors[0].to_json(), "data": rows, "warnings": client.warnings}
    return {"result": rows, "warnings": client.warnings, "exit_code": 0}


async def restore(app: App, client: Client) -> dict[str, object]:
    where = await requests.lenient(client)
    pod = app.pods.get(where.ref.repo_id, client.request.args["name"])
    chosen = git_trash.choose(
        await _snapshots(where.ref, pod), client.request.args["snapshot"], pod=pod.name
    )
    await app.host(pod.spec.host)
    made_of = app.pods.made_of(pod.spec)
    if made_of is None:
        raise Conflict(
            f"pod {pod.name!r} has no container", hint=f"rumpel create {pod.name}   makes it"
        )
    result = await app.runner.run(restore_graph.restore(pod.spec, made_of, chosen.oid), client)
    forward.raise_unless_port(client, result)
    done: restore_task.Output = result.outputs[node_id("restore", pod.spec)]
    saved = done.saved
    for line in done.left:
        client.warn(f"not put back in pod {pod.name!r}: {line}")
    await left.tell(app, client, pod, done.moved)
    data = {
        **_row(pod.name, chosen),
        "saved": saved,
        "saved_id": None if saved is None else saved[: git_trash.SHORT],
    }
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def plan(app: App, where: Target, pods: list[Pod]) -> Graph:
    """What `restore` would do with the newest snapshots."""
    graph = Graph("restore")
    for pod in pods:
        made_of = app.pods.made_of(pod.spec)
        if made_of is not None:
            chosen = git_trash.choose(await _snapshots(where.ref, pod), None, pod=pod.name)
            graph.merge(restore_graph.restore(pod.spec, made_of, chosen.oid))
    return graph


async def _listed(repo: RepoRef, pod: Pod) -> list[dict[str, Any]]:
    found = await _snapshots(repo, pod)
    return [_row(pod.name, item) for item in found]


async def _taken(repo: RepoRef, pod: Pod, taken: snapshot_task.Output) -> dict[str, Any]:
    held = {item.oid: item for item in await _snapshots(repo, pod)}
    found = None if taken.oid is None else held.get(taken.oid)
    return {**_row(pod.name, found), "files": taken.files, "left": list(taken.left), "error": None}


async def _snapshots(repo: RepoRef, pod: Pod) -> list[Snapshot]:
    opened = await threads.call(git.reopen, repo.work_tree, repo.common_dir)
    return await git_trash.snapshots(opened, pod.pod_id)


def _row(pod: str, snapshot: Snapshot | None) -> dict[str, Any]:
    at = None if snapshot is None else datetime.fromtimestamp(snapshot.at, UTC)
    return {
        "name": pod,
        "id": None if snapshot is None else snapshot.id,
        "oid": None if snapshot is None else snapshot.oid,
        "kind": None if snapshot is None else snapshot.kind,
        "created_at": None if at is None else at.isoformat(timespec="seconds"),
    }

"""`merge`: the pod's commits are imported, and what is known of its branch is told.

The merge is git's, in the process of who asked: nothing here changes a branch of the user.
"""

from __future__ import annotations

from typing import Any

from rumpel.adapters import git, threads
from rumpel.daemon import requests, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.stop import access_of
from rumpel.engine.events import DONE
from rumpel.errors import HostUnreachable, NotFound, RumpelError
from rumpel.graphs import merge as merge_graph
from rumpel.graphs.create import node_id

REVIEWED = "reviewed"
"""`reviewed/<pod id>` in the store: the commit that `review` showed last, {"oid", "at"}."""


async def run(app: App, client: Client) -> dict[str, object]:
    where = await requests.target(client)
    pod = app.pods.get(where.ref.repo_id, client.request.args["name"])
    try:
        await app.host(pod.spec.host)
    except HostUnreachable as error:
        client.warn(f"{error.message}: commits made since the last import are missing")
    result = await app.runner.run(merge_graph.merge(pod.spec, access_of(app, pod)), client)
    node = node_id("commits", pod.spec)
    if result.states[node] not in DONE:
        raise result.errors.get(node) or RumpelError(f"the commits of {pod.name} did not arrive")
    found = result.outputs[node]
    if found.commit is None:
        raise _no_branch(app, pod)
    data = await threads.call(_facts, app, pod, found.commit)
    return {
        "result": {**data, "was_asked": found.why_not is None},
        "warnings": client.warnings,
        "exit_code": 0,
    }


def _facts(app: App, pod: Pod, commit: str) -> dict[str, Any]:
    dirty = app.links.dirty.get(pod.pod_id)
    return {
        "name": pod.name,
        "status": view.status(app, pod)[0],
        "commit": commit,
        "ref": f"refs/remotes/rumpelpod/{pod.name}",
        "base_commit": pod.spec.base_oid,
        "dirty": None if dirty is None else dirty[0],
        "reviewed": _reviewed(app, pod, commit),
    }


def _reviewed(app: App, pod: Pod, commit: str) -> dict[str, Any] | None:
    """What was reviewed last, and how many commits came since (None: it was rewritten)."""
    found = app.store.kv_get(f"{REVIEWED}/{pod.pod_id}")
    if not found:
        return None
    oid, moved = str(found["oid"]), None
    try:
        new, lost = git.ahead_behind(app.opened(pod.spec.repo), commit, oid)
        moved = None if lost else new
    except RumpelError:
        pass  # its commits are gone: as good as rewritten
    return {"oid": oid, "at": found.get("at"), "moved": moved}


def _no_branch(app: App, pod: Pod) -> NotFound:
    others = sorted(app.links.branches(pod.pod_id))
    if not others:
        return NotFound(
            f"pod {pod.name!r} has no commit yet", hint=f"rumpel enter {pod.name}   to work in it"
        )
    return NotFound(
        f"pod {pod.name!r} has no branch {pod.name!r} any more",
        hint=f"git merge 'rumpelpod/{others[0]}@{pod.name}'   takes another one",
        details={"branches": others},
    )

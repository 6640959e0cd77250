"""`merge`: the pod's commits are imported, and what is known of its branch is told.

The merge is git's, in the process of who asked: nothing here changes a branch of the user.
"""

from __future__ import annotations

from typing import Any

from rumpel import text
from rumpel.adapters import git, threads
from rumpel.daemon import requests, reviewed, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.stop import access_of
from rumpel.engine.events import DONE
from rumpel.errors import HostUnreachable, NotFound, RumpelError
from rumpel.graphs import merge as merge_graph
from rumpel.graphs.ids import node_id


async def run(app: App, client: Client) -> dict[str, object]:
    where = await requests.lenient(client)
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
    branch = client.request.args["branch"] or pod.name
    commit = app.links.branches(pod.pod_id).get(branch)
    if commit is None:
        raise _no_branch(app, pod, branch)
    await app.links.repo(pod.spec.repo).check()
    data = await threads.call(_facts, app, pod, (branch, commit))
    await view.tell_submodules(app, client, pod, "merge")
    return {
        "result": {**data, "was_asked": found.why_not is None},
        "warnings": client.warnings,
        "exit_code": 0,
    }


def _facts(app: App, pod: Pod, tip: tuple[str, str]) -> dict[str, Any]:
    branch, commit = tip
    shown = pod.name if branch == pod.name else f"{branch}@{pod.name}"
    dirty = app.links.dirty.get(pod.pod_id)
    word, state = view.status(app, pod)
    return {
        "name": pod.name,
        "status": word,
        "runs": state is not None and state.status == "running" and word != "creating",
        "agent": view.at_work(app, pod),
        "commit": commit,
        "branch": branch,
        "shown": f"rumpelpod/{shown}",
        "ref": f"refs/remotes/rumpelpod/{shown}",
        "others": view.others(app, pod, app.links.branches(pod.pod_id)),
        "detached": app.links.dirty.detached(pod.pod_id),
        "base_commit": pod.spec.base_oid,
        "dirty": None if dirty is None else dirty[0],
        "reviewed": _reviewed(app, pod, branch, commit),
    }


def _reviewed(app: App, pod: Pod, branch: str, commit: str) -> dict[str, Any] | None:
    """What was reviewed last, and how many commits came since (None: it was rewritten)."""
    found = reviewed.of(app.store, pod, branch)
    if not found:
        return None
    oid, moved = str(found["oid"]), None
    try:
        repo = app.opened(pod.spec.repo)
        if not git.ahead_behind(repo, commit, oid)[1]:
            # What it merged of the host's is none of its own.
            moved = len(git.unmerged(repo, [commit], [oid]))
    except RumpelError:
        pass  # its commits are gone: as good as rewritten
    return {"oid": oid, "at": found.get("at"), "moved": moved}


def _no_branch(app: App, pod: Pod, branch: str) -> NotFound:
    others = sorted(app.links.branches(pod.pod_id))
    if not others:
        return NotFound(
            f"pod {pod.name!r} has no commit yet", hint=f"rumpel enter {pod.name}   to work in it"
        )
    gone = " any more" if branch == pod.name else ""
    first = pod.name if pod.name in others else f"{pod.name}:{others[0]}"
    return NotFound(
        f"pod {pod.name!r} has no branch {branch!r}{gone}; it has {text.listing(others[:10])}",
        hint=f"rumpel merge {first}   takes another one",
        details={"branches": others},
    )

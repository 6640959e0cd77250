"""What `list` shows of a pod: its state in the world, its branch against where it came from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rumpel.adapters import git
from rumpel.adapters.docker_types import ContainerState
from rumpel.daemon.app import App
from rumpel.daemon.pods import Pod, find_container
from rumpel.errors import RumpelError

STATUS = {
    "running": "running",
    "exited": "stopped",
    "dead": "stopped",
    "paused": "paused",
    "restarting": "restarting",
    "removing": "gone",
    "created": "creating",
}
RANK = {"running": 0, "creating": 1, "paused": 2, "restarting": 2}


def listing(app: App, pods: list[Pod]) -> list[dict[str, Any]]:
    """Running first, newest commit first; blocking (reads refs), makes no API call."""
    rows = []
    for pod in pods:
        row, commit_time = _row(app, pod)
        rows.append((RANK.get(row["status"], 3), -commit_time, row["name"], row))
    return [row for *_, row in sorted(rows, key=lambda item: item[:3])]


def status(app: App, pod: Pod) -> tuple[str, ContainerState | None]:
    snapshot = app.world.snapshot(pod.spec.host)
    if snapshot is None:
        return "unreachable", None
    # A copy: this may be a thread, and the view changes in the event loop.
    state = find_container(list(snapshot.containers.values()), pod.pod_id)
    busy = pod.pod_id in app.creating
    failed = app.pods.failed_node(pod.spec)
    if state is None:
        if busy:
            return "creating", None
        return (f"failed at {failed}" if failed else "gone"), None
    word = STATUS[state.status]
    if word == "running" and busy:
        return "creating", state
    if failed and word in ("running", "creating") and not busy:
        return f"failed at {failed}", state
    return word, state


def _row(app: App, pod: Pod) -> tuple[dict[str, Any], float]:
    word, state = status(app, pod)
    spec = pod.spec
    branches = app.links.branches(pod.pod_id)
    commit = branches.get(pod.name)
    ahead, behind, commit_time = _compare(app, pod, commit)
    dirty = app.links.dirty.get(pod.pod_id)
    return {
        "name": pod.name,
        "repo": spec.repo.work_tree,
        "host": spec.host,
        "status": word,
        "branch": pod.name,
        "commit": commit,
        "git": {
            "ahead": ahead,
            "behind": behind,
            "dirty": None if dirty is None else dirty[0],
            "base": spec.base_branch,
            "notes": app.links.notes(pod.pod_id),
            "refused": [
                {"branch": name, "reason": why}
                for name, why in app.links.imports.refused.get(pod.pod_id, ())
            ],
        },
        "agent": None,
        "created_at": datetime.fromtimestamp(pod.created_at, UTC).isoformat(timespec="seconds"),
        "container_id": None if state is None else state.id,
    }, commit_time


def _compare(app: App, pod: Pod, commit: str | None) -> tuple[int | None, int | None, float]:
    """Against the branch the pod was made from; None when either side is not there."""
    if commit is None:
        return None, None, 0.0
    try:
        repo = app.opened(pod.spec.repo)
        base = None
        if pod.spec.base_branch is not None:
            base = git.refs(repo, f"refs/heads/{pod.spec.base_branch}").get(
                f"refs/heads/{pod.spec.base_branch}"
            )
        base = base or pod.spec.base_oid
        if base is None:
            return None, None, 0.0
        return app.compared(repo, base, commit)
    except RumpelError:
        return None, None, 0.0

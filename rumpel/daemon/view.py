"""What `list` shows of a pod: its state in the world, its branch against where it came from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from rumpel import text
from rumpel.adapters import git, threads
from rumpel.adapters.docker_types import ContainerState
from rumpel.daemon import pending
from rumpel.daemon.agent_states import DONE, ENDED, SIGNED_OUT, WORKING
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import UNASKED, Pod, find_container
from rumpel.daemon.times import iso
from rumpel.errors import RumpelError
from rumpel.graphs.ids import address

STATUS = {
    "running": "running",
    "exited": "stopped",
    "dead": "stopped",
    "paused": "paused",
    "restarting": "restarting",
    "removing": "gone",
    "created": "creating",
}
MOST_BRANCHES = 50
RANK = {"running": 0, "creating": 1, "paused": 2, "restarting": 2}


def listing(app: App, pods: list[Pod]) -> list[dict[str, Any]]:
    """Running first, newest commit first; blocking (reads refs), makes no API call."""
    rows = []
    for pod in pods:
        row, commit_time = _row(app, pod)
        rows.append((RANK.get(row["status"], 3), -commit_time, row["name"], row))
    return [row for *_, row in sorted(rows, key=lambda item: item[:3])]


def status(app: App, pod: Pod, *, is_busy: bool | None = None) -> tuple[str, ContainerState | None]:
    """`is_busy`: being made, for who knows better than that some request is at it."""
    snapshot = app.world.snapshot(pod.spec.host)
    if snapshot is None:
        return "unreachable", None
    # A copy: this may be a thread, and the view changes in the event loop.
    state = find_container(list(snapshot.containers.values()), pod.pod_id)
    busy = pod.pod_id in app.creating if is_busy is None else is_busy
    runs = state is not None and STATUS[state.status] == "running"
    failed = " at ".join(app.pods.unfinished(pod.spec, runs=runs) or ())
    if not failed and not busy and pending.source_of(app, pod.pod_id) is not None:
        failed = "failed at restore"  # of the work it is a fork of
    if not failed and not busy and app.store.kv_get(f"{UNASKED}/{pod.pod_id}", None):
        failed = "failed at consent"  # `create` asks
    if state is None:
        if busy:
            return "creating", None
        return (failed or "gone"), None
    word = STATUS[state.status]
    if word == "running" and busy:
        return "creating", state
    if failed and word in ("running", "creating") and not busy:
        return failed, state
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
            "merged": bool(ahead and behind) and _is_merged(app, pod, commit),
            "dirty": None if dirty is None else dirty[0],
            "dirty_at": None if dirty is None else iso(dirty[1]),
            "others": others(app, pod, branches),
            "submodules": _in_submodules(app, pod),
            "detached": app.links.dirty.detached(pod.pod_id),
            "base": spec.base_branch,
            "notes": app.links.notes(pod.pod_id),
            "refused": [
                {"branch": name, "reason": why}
                for name, why in app.links.imports.refused.get(pod.pod_id, ())
            ],
        },
        "agent": agent(app, pod, state) if word == "running" else None,
        "created_at": iso(pod.created_at),
        "container_id": None if state is None else state.id,
    }, commit_time


def agent(app: App, pod: Pod, state: ContainerState | None) -> dict[str, str] | None:
    """What the agent is doing that changed last; it ended with the container it ran in."""
    for name, found in app.links.agents.of(pod.pod_id).items():
        started = None if state is None else text.unix_time(state.started_at)
        is_old = started is not None and found["at"] < started
        now = ENDED if is_old and found["state"] != DONE else found["state"]
        if now not in (ENDED, DONE, WORKING) and app.lending.is_out(pod.pod_id, name):
            now = SIGNED_OUT
        return {"name": name, "state": now, "at": iso(found["at"])}
    return None


def at_work(app: App, pod: Pod) -> str | None:
    """The agent that works in the pod now, as it says itself."""
    word, state = status(app, pod)
    found = agent(app, pod, state) if word == "running" else None
    return found["name"] if found is not None and found["state"] == WORKING else None


def others(app: App, pod: Pod, branches: Mapping[str, str]) -> list[dict[str, Any]]:
    """Other branches of the pod with commits that neither its own nor the host's base has."""
    own, found = branches.get(pod.name), []
    tips = {
        branch: oid
        for branch, oid in sorted(branches.items())[:MOST_BRANCHES]
        if branch != pod.name and oid != own
    }
    beyond = _beyond(app, pod, set(tips.values()), own) if tips else frozenset()
    for branch, oid in tips.items():
        if oid not in beyond:
            continue
        ahead = _compare(app, pod, oid)[0]
        if ahead and own is not None:
            with contextlib.suppress(RumpelError):
                ahead = min(ahead, app.compared.pair(app.opened(pod.spec.repo), own, oid)[0])
        if ahead:
            found.append({"branch": branch, "ahead": ahead})
    return found


def _beyond(app: App, pod: Pod, tips: set[str], own: str | None) -> AbstractSet[str]:
    """Those that may have something: of a long history most have nothing, and each is a walk."""
    try:
        repo = app.opened(pod.spec.repo)
        known = (own, _base(repo, pod) or pod.spec.base_oid)
        return app.compared.beyond(repo, tips, {oid for oid in known if oid})
    except RumpelError:
        return tips


async def tell_submodules(app: App, client: Client, pod: Pod, where: str) -> None:
    """Their commits are in no merge or review (`where`) of the superproject."""
    try:
        found = await app.links.unmerged_in_submodules(address(pod.spec))
    except RumpelError as error:
        client.warn(f"{pod.name}: nobody can tell what its submodules have: {error.message}")
        return
    for item in found:
        folder = await threads.call(os.path.relpath, item.work_tree, client.request.cwd)
        what = text.count(len(item.commits), "commit")
        client.warn(
            f"{pod.name}: {what} in submodule {item.path}, not in this {where}: "
            f"{item.taken_by(folder)}"
        )


def _in_submodules(app: App, pod: Pod) -> list[dict[str, Any]]:
    """Submodules with commits that no branch of the host's has, nor its HEAD."""
    found = []
    for module in app.links.modules.of(pod.pod_id):
        tips = sorted(set(app.links.modules.branches(address(pod.spec), module).values()))
        with contextlib.suppress(RumpelError):
            repo = app.opened(module.repo)
            head = git.head(repo).oid
            ahead = max(
                (_compare_loose(app, repo, module.oid, tip, head)[0] for tip in tips), default=0
            )
            if ahead:
                found.append({"path": module.path, "ahead": ahead})
    return found


def left_behind(app: App, pods: list[Pod]) -> list[tuple[git.Repo, tuple[str, str]]]:
    """(base, commit) of pods that are ahead of a base that went on; blocking (reads refs)."""
    found = []
    for pod in pods:
        commit = app.links.branches(pod.pod_id).get(pod.name)
        with contextlib.suppress(RumpelError):
            repo = app.opened(pod.spec.repo)
            base = _base(repo, pod)
            if base and commit and all(app.compared.pair(repo, base, commit)[:2]):
                found.append((repo, (base, commit)))
    return found


def _base(repo: git.Repo, pod: Pod) -> str | None:
    """Where the branch is that the pod was made from."""
    if pod.spec.base_branch is None:
        return None
    ref = f"refs/heads/{pod.spec.base_branch}"
    return git.refs(repo, ref).get(ref)


def _is_merged(app: App, pod: Pod, commit: str | None) -> bool:
    with contextlib.suppress(RumpelError):
        base = _base(app.opened(pod.spec.repo), pod)
        return bool(base and commit) and app.landed.is_known((str(base), str(commit)))
    return False


def _compare(app: App, pod: Pod, commit: str | None) -> tuple[int | None, int | None, float]:
    """Against the branch the pod was made from; None when either side is not there.

    One that was made from a tag or a commit has none, so any branch that has it all will do.
    """
    if commit is None:
        return None, None, 0.0
    try:
        repo = app.opened(pod.spec.repo)
        base = _base(repo, pod)
        if base is None and pod.spec.base_oid is not None:
            return _compare_loose(app, repo, pod.spec.base_oid, commit)
        return (None, None, 0.0) if base is None else app.compared.pair(repo, base, commit)
    except RumpelError:
        return None, None, 0.0


def _compare_loose(
    app: App, repo: git.Repo, base: str, commit: str, head: str | None = None
) -> tuple[int, int, float]:
    found = app.compared.pair(repo, base, commit)
    if found[0]:
        heads = sorted(set(git.refs(repo, "refs/heads/").values()))[:MOST_BRANCHES]
        heads += [head] if head else []
        if any(app.compared.pair(repo, head, commit)[0] == 0 for head in heads):
            return (0, *found[1:])
    return found

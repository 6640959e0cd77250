"""Commits that a restore took off the branches of a pod.

The host holds them, but no branch has them: until one of the host does they are work like any
unmerged commit, so `restore` tells of them and `delete` counts them.
"""

from __future__ import annotations

from rumpel.adapters import git, threads
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.engine.events import NodeState
from rumpel.engine.execute import RunResult
from rumpel.errors import RumpelError
from rumpel.graphs.ids import node_id
from rumpel.model import PodSpec
from rumpel.tasks import restore as restore_task

LEFT = "left/"
"""`left/<pod id>` in the store: commits."""
MOST = 100
SHOWN = 10


async def tell(app: App, client: Client, pod: Pod, moved: tuple[tuple[str, str], ...]) -> None:
    """After a restore: which commits are on no branch any more."""
    tips = [oid for _, oid in moved]
    now = sorted(set(app.links.branches(pod.pod_id).values()))
    lost = await _lonely(app, pod, tips, safe=now)
    if not lost:
        return
    known = [*tips, *app.store.kv_get(f"{LEFT}{pod.pod_id}", ())]
    await app.store.kv_set(f"{LEFT}{pod.pod_id}", list(dict.fromkeys(known))[:MOST])
    shown = ", ".join(f"{oid[:12]} {subject}" for oid, subject in lost[:SHOWN])
    more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
    client.warn(
        f"no branch has any more: {shown}{more} (git branch NEW {lost[0][0][:12]}   in this "
        "repository gives one a name; until then delete counts them)"
    )


async def tell_replaced(app: App, client: Client, spec: PodSpec, result: RunResult) -> None:
    """After work was put into a pod by the way: what was there before, if anything was."""
    node = node_id("restore", spec)
    pod = app.pods.by_id(spec.pod_id)
    if pod is None or result.states.get(node) is not NodeState.OK:
        return
    done: restore_task.Output = result.outputs[node]
    if done.saved is not None:
        client.warn(
            f"pod {pod.name!r} had work of its own when it got what it was to be made with "
            f"(rumpel restore {pod.name} {done.saved[:12]}   gets that back)"
        )
    await tell(app, client, pod, done.moved)


async def known(app: App, pod: Pod) -> tuple[str, ...]:
    """Those that only the pod's snapshots hold; one that is there no more cannot be counted."""
    found = app.store.kv_get(f"{LEFT}{pod.pod_id}", ())
    return tuple([oid for oid in found if await _lonely(app, pod, [oid])])


async def _lonely(
    app: App, pod: Pod, tips: list[str], *, safe: list[str] | None = None
) -> list[tuple[str, str]]:
    """(commit, subject) of what no branch has; nothing where nobody can tell."""
    try:
        return await threads.call(git.unmerged, app.opened(pod.spec.repo), tips, safe or [])
    except RumpelError:
        return []

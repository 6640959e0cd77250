"""A task of a host that was lost for long goes on elsewhere, in a pod of another name.

Nobody knows what its old pod is doing, so that is kept as it is: its commits that have come stay
under its name. When its host is back it is stopped, which brings what it did meanwhile; nothing is
merged and nothing removed.
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING

from rumpel.daemon import batch_snapshots
from rumpel.errors import RumpelError
from rumpel.graphs.stop import stop

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.batch_run import BatchRun
    from rumpel.daemon.pods import Pod

log = logging.getLogger(__name__)

LEFT = "batch-left/"
"""`batch-left/<pod>` in the store: its task goes on elsewhere, it is to be stopped."""
MOST_CHARS = 58


async def move(run: BatchRun, name: str, old: Pod, oid: str | None) -> str | None:
    """Let go of its pod. The next one starts from the last of its commits that is here, else from
    what it began with, and gets the last snapshot of its files.
    """
    state = run.states[name]
    claim = state.claim
    commit = run.app.links.branches(old.pod_id).get(old.name)
    has_own = commit is not None and commit != claim.start
    claim.start = commit or oid or claim.start or old.spec.base_oid or ""
    snapshot = await batch_snapshots.newest(old, commit)
    if snapshot or has_own:  # else what it was to get itself is still the last there is
        claim.work = [old.pod_id, snapshot] if snapshot else []
    await run.app.store.kv_set(f"{LEFT}{old.pod_id}", name)
    claim.left = [*claim.left, [old.name, old.spec.host]]
    claim.pod, claim.pod_id, claim.at = free_name(run, name), "", time.time()
    await run.write(state)
    run.pool.release(name)
    words = (
        f"{old.spec.host} was away for too long: task {name} goes on in pod {claim.pod}, "
        f"pod {old.name} is kept as it is"
    )
    log.info("batch %s: %s", run.name, words)
    run.asked.client.warn(words)
    state.say(words)
    run.touch(name)
    return claim.start or None


def free_name(run: BatchRun, name: str) -> str:
    """`fix-2`, unless a task or pod has that name."""
    return next(
        found
        for found in (f"{name[:MOST_CHARS]}-{number}" for number in itertools.count(2))
        if found not in run.batch.items and run.app.pods.find(run.repo.repo_id, found) is None
    )


async def settle(app: App, host: str) -> None:
    """It is back: pods whose tasks have gone on elsewhere end their work."""
    for key in [key for key in app.store.kv if key.startswith(LEFT)]:
        pod = app.pods.by_id(key.removeprefix(LEFT))
        if pod is None:
            await app.store.kv_set(key, None)
            continue
        access = app.pods.access(pod.spec)
        if pod.spec.host != host:
            continue
        if access is not None:
            try:
                handle = app.engine.open_run()
                graph = stop([(pod.spec, access)])
                result = await app.runner.follow(graph, handle, emit=lambda _: None)
            except RumpelError as error:
                log.warning("pod %s: %s", pod.name, error.message)
                continue
            if not result.is_ok:  # it is tried again when the host comes the next time
                continue
        await app.store.kv_set(key, None)

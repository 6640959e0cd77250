"""Uncommitted work of tasks that may move: their next pod gets it when their host is lost.

A host that is away cannot be asked any more, so it is asked while it is there: of each task at
work on a host that has `move`, one after the other, a snapshot is held here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rumpel.adapters import git, git_files, git_snapshot, git_trash, threads
from rumpel.daemon import batch_state
from rumpel.errors import RumpelError
from rumpel.graphs.ids import address

if TYPE_CHECKING:
    from rumpel.daemon.batch_run import BatchRun
    from rumpel.daemon.pods import Pod

log = logging.getLogger(__name__)

KIND = "batch"
MOST_PAUSE_S, LEAST_PAUSE_S = 60.0, 1.0
MOST_TAKE_S = 60.0
"""The others wait for it."""


async def watch(run: BatchRun) -> None:
    """While the batch runs. Who moves soon loses little: half of the shortest `move` is between
    two rounds, a minute at most.
    """
    limits = run.batch.concurrency
    moves = [limits.rule_of(host).move_s for host in run.pool.load()]
    found = [move_s for move_s in moves if move_s is not None]
    if not found:
        return
    pause_s = min(MOST_PAUSE_S, max(LEAST_PAUSE_S, min(found) / 2))
    while True:
        await asyncio.sleep(pause_s)
        for name in list(run.states):
            await _take(run, name)


async def _take(run: BatchRun, name: str) -> None:
    state = run.states[name]
    if state.state != batch_state.WORKING or state.item.host is not None:
        return
    pod = run.app.pods.find(run.repo.repo_id, state.pod)
    if pod is None or run.batch.concurrency.rule_of(pod.spec.host).move_s is None:
        return
    access = run.app.access_if_running(pod)
    if access is None or run.hosts.why(pod.spec.host) is not None:
        return
    try:
        async with asyncio.timeout(MOST_TAKE_S):
            await run.app.world.works.take(address(pod.spec), access, KIND)
    except (RumpelError, OSError) as error:  # the next round tries again
        log.info("batch %s: no snapshot of %s: %s", run.name, name, str(error))


async def newest(pod: Pod, commit: str | None) -> str | None:
    """The last snapshot of a pod that cannot be asked; None when `commit`, the last of its commits
    that came, is later.
    """
    repo = await threads.call(git.reopen, pod.spec.repo.work_tree, pod.spec.repo.common_dir)
    own = [one for one in await git_trash.snapshots(repo, pod.pod_id) if one.kind == KIND]
    if not own:
        return None
    tip = (await git_snapshot.about(repo, own[0].oid)).get("tip", "")
    if commit is None or tip == commit:
        return own[0].oid
    is_later = git_files.OID.fullmatch(tip) is not None
    return (
        own[0].oid if is_later and await threads.call(git.is_ancestor, repo, commit, tip) else None
    )

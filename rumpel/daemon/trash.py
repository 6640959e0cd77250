"""Deleted pods: what there is, and when they are let go of.

The trash is in each repository (git_trash); the database only remembers which repositories have
one, so that somebody looks when the time has come.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from rumpel.adapters import git, git_trash, threads
from rumpel.adapters.git_trash import Deleted
from rumpel.builtin import history
from rumpel.daemon.pods import repo_ref
from rumpel.daemon.times import iso
from rumpel.errors import RumpelError

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.model import RepoRef

log = logging.getLogger(__name__)

KNOWN = "trash/"
BEGUN = "undelete/"
LOOK_EVERY_S = 3600.0


async def in_trash(app: App, repo: RepoRef) -> list[Deleted]:
    """What can be had back, deleted last first; what is over goes now."""
    opened = await threads.call(git.reopen, repo.work_tree, repo.common_dir)
    found, now = [], time.time()
    for entry in await git_trash.entries(opened):
        begun = app.store.kv_get(f"{BEGUN}{entry.pod_id}")
        if app.pods.by_id(entry.pod_id) is not None and begun is None:
            continue  # it lives: what was written before it was to be removed
        if entry.expires_at <= now and begun is None:
            log.info("pod %s, deleted long ago, is let go of", entry.pod)
            await git_trash.expire(opened, [entry])
            await threads.call(history.forget, entry.pod_id)
            continue
        found.append(entry)
    return found


def describe(entry: Deleted) -> dict[str, Any]:
    return {
        "name": entry.pod,
        "pod_id": entry.pod_id,
        "deleted_at": iso(entry.deleted_at),
        "expires_at": iso(entry.expires_at),
        "branches": dict(sorted(entry.branches.items())),
        "snapshot": entry.snapshot,
        "files": entry.files,
        "left": list(entry.left),
    }


async def remember(app: App, repo: RepoRef) -> None:
    """A pod of this repository went into the trash."""
    where = {"work_tree": repo.work_tree, "common_dir": repo.common_dir}
    if app.store.kv_get(f"{KNOWN}{repo.repo_id}") != where:
        await app.store.kv_set(f"{KNOWN}{repo.repo_id}", where)


async def expire_for_ever(app: App) -> None:
    """Once an hour; a repository without trash is forgotten until something is deleted there."""
    while True:
        for key, where in list(app.store.kv.items()):
            if key.startswith(KNOWN):
                await _expire(app, key, where)
        await asyncio.sleep(LOOK_EVERY_S)


async def _expire(app: App, key: str, where: dict[str, str]) -> None:
    try:
        opened = await threads.call(git.reopen, where["work_tree"], where["common_dir"])
        left = await in_trash(app, repo_ref(opened))
    except RumpelError as error:  # a repository that is gone, or on a disk that is not there now
        log.info("trash of %s: %s", where["work_tree"], error.message)
        return
    if not left:
        await app.store.kv_set(key, None)

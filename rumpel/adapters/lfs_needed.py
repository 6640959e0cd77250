"""Which LFS objects of the host a checkout of some commits needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rumpel.adapters import git, git_run, lfs, threads
from rumpel.adapters.lfs import Pointer, Store
from rumpel.errors import RumpelError

log = logging.getLogger(__name__)

TIMEOUT_S = 120.0
MAX_OUTPUT_BYTES = 512 << 20


async def needed(repo: git.Repo, commits: Iterable[str]) -> tuple[Store, list[Pointer]]:
    """Of the trees of `commits`, not of their history: that would be all versions ever made.

    Costs a look at one folder where nobody uses LFS. What the host lacks is not in it.
    """
    store = await threads.call(Store, repo)
    wanted = sorted(set(commits))
    if not wanted or not await threads.call(_is_used, store):
        return store, []
    try:
        done = await git_run.run(
            repo.git_dir,
            "rev-list",
            "--objects",
            "--no-object-names",
            "--no-walk=unsorted",
            "--stdin",
            input="".join(f"{oid}\n" for oid in wanted).encode(),
            timeout_s=TIMEOUT_S,
            env=git_run.own_env(),
            max_output_bytes=MAX_OUTPUT_BYTES,
        )
    except RumpelError as error:  # pods then have pointers, which beats no pods
        log.warning("LFS objects of %s cannot be found: %s", repo.work_tree, error.message)
        return store, []
    return store, await threads.call(_wanted, store, repo, done.stdout)


def _is_used(store: Store) -> bool:
    return next(iter(store.all()), None) is not None


def _wanted(store: Store, repo: git.Repo, listed: bytes) -> list[Pointer]:
    return lfs.wanted(store, repo, listed.decode().split())

"""Which repository lies where.

A repository is known by where it lay when it was first seen. For one that was moved, a note says
which one the new place belongs to, so that its pods, their containers and volumes keep their
names; another repository that is made at the old place gets an identity of its own.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterable
from dataclasses import replace

from rumpel.adapters import threads
from rumpel.cache.store import Store
from rumpel.model import RepoRef

PLACE = "place/"
"""`place/<id of the path>`: {"id", "name"} of the repository that lies there."""
INODE = "inode/"
"""`inode/<repository>`: [device, inode] of its common git dir: a folder that moves keeps them."""


class Places:
    """Reads are from memory; writes are durable before they return."""

    def __init__(self, store: Store) -> None:
        self.store = self._store = store
        self.moving = asyncio.Lock()

    def known(self, found: RepoRef) -> RepoRef:
        """As it was found by its path -> as it is known."""
        note = self._store.kv_get(f"{PLACE}{found.repo_id}")
        if note is None:
            return found
        return replace(found, repo_id=note["id"], first_name=note["name"])

    async def note(self, repo: RepoRef, *, anew: bool = False) -> None:
        """That it lies where it says."""
        key = f"{INODE}{repo.repo_id}"
        if anew or self._store.kv_get(key) is None:
            inode = await threads.call(_inode, repo.common_dir)
            if inode is not None:
                await self._store.kv_set(key, inode)

    def is_same(self, repo: RepoRef, common_dir: str) -> bool:
        """Is this the very folder that `repo` was known by? Blocking."""
        inode = self._store.kv_get(f"{INODE}{repo.repo_id}")
        return inode is not None and _inode(common_dir) == inode

    def gone(self, repos: Iterable[RepoRef]) -> list[RepoRef]:
        """Those that are not where they were; something else may be. Blocking."""
        found = []
        for repo in repos:
            inode, now = self._store.kv_get(f"{INODE}{repo.repo_id}"), _inode(repo.common_dir)
            if now is None or (inode is not None and now != inode):
                found.append(repo)
        return found

    async def move(self, old: RepoRef, new: RepoRef) -> None:
        """`new` is `old` in its new place: the same id."""
        here, there = _path_id(new), _path_id(old)
        note = {"id": old.repo_id, "name": new.first_name}
        writes = [self._store.kv_set(f"{PLACE}{here}", None if here == old.repo_id else note)]
        if there != here:
            other = {"id": secrets.token_hex(16), "name": ""}
            left = other if there == old.repo_id else None
            writes.append(self._store.kv_set(f"{PLACE}{there}", left))
        await asyncio.gather(*writes, self.note(new, anew=True))


def _path_id(repo: RepoRef) -> str:
    return RepoRef.at(repo.common_dir, repo.work_tree).repo_id


def _inode(folder: str) -> list[int] | None:
    try:
        found = os.stat(folder)  # noqa: PTH116 - paths of repositories are strings
    except OSError:
        return None
    return [found.st_dev, found.st_ino]

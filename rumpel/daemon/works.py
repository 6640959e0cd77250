"""Uncommitted work of pods, brought onto the host and back.

A snapshot is made in the pod, comes in through the door like everything a pod sends (quarantine,
fsck, limits), and is held by a ref that was written and read again before anybody relies on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from rumpel.adapters import git, git_door, git_trash, git_wire, pod_work, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.git_limits import Limits
from rumpel.adapters.git_trash import Deleted
from rumpel.adapters.pod_work import Place
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import Access, PodAddress, Taken

log = logging.getLogger(__name__)

BRANCH = "snapshot"
"""In the scratch repository of the pod."""
DOOR = "work"
PUSH_TIMEOUT_S = 600.0


class WorkKeeper:
    """Implements `tasks.world.Works`."""

    def __init__(
        self,
        host: Callable[[str], DockerHost],
        doors_dir: Path,
        limits: Callable[[RepoRef], Limits],
    ) -> None:
        self._host, self._doors_dir, self._limits = host, doors_dir, limits
        self._locks: dict[str, asyncio.Lock] = {}

    async def freeze(self, pod: PodAddress, access: Access) -> None:
        # Else it could stop the script of a `take`, for which the next one would wait.
        async with self._lock(pod):
            is_own = await pod_work.freeze(self._place(pod, access))
        if not is_own:
            log.info("pod %s shares its processes with others: nothing was stopped", pod.pod)

    async def thaw(self, pod: PodAddress, access: Access) -> None:
        await pod_work.thaw(self._place(pod, access))

    async def take(self, pod: PodAddress, access: Access, kind: str) -> Taken | None:
        place = self._place(pod, access)
        async with self._lock(pod):
            limits = await threads.call(self._limits, pod.repo)
            found = await pod_work.take(place, pod.pod, max_file_bytes=limits.object_bytes)
            if found is None:
                return None
            try:
                repo = await _opened(pod)
                await self._fetch(repo, pod, place, oid=found.oid, limits=limits)
                snapshot = await git_trash.hold(
                    repo, pod.pod_id, found.oid, kind=kind, at=int(time.time())
                )
                left = await git_trash.left_out(repo, found.oid) if found.left else ()
            finally:
                with contextlib.suppress(RumpelError):  # the next one removes it, too
                    await pod_work.close(place)
        return Taken(snapshot=snapshot, is_work=found.is_work, files=found.files, left=left)

    async def put(self, pod: PodAddress, access: Access, oid: str) -> None:
        place = self._place(pod, access)
        async with self._lock(pod):
            repo = await _opened(pod)  # before there is a stream that nobody would close
            stream = await place.host.exec_stream(
                place.container_id,
                [
                    "git",
                    "-c",
                    "core.hooksPath=/dev/null",
                    "-c",
                    "receive.shallowUpdate=true",
                    "receive-pack",
                    f"{place.folder}/.git",
                ],
                user=place.user,
                cwd="/",
            )
            await git_wire.push_from(
                repo,
                stream,
                [f"+{oid}:{pod_work.RESTORE_REF}"],
                prune=False,
                timeout_s=PUSH_TIMEOUT_S,
            )
            await pod_work.put(place, oid, pod.pod)

    async def bury(self, pod: PodAddress, entry: Deleted, *, was_seen: bool) -> None:
        repo = await _opened(pod)
        if entry.snapshot is None:
            entry = await git_trash.with_known_work(repo, entry, was_seen=was_seen)
        await git_trash.bury(repo, entry)

    async def unbury(self, pod: PodAddress) -> None:
        await git_trash.unbury(await _opened(pod), pod.pod_id)

    async def _fetch(
        self, repo: git.Repo, pod: PodAddress, place: Place, *, oid: str, limits: Limits
    ) -> None:
        """Through a door of its own: it knows no earlier state, and the pod's keeps its own."""
        door = self._doors_dir / pod.repo.repo_id / pod.pod_id / DOOR
        await git_door.remove(door)
        stream = await place.host.exec_stream(
            place.container_id,
            ["git", "upload-pack", "--strict", place.scratch],
            user=place.user,
            cwd="/",
            env={"GIT_PROTOCOL": "version=2"},
        )
        try:
            imported = await git_door.import_pod(repo, door, stream, limits)
        finally:
            await stream.close()
            await git_door.remove(door)
        if imported.branches.get(BRANCH) != oid:
            why = dict(imported.rejected).get(BRANCH, "the pod sent another one")
            raise RumpelError(f"the snapshot could not be imported: {why}")

    def _lock(self, pod: PodAddress) -> asyncio.Lock:
        return self._locks.setdefault(pod.pod_id, asyncio.Lock())

    def _place(self, pod: PodAddress, access: Access) -> Place:
        return Place(
            host=self._host(pod.host),
            container_id=access.container_id,
            user=access.user,
            folder=pod.workspace_folder,
        )


async def _opened(pod: PodAddress) -> git.Repo:
    return await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)

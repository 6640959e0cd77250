"""Large files (Git LFS) between pods, the host's store and gateways.

A commit brings only pointers. Their content is fetched from the pod before the commit is
published, so that who merges it has it; what cannot be had holds up no commit, is noted, and
counts as unsaved work while only the pod has it. Gateways get the content that the host's
branches need; git-lfs in a pod finds it there by itself, through git's alternates.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import git, git_door, git_judge, lfs_stream, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.git_limits import Limits
from rumpel.adapters.git_modules import Module
from rumpel.adapters.lfs import Pointer, Store
from rumpel.adapters.lfs_needed import needed
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import Access, PodAddress
from rumpel.text import count

log = logging.getLogger(__name__)


class LargeFiles:
    """What of the pods' large files is not on the host, by pod and submodule (its key, or ``)."""

    def __init__(self, host: Callable[[str], DockerHost]) -> None:
        self._host = host
        self._missing: dict[tuple[str, str], Mapping[Pointer, str]] = {}

    async def bring(
        self,
        pod: PodAddress,
        access: Access,
        *,
        door: Path,
        pending: Mapping[Pointer, str],
        limits: Callable[[RepoRef], Limits],
        module: Module | None = None,
    ) -> None:
        """Fetch `pending` into the host's store; the door keeps what is still missing."""
        left: Mapping[Pointer, str] = {}
        if pending:
            owner, folder = pod.repo, pod.workspace_folder
            if module is not None:
                owner, folder = module.repo, f"{folder}/.git/{module.key}"
            repo = await threads.call(git.reopen, owner.work_tree, owner.common_dir)
            store = await threads.call(Store, repo)
            most = await threads.call(limits, pod.repo)
            used = await threads.call(git_judge.used, door)
            allowed = lfs_stream.Limits(
                object_bytes=most.object_bytes, total_bytes=max(0, most.quota_bytes - used)
            )
            fetch = _Fetch(self._host(pod.host), pod, access, folder, store, allowed)
            left = await fetch.run(pending)
            brought = sum(item.size for item in pending if item not in left)
            await threads.call(git_judge.note_used, door, used + brought)
        if left != pending:
            await threads.call(git_door.settle_lfs, door, left)
        self._missing[pod.pod_id, "" if module is None else module.key] = left

    def _whys(self, pod_id: str) -> list[str]:
        """For each object that is not here, why not."""
        own = [left for (of, _), left in self._missing.items() if of == pod_id]
        return [why for left in own for why in left.values()]

    def unsaved(self, pod_id: str) -> int:
        """How many the pod has and the host has not."""
        return sum(why != lfs_stream.GONE for why in self._whys(pod_id))

    def notes(self, pod_id: str) -> list[str]:
        whys = self._whys(pod_id)
        gone = sum(why == lfs_stream.GONE for why in whys)
        rest = sorted({why for why in whys if why != lfs_stream.GONE})
        notes = []
        if gone:
            notes.append(
                f"{count(gone, 'large file')} (LFS) cannot be had: not even the pod has it"
            )
        if rest:
            only = count(self.unsaved(pod_id), "large file")
            notes.append(f"{only} (LFS) only in the pod: {'; '.join(rest)}")
        return notes

    def forget(self, pod_id: str) -> None:
        for key in [key for key in self._missing if key[0] == pod_id]:
            del self._missing[key]


@dataclass(frozen=True, slots=True)
class _Fetch:
    """From one pod into the host's store."""

    host: DockerHost
    pod: PodAddress
    access: Access
    folder: str
    """Of the repository in the pod: its workspace or its git dir."""
    store: Store
    limits: lfs_stream.Limits

    async def run(self, pending: Mapping[Pointer, str]) -> dict[Pointer, str]:
        """What is missing after it. Never raises for what a pod or a disk does."""
        store = self.store
        wanted, missing = await threads.call(lfs_stream.sort_out, store, list(pending), self.limits)
        for start in range(0, len(wanted), lfs_stream.MAX_ASKED):
            try:
                missing |= await self._ask(wanted[start : start + lfs_stream.MAX_ASKED])
            except RumpelError as error:
                log.warning("pod %s: large files: %s", self.pod.pod, error.message)
                left = [item for item in wanted[start:] if not await threads.call(store.has, item)]
                return missing | dict.fromkeys(left, error.message)
        return missing

    async def _ask(self, asked: list[Pointer]) -> dict[Pointer, str]:
        argv = ["/bin/sh", "-c", lfs_stream.SEND, "sh", self.folder]
        argv += [item.oid for item in asked]
        access = self.access
        stream = await self.host.exec_stream(access.container_id, argv, user=access.user, cwd="/")
        try:
            return await lfs_stream.receive(stream, self.store, asked, self.limits)
        finally:
            await stream.close()


class GatewayFiles:
    """What one seed has; asked once, then remembered."""

    def __init__(self, host: DockerHost, container_id: str, path: str) -> None:
        self._host, self._container_id = host, container_id
        self._objects = f"{path}/lfs/objects"
        self._known: set[str] | None = None
        self._lock = asyncio.Lock()

    async def send(self, repo: git.Repo, commits: Iterable[str]) -> None:
        """What a checkout of `commits` needs, before anybody can see them there."""
        store, wanted = await needed(repo, commits)
        if not wanted:
            return
        try:
            async with self._lock:
                await self._send_all(store, wanted)
        except (RumpelError, OSError) as error:  # the commits are worth more
            log.warning("large files of %s not sent: %s", repo.work_tree, error)

    async def _send_all(self, store: Store, wanted: list[Pointer]) -> None:
        if self._known is None:
            self._known = await self._listed()
        for pointer in wanted:
            if pointer.oid not in self._known:
                await self._send(store.path(pointer.oid))
                self._known.add(pointer.oid)

    async def _listed(self) -> set[str]:
        script = f"cd {self._objects} 2>/dev/null && ls */*"
        stream = await self._host.exec_stream(
            self._container_id, ["/bin/sh", "-c", script], user="0", cwd="/"
        )
        said = b""
        try:
            while (item := await stream.read()) is not None:
                said += item[1]
        finally:
            await stream.close()
        return set(said.decode("utf-8", "replace").split())

    async def _send(self, file: Path) -> None:
        argv = ["/bin/sh", "-c", lfs_stream.TAKE, "sh", self._objects, file.name]
        stream = await self._host.exec_stream(self._container_id, argv, user="0", cwd="/")
        try:
            await lfs_stream.send(stream, file)
        finally:
            await stream.close()

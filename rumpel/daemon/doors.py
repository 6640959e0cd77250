"""Doors of pods: one for each repository of a pod, submodules too, all with the same limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from rumpel.adapters import git, git_door, threads
from rumpel.adapters.git_limits import Limits
from rumpel.adapters.stream import Stream
from rumpel.daemon.podsync import PodSync
from rumpel.daemon.repos import RepoSync
from rumpel.model import RepoRef
from rumpel.tasks.world import PodAddress

FORGET_S = 600.0
"""Then a refused branch is tried again though it did not move: a quota may have been raised."""

Known = Mapping[str, tuple[str, str, float]]
"""Ref -> (oid, why it was refused, when)."""


class UploadPack(Protocol):
    """Starts one for a git dir of a pod, relative to its workspace."""

    async def __call__(self, state: PodSync, git_dir: str = ..., /) -> Stream: ...


class Doors:
    """Where they are, and the way through them."""

    def __init__(
        self,
        *,
        folder: Path,
        limits: Callable[[RepoRef], Limits],
        repo: Callable[[RepoRef], RepoSync],
        upload_pack: UploadPack,
    ) -> None:
        self._folder, self.limits = folder, limits
        self._repo, self.upload_pack = repo, upload_pack

    def path(self, pod: PodAddress, repo: RepoRef | None = None) -> Path:
        """Of the pod's main repository, or of its submodule `repo`."""
        return self._folder / (repo or pod.repo).repo_id / pod.pod_id

    async def import_from(
        self,
        state: PodSync,
        stream: Stream,
        known: Known,
        *,
        module: RepoRef | None = None,
        git_dir: str = ".git",
        go: asyncio.Event | None = None,
        publish: git_door.Publish | None = None,
    ) -> git_door.Imported:
        """The limits are those of the main repository: its user set them for the pod."""
        pod = state.pod
        ref = module or pod.repo
        oldest = time.monotonic() - FORGET_S
        return await git_door.import_pod(
            await threads.call(git.reopen, ref.work_tree, ref.common_dir),
            self.path(pod, module),
            stream,
            await threads.call(self.limits, pod.repo),
            reopen=lambda: self.upload_pack(state, git_dir),
            go=go,
            publish=publish,
            writing=state.current,
            first=self._repo(ref).branches.get(pod.pod_id),
            known_refused={
                name: (oid, why) for name, (oid, why, at) in known.items() if at > oldest
            },
        )

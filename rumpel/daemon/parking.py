"""What the next import of a pod can have before it is needed: its stream, or all but the question.

Parked when no graph runs, one at a time: an exec costs as much as a third of a pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping

from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.stream import Stream
from rumpel.daemon.imports import Imports
from rumpel.daemon.podsync import PodSync

UPLOAD_PACKS = 'while git upload-pack --strict "$1" && read -r go; do :; done'
"""It ends with its input: a git that finds no request there answers 0, too."""
MOST_READY = 8
"""Pods whose import is begun; what sleeps takes 5 MB each."""
NEW_PATIENCE_S = 5.0
LIVELY_S = 900.0
"""So long after its last import a pod is worth it."""


class Parking:
    """Of all pods; `idle` is set while no graph runs."""

    def __init__(
        self,
        *,
        idle: asyncio.Event,
        pods: Mapping[str, PodSync],
        imports: Imports,
        upload_pack: Callable[[PodSync], Awaitable[Stream]],
    ) -> None:
        self._idle, self._pods = idle, pods
        self._imports, self._upload_pack = imports, upload_pack
        self._one = asyncio.Semaphore(1)

    async def park(self, state: PodSync) -> None:
        """Unless it has one, or an import is due, or a graph runs."""
        is_ready = state.ready is not None and not state.ready.is_broken
        if is_ready or not self._idle.is_set() or state.noticed.is_set():
            return
        if state.ready is not None:  # it broke: not again before something moves
            state.moved_at = -math.inf
            await self._imports.unready(state)
        if state.parked is None:
            await self._open(state)
        async with state.importing:  # what one that runs brings is known to the next
            pass
        if state.noticed.is_set():
            return
        if not state.refused and self._is_lively(state):
            self._imports.make_ready(state)
            for one in list(self._pods.values()):
                if one.ready is not None and not self._is_lively(one):
                    await self._imports.unready(one)

    async def let_others_be_made(self) -> None:
        """An import's exec costs as much as a third of a pod; a batch of creates comes first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NEW_PATIENCE_S):
                await self._idle.wait()

    async def _open(self, state: PodSync) -> None:
        async with self._one:
            if not (self._idle.is_set() and state.is_live):
                return
            stream = await self._upload_pack(state)
        if state.parked is None and state.is_live:
            state.parked = stream
        else:  # an import that ended meanwhile has left its own
            await stream.close()

    def _is_lively(self, state: PodSync) -> bool:
        """It moved lately, and is one of the last few that did."""
        if time.monotonic() - state.moved_at > LIVELY_S:
            return False
        others = (one for one in self._pods.values() if one is not state)
        return sum(one.moved_at > state.moved_at for one in others) < MOST_READY


async def upload_packs(host: DockerHost, state: PodSync, git_dir: str) -> Stream:
    """Protocol v2 reads refs only when asked, so one may wait for the next commit.

    Each reads them once; the next one starts when it was told goodbye.
    """
    return await host.exec_stream(
        state.access.container_id,
        ["/bin/sh", "-c", UPLOAD_PACKS, "sh", f"{state.pod.workspace_folder}/{git_dir}"],
        user=state.access.user,
        cwd="/",
        env={"GIT_PROTOCOL": "version=2"},
    )

"""How many files of each pod are not committed, and commits of a detached HEAD that no branch has:
as last seen, also by an earlier daemon.

The number is asked for when a command in the pod ends, before a merge, and by `list --refresh`;
`list` also asks where it is not known or somebody works in the pod now, and waits a moment for it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from typing import Any, Protocol

from rumpel.cache.store import Store
from rumpel.errors import RumpelError
from rumpel.tasks.world import PodAddress

log = logging.getLogger(__name__)

KEY = "dirty"
"""`dirty/<pod id>` in the store: [files, when, commits of a detached HEAD]."""
COUNT = re.compile(r"[0-9]{1,9}")
TIMEOUT_S = 60.0
FRESH_S = 1.0
"""So long a number is good enough for `list`."""


class Request(Protocol):
    """Asks over the link into a pod."""

    async def __call__(self, pod_id: str, verb: str, *args: str, timeout_s: float) -> str: ...


class Dirty:
    """Reads are from memory."""

    def __init__(self, store: Store, request: Request) -> None:
        self._store, self._request = store, request
        self._seen: dict[str, tuple[int, float, int]] = {}
        self._asking: dict[str, asyncio.Task[int]] = {}

    def get(self, pod_id: str) -> tuple[int, float] | None:
        """(files, when); None when nobody knows."""
        found: Any = self._seen.get(pod_id) or self._store.kv_get(f"{KEY}/{pod_id}")
        return None if found is None else (int(found[0]), float(found[1]))

    def detached(self, pod_id: str) -> int:
        """Commits that are on no branch, so they do not come to the host."""
        found: Any = self._seen.get(pod_id) or self._store.kv_get(f"{KEY}/{pod_id}") or ()
        return int(found[2]) if len(found) > 2 else 0

    def is_fresh(self, pod_id: str) -> bool:
        found = self._seen.get(pod_id)
        return found is not None and time.time() - found[1] < FRESH_S

    def made(self, pod_id: str) -> None:
        """Its workspace was made just now."""
        self._seen[pod_id] = (0, time.time(), 0)

    async def refresh(self, pod: PodAddress) -> int:
        """Ask the pod. Raises RumpelError."""
        words = (pod.pod_id, "status", pod.workspace_folder)
        answer = await self._request(*words, timeout_s=TIMEOUT_S)
        fields = dict(word.partition("=")[::2] for word in answer.split())
        if not COUNT.fullmatch(fields.get("dirty", "")):
            raise RumpelError(f"pod {pod.pod!r} did not tell its uncommitted files")
        away = fields.get("detached", "0")
        seen = (int(fields["dirty"]), time.time(), int(away) if COUNT.fullmatch(away) else 0)
        self._seen[pod.pod_id] = seen
        kept = self._store.kv_get(f"{KEY}/{pod.pod_id}")
        if kept is None or (kept[0], *kept[2:]) != (seen[0], seen[2]):
            await self._store.kv_set(f"{KEY}/{pod.pod_id}", list(seen))
        return seen[0]

    async def refresh_all(self, pods: Iterable[PodAddress], *, within_s: float) -> set[str]:
        """Those who answer in time; the others go on. Answers the ids of who did not, or failed."""
        asked = {pod.pod_id: self._one(pod) for pod in pods}
        if not asked:
            return set()
        done, _ = await asyncio.wait(asked.values(), timeout=within_s)
        return {
            pod_id
            for pod_id, task in asked.items()
            if task not in done or task.cancelled() or task.exception() is not None
        }

    def _one(self, pod: PodAddress) -> asyncio.Task[int]:
        """One question at a time for each pod, whoever asks."""
        found = self._asking.get(pod.pod_id)
        if found is None:
            found = self._asking[pod.pod_id] = asyncio.create_task(self.refresh(pod))
            found.add_done_callback(lambda task: self._done(pod, task))
        return found

    def _done(self, pod: PodAddress, task: asyncio.Task[int]) -> None:
        self._asking.pop(pod.pod_id, None)
        if not task.cancelled() and isinstance(error := task.exception(), RumpelError):
            log.info("pod %s: uncommitted files: %s", pod.pod, error.message)

    def forget(self, pod_id: str) -> None:
        self._seen.pop(pod_id, None)

    async def close(self) -> None:
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

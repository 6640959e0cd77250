"""Pods whose files were left to a snapshot: which, until it was put there.

In the database from before the pod is told to leave them, so that no daemon takes such a pod for
a whole one; the pod has a mark of its own (`.git/rumpel/later`), for one that lost its database.
"""

from __future__ import annotations

from rumpel.cache.store import Store
from rumpel.daemon.dirty import Request
from rumpel.tasks.world import PodAddress

KEY = "bare"
"""`bare/<pod id>` in the store."""
TIMEOUT_S = 1500.0


class Bare:
    """Reads are from memory."""

    def __init__(self, store: Store, request: Request) -> None:
        self._store, self._request = store, request

    def has(self, pod_id: str) -> bool:
        return bool(self._store.kv_get(f"{KEY}/{pod_id}"))

    async def note(self, pod_id: str, *, is_bare: bool) -> None:
        if self.has(pod_id) != is_bare:
            await self._store.kv_set(f"{KEY}/{pod_id}", is_bare or None)

    async def fill(self, pod: PodAddress) -> None:
        """Raises RumpelError."""
        if self.has(pod.pod_id):
            await self._request(pod.pod_id, "files", pod.workspace_folder, timeout_s=TIMEOUT_S)
            await self.note(pod.pod_id, is_bare=False)

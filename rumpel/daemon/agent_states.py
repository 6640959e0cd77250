"""What agents in pods are doing, as their own hooks say: kept, told to who waits, and logged.

What a pod says is a hint of that pod: it can lie about its own agents only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypedDict

from rumpel.cache.store import Store
from rumpel.daemon.background import Background
from rumpel.daemon.nodes import subject
from rumpel.errors import RumpelError
from rumpel.tasks.world import PodAddress

MOST_AGENTS = 8
KEY = "agents"
"""`agents/<pod id>` in the store: agent -> its state."""
WORKING, WAITING, FAILED, ENDED = "working", "waiting", "failed", "ended"


class State(TypedDict):
    """`state`: working, waiting (for the person), failed or ended; `at` in Unix time."""

    state: str
    at: float


class AgentStates:
    """Reads are from memory."""

    def __init__(
        self, store: Store, background: Background, look: Callable[[PodAddress], Awaitable[int]]
    ) -> None:
        """`look` counts uncommitted files: a turn that ends has changed some, perhaps."""
        self._store, self._background, self._look = store, background, look
        self._waiting: set[asyncio.Future[None]] = set()

    def of(self, pod_id: str) -> dict[str, State]:
        """By agent, the one that changed last first."""
        found: dict[str, State] = self._store.kv_get(f"{KEY}/{pod_id}", {})
        return dict(sorted(found.items(), key=lambda item: -item[1]["at"]))

    def said(self, pod: PodAddress, agent: str, state: str) -> None:
        """A hook has spoken, or what it said before is told once more."""
        known = self.of(pod.pod_id)
        was = known.get(agent)
        if (was is not None and was["state"] == state) or (
            was is None and len(known) >= MOST_AGENTS
        ):
            return
        known[agent] = {"state": state, "at": time.time()}
        self._background.spawn(self._store.kv_set(f"{KEY}/{pod.pod_id}", known), "agent's state")
        about = subject(pod.repo.repo_id, pod.pod)
        self._store.log.note(0, "agent", subject=about, agent=agent, state=state)
        if state != WORKING:
            self._background.spawn(self._refresh(pod), f"status of {pod.pod}")
        self.wake()

    async def _refresh(self, pod: PodAddress) -> None:
        with contextlib.suppress(RumpelError):
            await self._look(pod)

    def wake(self) -> None:
        """Something may be otherwise for those who wait."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def changed(self) -> None:
        """Until any agent of any pod says something new, or a container changed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

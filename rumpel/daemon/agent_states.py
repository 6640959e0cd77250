"""What agents in pods are doing, as their own hooks say: kept, told to who waits, and logged.

What a pod says is a hint of that pod: it can lie about its own agents only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypedDict

from rumpel import agents
from rumpel.cache.store import Store
from rumpel.daemon.background import Background
from rumpel.daemon.nodes import subject
from rumpel.daemon.notify import Notifier
from rumpel.errors import RumpelError
from rumpel.tasks.world import PodAddress

MOST_AGENTS = 8
BURST = 20.0
KEY = "agents"
"""`agents/<pod id>` in the store: agent -> its state."""
WORKING, WAITING, DONE, FAILED, ENDED = "working", "waiting", "done", "failed", "ended"
SIGNED_OUT = "signed-out"
"""What is shown of one that waits and can only wait: nobody says it, it is known here."""


class State(TypedDict):
    """`state`: working, waiting (for the person), done (its task), failed or ended; `at` in Unix
    time.
    """

    state: str
    at: float


class Pace:
    """A few at once, then one a second."""

    def __init__(self) -> None:
        self._left, self._at = BURST, 0.0

    def wait_s(self, now: float) -> float:
        """0: go on, and it is counted."""
        self._left = min(BURST, self._left + now - self._at)
        self._at = now
        if self._left < 1:
            return 1 - self._left
        self._left -= 1
        return 0.0


class AgentStates:
    """Reads are from memory. A pod that never stops talking is heard once in a while."""

    def __init__(
        self,
        store: Store,
        background: Background,
        look: Callable[[PodAddress], Awaitable[int]],
        notify: Callable[[PodAddress, str, str], Awaitable[None]],
    ) -> None:
        """`look` counts uncommitted files: a turn that ends has changed some, perhaps. `notify`
        tells the user of an agent's new state.
        """
        self._store, self._background, self._look = store, background, look
        self._notifier = Notifier(background, notify)
        self._waiting: set[asyncio.Future[None]] = set()
        self._paces: dict[str, Pace] = {}
        self._held: dict[tuple[str, str], asyncio.TimerHandle] = {}
        """What an agent said too soon after other things: the newest of it counts, later."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._looking: set[str] = set()
        self.on_end: Callable[[str, str], None] = lambda pod_id, agent: None
        """Told of each agent that ended."""
        self.running: dict[str, str] = {}
        """Pods where an agent runs without a session, and which: it is alone there."""

    def of(self, pod_id: str) -> dict[str, State]:
        """By agent, the one that changed last first."""
        found: dict[str, State] = self._store.kv_get(f"{KEY}/{pod_id}", {})
        return dict(sorted(found.items(), key=lambda item: -item[1]["at"]))

    def alone(self, pod_id: str) -> asyncio.Lock:
        """Whoever starts an agent in a pod, or types for one, does so alone."""
        return self._locks.setdefault(pod_id, asyncio.Lock())

    def heard(self, pod: PodAddress, agent: str, state: str) -> None:
        """A hook in the pod has spoken, or what it said before is told once more."""
        key = pod.pod_id, agent
        if (held := self._held.pop(key, None)) is not None:
            held.cancel()
        loop = asyncio.get_running_loop()
        wait_s = self._paces.setdefault(pod.pod_id, Pace()).wait_s(loop.time())
        if wait_s:
            self._held[key] = loop.call_later(wait_s, self._late, pod, agent, state)
        else:
            self.said(pod, agent, state)

    def _late(self, pod: PodAddress, agent: str, state: str) -> None:
        del self._held[pod.pod_id, agent]
        self.heard(pod, agent, state)

    def said(self, pod: PodAddress, agent: str, state: str, *, is_new: bool = False) -> None:
        """So it is. `is_new`: it was started just now, and what it was before is another's."""
        known = self.of(pod.pod_id)
        was = known.get(agent)
        is_known = was is not None and was["state"] == state and not is_new
        if is_known or (was is None and len(known) >= MOST_AGENTS):
            return
        known[agent] = {"state": state, "at": time.time()}
        # In memory at once, before anybody reads it again.
        self._background.spawn(self._store.kv_put(f"{KEY}/{pod.pod_id}", known), "agent's state")
        about = subject(pod.repo.repo_id, pod.pod)
        self._store.log.note(0, "agent", subject=about, agent=agent, state=state)
        # The person of the built-in one sits in front of it.
        is_seen = agent == agents.BUILTIN and state == WAITING
        self._notifier.heard(pod, agent, ENDED if is_seen else state)
        if state == ENDED:
            self.on_end(pod.pod_id, agent)
        if state != WORKING and pod.pod_id not in self._looking:
            self._looking.add(pod.pod_id)
            self._background.spawn(self._refresh(pod), f"status of {pod.pod}")
        self.wake()

    def forget(self, pod_id: str) -> None:
        """There is no such pod any more: nothing of it is told."""
        self._notifier.forget(pod_id)

    async def _refresh(self, pod: PodAddress) -> None:
        try:
            with contextlib.suppress(RumpelError):
                await self._look(pod)
        finally:
            self._looking.discard(pod.pod_id)

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

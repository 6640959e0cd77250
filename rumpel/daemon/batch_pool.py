"""Room for pods: so many on each host, and in all; the first of the file goes first.

A pod that waits for its agent keeps the room of one that could work. So no more tasks of an agent
get room than may be at work, and a few ahead of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

AWAY, LOW = "away", "low"
"""Why a host gets no tasks. Those whose pod is there already get their room all the same."""


@dataclass(slots=True, frozen=True)
class Wish:
    """What a task waits for. Equal ones are served in the order of the file."""

    agent: str = ""
    hosts: frozenset[str] | None = None
    """Only these, e.g. where its pod is already; None: any."""
    is_new: bool = True
    """There is no pod of it yet."""


@dataclass(slots=True, eq=False)
class _Waiting:
    rank: int
    wish: Wish
    granted: asyncio.Future[str] = field(repr=False)

    def __lt__(self, other: _Waiting) -> bool:
        return self.rank < other.rank


class Pool:
    """Synchronous but for the waiting. A host that is closed has no room (`close_host`)."""

    def __init__(
        self,
        hosts: Mapping[str, int],
        total: int | None = None,
        agents: Mapping[str, int] | None = None,
    ) -> None:
        """`agents`: how many of each may be at work at once."""
        self._capacity = dict(hosts)
        self._total = total if total is not None else sum(hosts.values())
        self._agents = {
            agent: number + max(1, number // 4) for agent, number in (agents or {}).items()
        }
        self._held: dict[str, tuple[str, str]] = {}
        """Task -> host, and the agent that it has not done with."""
        self._load: Counter[str] = Counter()
        self._at_work: Counter[str] = Counter()
        self._queues: dict[Wish, list[_Waiting]] = {}
        self._closed: dict[str, dict[str, str]] = {}
        """Host -> kinds of reasons, in words."""

    def load(self) -> dict[str, int]:
        """Host -> how many are on it."""
        return {host: self._load[host] for host in self._capacity}

    def closed(self) -> dict[str, str]:
        """Hosts that get no tasks -> why."""
        return {host: "; ".join(whys.values()) for host, whys in self._closed.items() if whys}

    def slots(self, host: str) -> int:
        return self._capacity[host]

    def is_away(self, host: str) -> bool:
        return AWAY in self._closed.get(host, {})

    def is_waited_for(self) -> bool:
        return bool(self._queues)

    async def take(self, task: str, rank: int, wish: Wish = Wish()) -> str:
        """The host that has the most room.

        What is held already is had again.
        """
        if task in self._held:
            return self._held[task][0]
        granted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(rank, wish, granted)
        heappush(self._queues.setdefault(wish, []), waiting)
        self._serve()
        ticket = _ticket(waiting)
        try:
            host = await granted
        except asyncio.CancelledError:
            self.release(ticket)  # granted just now
            raise
        held = self._held.pop(ticket)
        self._held[task] = held
        return host

    def hold(self, task: str, host: str, agent: str = "") -> None:
        """It is there already, room or not."""
        if task not in self._held:
            self._hold(task, host, agent)

    def worked(self, task: str) -> None:
        """Its agent has ended: another one may be at work. Idempotent."""
        host, agent = self._held.get(task, ("", ""))
        if agent:
            self._held[task] = (host, "")
            self._at_work[agent] -= 1
            self._serve()

    def admit(self, host: str, slots: int) -> None:
        """A host that was none of the pool has room, too: a pod is there already."""
        if host not in self._capacity:
            self._capacity[host] = slots

    def close_host(self, host: str, kind: str, why: str = "") -> None:
        self._closed.setdefault(host, {})[kind] = why or kind

    def open_host(self, host: str, kind: str) -> None:
        if self._closed.get(host, {}).pop(kind, None) is not None:
            self._serve()

    def release(self, task: str) -> None:
        """Idempotent."""
        host, agent = self._held.pop(task, ("", ""))
        if host:
            self._load[host] -= 1
            if agent:
                self._at_work[agent] -= 1
            self._serve()

    def _serve(self) -> None:
        """Linear in the wishes there are and the hosts, for each task that gets room."""
        while self._queues and len(self._held) < self._total:
            best: tuple[_Waiting, str] | None = None
            for wish in list(self._queues):
                first = self._first(wish)
                if first is None or (best is not None and best[0] < first):
                    continue
                host = self._room(wish)
                if host is not None:
                    best = first, host
            if best is None:
                return
            self._give(*best)

    def _first(self, wish: Wish) -> _Waiting | None:
        queue = self._queues[wish]
        while queue and queue[0].granted.cancelled():  # its task has not had its turn yet
            heappop(queue)
        if not queue:
            del self._queues[wish]
            return None
        return queue[0]

    def _give(self, waiting: _Waiting, host: str) -> None:
        heappop(self._queues[waiting.wish])
        self._first(waiting.wish)
        # Held from now on, though its task is told a turn of the loop later.
        self._hold(_ticket(waiting), host, waiting.wish.agent)
        waiting.granted.set_result(host)

    def _hold(self, name: str, host: str, agent: str) -> None:
        agent = agent if agent in self._agents else ""
        self._held[name] = (host, agent)
        self._load[host] += 1
        if agent:
            self._at_work[agent] += 1

    def _room(self, wish: Wish) -> str | None:
        most = self._agents.get(wish.agent)
        if most is not None and self._at_work[wish.agent] >= most:
            return None
        load, capacity = self._load, self._capacity
        return min(
            (
                host
                for host, slots in capacity.items()
                if load[host] < slots and self._is_open(host, wish)
            ),
            key=lambda host: load[host] / capacity[host],
            default=None,
        )

    def _is_open(self, host: str, wish: Wish) -> bool:
        if wish.hosts is not None and host not in wish.hosts:
            return False
        return not wish.is_new or not self._closed.get(host)


def _ticket(waiting: _Waiting) -> str:
    """What holds its room until its task takes it: no task has a name like that."""
    return f"?{id(waiting)}"

"""Room for pods: so many on each host, and in all; the first of the file goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class _Waiting:
    rank: int
    hosts: frozenset[str]
    granted: asyncio.Future[str] = field(repr=False)


class Pool:
    """Synchronous but for the waiting. A host that is away has no room (`close_host`)."""

    def __init__(self, hosts: Mapping[str, int], total: int | None = None) -> None:
        self._capacity = dict(hosts)
        self._total = total if total is not None else sum(hosts.values())
        self._held: dict[str, str] = {}
        """Task -> host."""
        self._queue: list[_Waiting] = []
        self._closed: set[str] = set()

    def load(self) -> dict[str, int]:
        """Host -> how many are on it."""
        held = list(self._held.values())
        return {host: held.count(host) for host in self._capacity}

    async def take(self, task: str, rank: int, hosts: frozenset[str] | None = None) -> str:
        """The host that has the most room. `hosts`: only these, e.g. where its pod is already.

        What is held already is had again.
        """
        if task in self._held:
            return self._held[task]
        granted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(rank, hosts or frozenset(self._capacity), granted)
        self._queue.append(waiting)
        self._queue.sort(key=lambda one: one.rank)
        self._serve()
        try:
            host = await granted
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
            if self._held.pop(f"?{id(waiting)}", None) is not None:  # granted just now
                self._serve()
            raise
        self._held.pop(f"?{id(waiting)}", None)
        self._held[task] = host
        return host

    def admit(self, host: str, slots: int) -> None:
        """A host that was none of the pool has room, too: a pod is there already."""
        if host not in self._capacity:
            self._capacity[host] = slots

    def close_host(self, host: str, *, is_closed: bool = True) -> None:
        """It is away, or back."""
        if is_closed:
            self._closed.add(host)
        else:
            self._closed.discard(host)
            self._serve()

    def release(self, task: str) -> None:
        """Idempotent."""
        if self._held.pop(task, None) is not None:
            self._serve()

    def _serve(self) -> None:
        for waiting in list(self._queue):
            if waiting.granted.cancelled():  # its task has not had its turn yet
                self._queue.remove(waiting)
                continue
            host = self._room(waiting.hosts)
            if host is not None:
                self._queue.remove(waiting)
                # Held from now on, though its task is told a turn of the loop later.
                self._held[f"?{id(waiting)}"] = host
                waiting.granted.set_result(host)

    def _room(self, hosts: frozenset[str]) -> str | None:
        if len(self._held) >= self._total:
            return None
        load = self.load()
        free = [
            (load[host] / self._capacity[host], at, host)
            for at, host in enumerate(self._capacity)
            if host in hosts and host not in self._closed and load[host] < self._capacity[host]
        ]
        return min(free)[2] if free else None

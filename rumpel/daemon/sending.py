"""The host's branches on their way to the seeds: no Docker host waits for another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

Seat = tuple[str, str]
"""Docker host, and where in it a seed lies."""


class Sending:
    """`close` it. What is woken while it is at work is done once more afterwards."""

    def __init__(self, send: Callable[[Seat], Awaitable[None]]) -> None:
        """`send` looks whether there is anything to send, and raises nothing."""
        self._send = send
        self._due: set[Seat] = set()
        self._tasks: dict[Seat, asyncio.Task[None]] = {}

    def wake(self, seats: Iterable[Seat]) -> None:
        for seat in seats:
            self._due.add(seat)
            if seat not in self._tasks or self._tasks[seat].done():
                self._tasks[seat] = asyncio.ensure_future(self._run(seat))

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _run(self, seat: Seat) -> None:
        while seat in self._due:
            self._due.discard(seat)
            await self._send(seat)

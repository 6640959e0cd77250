"""Keep-alive connections to an engine that nobody uses now: a few, and not for long.

Each is a stream on an SSH connection where the engine is far away, and sshd gives ten to one: a
connection that was opened for a burst of them has to become free again.
"""

from __future__ import annotations

import asyncio
from collections import deque

from rumpel.adapters.docker_wire import Wire

MAX_IDLE = 8
"""More are opened when needed and closed after use."""
IDLE_S = 10.0
"""The last one that was used stays for longer: the next request is the same person's."""


class Idle:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._wires: deque[tuple[float, Wire]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> Wire | None:
        """The one that was used last."""
        while self._wires:
            _, wire = self._wires.pop()
            if not wire.is_stale():
                return wire
            wire.close()
        return None

    def give(self, wire: Wire) -> None:
        if len(self._wires) >= MAX_IDLE:
            self._wires.popleft()[1].close()
        loop = asyncio.get_running_loop()
        self._wires.append((loop.time(), wire))
        if len(self._wires) > 1 and self._timer is None:
            self._timer = loop.call_later(IDLE_S, self._sweep)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._wires:
            self._wires.pop()[1].close()

    def _sweep(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        while len(self._wires) > 1 and self._wires[0][0] + IDLE_S <= loop.time():
            self._wires.popleft()[1].close()
        if len(self._wires) > 1:
            due = self._wires[0][0] + IDLE_S
            self._timer = loop.call_at(max(due, loop.time()), self._sweep)

"""How many things run at once: counted classes such as `host:local:build`.

A holder takes all its classes in sorted order, so two holders can never wait for each other, and
holds none while it waits for a dependency. Each class is served first come, first served.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

DEFAULT_CAPACITY: Final = 4
"""For a class nobody gave a capacity to."""


class Slots:
    def __init__(self, capacity: Mapping[str, int]) -> None:
        self._capacity = dict(capacity)
        self._free: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def hold(
        self, names: tuple[str, ...], *, on_wait: Callable[[str], None]
    ) -> AsyncIterator[None]:
        """Hold one slot of each class; `on_wait` is told the class when there is a queue."""
        held: list[asyncio.Semaphore] = []
        try:
            for name in sorted(set(names)):
                slot = self._slot(name)
                if slot.locked():
                    on_wait(name)
                await slot.acquire()
                held.append(slot)
            yield
        finally:
            for slot in held:
                slot.release()

    def _slot(self, name: str) -> asyncio.Semaphore:
        slot = self._free.get(name)
        if slot is None:
            capacity = self._capacity.get(name, DEFAULT_CAPACITY)
            slot = self._free[name] = asyncio.Semaphore(max(1, capacity))
        return slot

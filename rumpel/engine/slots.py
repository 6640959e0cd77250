"""How many things run at once: counted classes such as `host:local:build`.

A holder takes all its classes in sorted order, so two holders can never wait for each other, and
holds none while it waits for a dependency. Each class is served first come, first served.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_CAPACITY: Final = 4
"""For a class nobody gave a capacity to."""


class Slots:
    """The counters. `async with slots.hold(names, on_wait):` holds one slot of each class."""

    def __init__(self, capacity: Mapping[str, int]) -> None:
        self._capacity = dict(capacity)
        self._free: dict[str, asyncio.Semaphore] = {}

    def hold(self, names: tuple[str, ...], on_wait: Callable[[str], None]) -> Holding:
        """`on_wait` is told the class for which there is a queue."""
        return Holding([(name, self._slot(name)) for name in sorted(set(names))], on_wait)

    def _slot(self, name: str) -> asyncio.Semaphore:
        slot = self._free.get(name)
        if slot is None:
            capacity = self._capacity.get(name, DEFAULT_CAPACITY)
            slot = self._free[name] = asyncio.Semaphore(max(1, capacity))
        return slot


class Holding:
    """Slots taken one after the other and given back together."""

    __slots__ = ("_held", "_on_wait", "_wanted")

    def __init__(
        self, wanted: list[tuple[str, asyncio.Semaphore]], on_wait: Callable[[str], None]
    ) -> None:
        self._wanted = wanted
        self._on_wait = on_wait
        self._held: list[asyncio.Semaphore] = []

    async def __aenter__(self) -> None:
        try:
            for name, slot in self._wanted:
                if slot.locked():
                    self._on_wait(name)
                await slot.acquire()
                self._held.append(slot)
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_exc: object) -> None:
        self._release()

    def _release(self) -> None:
        while self._held:
            self._held.pop().release()

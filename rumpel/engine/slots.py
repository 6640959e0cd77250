"""How many things run at once: counted classes such as `build`.

A ticket is given all its classes at one moment or none, so two tickets can never wait for each
other, and nobody holds a slot while it waits for a dependency. The best rank goes first; what a
ticket cannot have yet is not given to those behind it, so a ticket for two busy classes starves
behind no stream of others that want one of them.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEFAULT_CAPACITY: Final = 4
"""For a class nobody gave a capacity to."""

Rank = tuple[float, ...]


@dataclass(slots=True, eq=False)
class Ticket:
    """A claim on one slot of each class."""

    names: tuple[str, ...]
    """Sorted, each once."""
    rank: Rank
    """The smallest goes first; among equals, the one that asked first."""
    grant: Callable[[], None]
    """Called once for each time it is asked for, inside `ask` when all slots are free."""
    is_queued: bool = False
    is_held: bool = False


def names_of(classes: Iterable[str], inputs: Any) -> tuple[str, ...]:
    """The slots of a node: of each class, those of the host that its inputs name."""
    host = getattr(inputs, "host", None) or getattr(getattr(inputs, "address", None), "host", None)
    return tuple(sorted({f"{host}/{name}" if host else name for name in classes}))


class Slots:
    """The counters, and who waits for them. Synchronous: no turn of the loop is lost."""

    def __init__(self, capacity: Mapping[str, int]) -> None:
        self._capacity = dict(capacity)
        self._free: dict[str, int] = {}
        self._queues: dict[tuple[str, ...], list[tuple[Rank, int, Ticket]]] = {}
        """For each set of classes those who want just them, the next one first."""
        self._numbers = count()

    def ask(self, ticket: Ticket) -> None:
        """`ticket.grant` is called as soon as it may go, which can be at once."""
        if not self._queues and self._lacks(ticket.names, ()) is None:
            self._give(ticket)
            return
        ticket.is_queued = True
        queue = self._queues.get(ticket.names)
        is_behind = queue is not None and queue[0][0] <= ticket.rank
        self._enqueue(ticket)
        if not is_behind:
            self.serve()

    async def wait(self, ticket: Ticket, on_wait: Callable[[str], None]) -> None:
        """Ask and wait; `on_wait` is told the class for which there is a queue."""
        granted = asyncio.get_running_loop().create_future()
        ticket.grant = lambda: None if granted.done() else granted.set_result(None)
        self.ask(ticket)
        if not ticket.is_held:
            on_wait(self.lacking(ticket))
        try:
            await granted
        except asyncio.CancelledError:
            self.drop(ticket)
            raise

    def drop(self, ticket: Ticket) -> None:
        """Give back what it holds, or wait no more."""
        self.free(ticket)
        self.serve()

    def free(self, ticket: Ticket) -> None:
        """As `drop`, but who waits is served by `serve`: first let others ask, too."""
        if ticket.is_held:
            ticket.is_held = False
            for name in ticket.names:
                self._free[name] += 1
        ticket.is_queued = False

    def hurry(self, ticket: Ticket, rank: Rank) -> None:
        """Somebody more important wants it, too."""
        if rank < ticket.rank:
            ticket.rank = rank
            if ticket.is_queued:
                self._enqueue(ticket)
                self.serve()

    def resize(self, name: str, capacity: int) -> None:
        """So many of a class from now on; what is held stays held."""
        if name in self._free:
            self._free[name] += capacity - self._size(name)
        self._capacity[name] = capacity
        self.serve()

    def lacking(self, ticket: Ticket) -> str:
        """A class it waits for; the first one if only others are in front of it."""
        return self._lacks(ticket.names, ()) or ticket.names[0]

    def _enqueue(self, ticket: Ticket) -> None:
        entry = (ticket.rank, next(self._numbers), ticket)
        heappush(self._queues.setdefault(ticket.names, []), entry)

    def _lacks(self, names: Iterable[str], reserved: Iterable[str]) -> str | None:
        free = self._free
        for name in names:
            if name not in free:
                free[name] = self._size(name)
            if name in reserved or free[name] <= 0:
                return name
        return None

    def _size(self, name: str) -> int:
        """Its own, or that of its class: `local/build`, `build`."""
        of_class = self._capacity.get(name.rpartition("/")[2], DEFAULT_CAPACITY)
        return max(1, self._capacity.get(name, of_class))

    def _give(self, ticket: Ticket) -> None:
        for name in ticket.names:
            self._free[name] -= 1
        ticket.is_queued, ticket.is_held = False, True
        ticket.grant()

    def serve(self) -> None:
        """Give to all who may go, best rank first. Linear in the sets of classes wanted."""
        if not self._queues:
            return
        heads = sorted((*queue[0], names) for names, queue in self._queues.items())
        reserved: set[str] = set()
        while heads:
            rank, _, ticket, names = heads.pop(0)
            queue = self._queues[names]
            is_stale = not ticket.is_queued or rank != ticket.rank  # dropped, or asked again
            if not is_stale and self._lacks(names, reserved) is not None:
                reserved.update(names)
                continue
            heappop(queue)
            if queue:
                insort(heads, (*queue[0], names))
            else:
                del self._queues[names]
            if not is_stale:
                self._give(ticket)

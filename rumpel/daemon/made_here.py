"""What the same step has made on this machine's engine, for whoever makes it on another host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from rumpel import names
from rumpel.cache.fingerprint import canonical
from rumpel.cache.store import Store
from rumpel.daemon.hosts import LOCAL, Hosts
from rumpel.engine.flight import Flight

Flights = Callable[[], Mapping[str, Flight]]


class MadeHere:
    """Implements `tasks.world.MadeHere`."""

    def __init__(self, store: Store, engines: Hosts, flights: Flights) -> None:
        """`flights`: the steps that run now."""
        self._store, self._engines, self._flights = store, engines, flights

    async def __call__(
        self, node_id: str, version: int, components: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The output, when all that the step depends on is the same; reaches for the engine."""
        kind, host, *rest = node_id.split("/", 2)
        if host == names.host_part(LOCAL):
            return None
        here = "/".join((kind, names.host_part(LOCAL), *rest))
        flight = self._flights().get(here)
        if flight is not None and flight.task is not None:  # pods on several hosts, all at once
            await asyncio.wait({flight.task})
        record = self._store.records.get(here)
        if record is None or record.failure is not None or record.output is None:
            return None
        if record.version != version or record.components_text != canonical(components).decode():
            return None
        await self._engines.glance([LOCAL])
        return None if self._engines.why(LOCAL) else record.output

"""What the daemon holds for one running pod: its link, its parked stream, its import loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from rumpel.adapters.pod_link import PodLink
from rumpel.adapters.stream import Stream
from rumpel.daemon.ready import ReadyImport
from rumpel.errors import HostUnreachable
from rumpel.tasks.world import Access, PodAddress


class PodSync:
    """What the daemon holds for one running pod."""

    def __init__(self, pod: PodAddress, access: Access) -> None:
        self.pod, self.access = pod, access
        self.link: PodLink | None = None
        self.is_main = False
        """`link` leads to the main process, so that what is begun over it outlives the link."""
        self.parked: Stream | None = None
        self.pending: Stream | None = None
        self.ready: ReadyImport | None = None
        """The next import, begun; instead of `parked`."""
        self.moved_at = -math.inf
        """When an import last brought something, on the monotonic clock."""
        self.connecting = asyncio.Lock()
        self.importing = asyncio.Lock()
        self.noticed = asyncio.Event()
        self.loop: asyncio.Task[None] | None = None
        self.is_new = False
        """Set up just now: what it has is what the host gave it, so its import can wait."""
        self.refused: dict[str, tuple[str, str, float]] = {}
        """Ref -> (oid, why, when): not fetched again before it moves."""
        self.rejected: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = ((), ())
        """What was refused of the branches, and the same with names of files."""
        self.is_told = False
        """The pod knows what was refused last."""

        self.told: dict[str, str] | None = None
        """Branches of other pods that it was told of; None: what it has is not known."""

        self.digests: dict[str, str] = {}
        """Of each submodule, by its key, as it was imported last."""
        self.refused_in: dict[str, dict[str, tuple[str, str, float]]] = {}
        """The same as `refused`, of each submodule."""
        self.rejected_in: dict[str, tuple[tuple[str, str], ...]] = {}
        """Of each submodule, what was refused of it and why."""
        self._is_over = False
        self._writing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def current(self) -> AsyncIterator[None]:
        """While what was imported is written down or shown: nobody has taken over meanwhile.

        An import that ends late may bring an older list than that of the last look. Raises
        HostUnreachable; the pod is not asked inside.
        """
        async with self._writing:
            if self._is_over:
                raise HostUnreachable(f"the link into pod {self.pod.pod!r} was closed")
            yield

    async def end(self) -> None:
        """From now on imports of this one write nothing."""
        self._is_over = True
        async with self._writing:
            pass

    @property
    def is_parked(self) -> bool:
        """The next import has what it can have before it is needed."""
        return self.parked is not None or (self.ready is not None and not self.ready.is_broken)

    @property
    def is_live(self) -> bool:
        return self.link is not None and self.link.is_open

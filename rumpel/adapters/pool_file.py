"""A file that is read in the pool and closed there: one that stalls (NFS, FUSE) holds up no loop.

A read goes on when its caller is cancelled. To close the file meanwhile would wait for it where
that is buffered, or give the number of its descriptor to another file where it is not.
"""

from __future__ import annotations

import os
from pathlib import Path

from rumpel.adapters import threads


class PoolFile:
    """At a path, or open already; `close` it. One call at a time."""

    def __init__(self, place: Path | int) -> None:
        self._path = place if isinstance(place, Path) else None
        self._fd = -1 if isinstance(place, Path) else place
        self._line = threads.Line(self._shut)

    async def read(self, size: int) -> bytes:
        """Empty at its end."""
        return await self._line.call(lambda: os.read(self._open(), size))

    async def stat(self) -> os.stat_result:
        return await self._line.call(lambda: os.fstat(self._open()))

    def close(self) -> None:
        """Waits for nothing: it is closed when no call is out any more."""
        self._line.close()

    def _open(self) -> int:
        if self._path is not None and self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

"""An import that has gone as far as it can before there is anything to import.

The quarantine is made, git is started, and the pod's upload-pack has greeted; the first request is
held back until a commit is told of. That is a third of the time of an import, and the time is right
after the last one, when nobody waits. It costs a sleeping git process a pod, so only pods that
moved lately have one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from rumpel.adapters.git_door import Imported
from rumpel.adapters.stream import Stream


class ReadyImport:
    """Owns its task, and its stream until `finish`: that or `close` it."""

    def __init__(
        self,
        stream: Stream,
        importing: Callable[[asyncio.Event], Coroutine[object, object, Imported]],
    ) -> None:
        """`importing` gets the event that lets it go on."""
        self.stream, self._go = stream, asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            importing(self._go), name="import made ready"
        )

    @property
    def is_broken(self) -> bool:
        """It ended before it was wanted: the pod hung up, or the host could not make it."""
        return self._task.done()

    async def finish(self) -> Imported:
        """Raises what the import raises. The stream stays open: whoever finishes it closes it."""
        self._go.set()
        try:
            return await asyncio.shield(self._task)
        finally:
            await self._end()

    async def close(self) -> None:
        try:
            await self._end()
        finally:  # also when who closes it is cancelled, which must not be lost
            await self.stream.close()

    async def _end(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # seen: whoever wanted it has got it

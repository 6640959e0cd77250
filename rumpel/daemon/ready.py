"""An import that has gone as far as it can before there is anything to import.

The quarantine is made, git is started, and it has the greeting of the pod's upload-pack; its first
request is held back until a commit is told of. That is a third of the time of an import, and the
time is right after the last one, when nobody waits. It costs a sleeping git process a pod, so only
pods that moved lately have one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from rumpel.adapters.git_door import Imported
from rumpel.adapters.stream import Stream


class ReadyImport:
    """Owns its stream and its task: `finish` or `close` it."""

    def __init__(
        self,
        stream: Stream,
        importing: Callable[[asyncio.Event], Coroutine[object, object, Imported]],
    ) -> None:
        """`importing` gets the event that lets it go on."""
        self._stream, self._go = stream, asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            importing(self._go), name="import made ready"
        )

    @property
    def is_broken(self) -> bool:
        """It ended before it was wanted: the pod hung up, or the host could not make it."""
        return self._task.done()

    async def finish(self) -> Imported:
        """Raises what the import raises."""
        self._go.set()
        try:
            return await asyncio.shield(self._task)
        finally:
            await self.close()

    async def close(self) -> None:
        self._task.cancel()
        try:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()  # seen: whoever wanted it has got it
        finally:  # also when who closes it is cancelled, which must not be lost
            await self._stream.close()

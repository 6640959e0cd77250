"""Long-lived work beside the requests: one task group, and an end for every failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any

from rumpel.errors import RumpelError
from rumpel.log import write_crash

log = logging.getLogger(__name__)

AGAIN_S = 20.0
"""A cancel may be lost where something failed just then; what cleans up has that long for it."""


class Background:
    """Owns the tasks it spawned: leaving it cancels them all and waits for them.

    What is spawned after that is cancelled before its first step.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    def spawn(self, work: Coroutine[object, object, object], name: str) -> asyncio.Task[None]:
        """Run `work` to its end; what it raises is written down, never lost, never spread."""
        task = asyncio.get_running_loop().create_task(_guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step never gets to it.
        task.add_done_callback(lambda _: work.close())
        if self._is_over:  # by something that ends
            task.cancel()
        return task

    async def __aenter__(self) -> Background:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over = True
        while self._tasks:
            await end(self._tasks)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them until each has ended; how it ended is nobody's business any more."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in left:
            log.warning("%s has not ended within %g s: cancelled again", task.get_name(), AGAIN_S)


async def _guarded(work: Coroutine[object, object, object], name: str) -> None:
    try:
        await work
    except RumpelError as error:
        log.warning("%s: %s", name, error.message)
    except (
        Exception
    ) as error:  # the boundary of background work: a bug here must not end the daemon
        write_crash(error, {"background task": name})
        log.exception("%s failed", name)

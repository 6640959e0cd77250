"""asyncio.TaskGroup, but for the cancel that it loses before Python 3.13.

Whoever is cancelled while one of the group's tasks fails gets the failure only; one that goes on
after a failure (a view that connects again) then never ends, and nobody cancels it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class TaskGroup(asyncio.TaskGroup):
    """Knows what it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: set[asyncio.Task[object]] = set()

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = super().create_task(coro, name=name, context=context)
        self.begun.add(task)
        task.add_done_callback(self.begun.discard)
        return task


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[TaskGroup]:
    """Raises CancelledError when that was asked for meanwhile, also when a task failed."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        async with TaskGroup() as group:
            yield group
            # A task that fails later than this counts as a cancel of ours, in Python's own.
            while group.begun:
                await asyncio.wait(group.begun)
    except BaseExceptionGroup as failures:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from failures
        raise

"""Blocking calls off the event loop: one bounded pool for pygit2, file trees and docker-py."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

MAX_THREADS = 16
"""Calls in flight; the others wait in line. Python keeps one GIL, so more threads buy nothing."""

# ThreadPoolExecutor starts a thread only when a call finds none idle: an idle daemon has few.
_POOL = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="rumpel")


async def call(
    fn: Callable[..., T],
    *args: Any,
    limiter: asyncio.Semaphore | None = None,
    **kwargs: Any,
) -> T:
    """Run `fn(*args, **kwargs)` in the pool, holding one place of `limiter` when there is one.

    A cancelled caller stops waiting; the call itself runs to its end, so `fn` must be safe to
    abandon.
    """
    bound = functools.partial(fn, *args, **kwargs)
    async with limiter or contextlib.nullcontext():
        return await asyncio.get_running_loop().run_in_executor(_POOL, bound)


class Line:
    """Calls in the pool on what one owner holds, one at a time; it ends when none is out any more.

    An abandoned call runs on, so what it uses cannot be closed when its caller is gone.
    """

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self._last: Future[Any] | None = None

    async def call(self, fn: Callable[..., T], *args: Any) -> T:
        self._last = future = _POOL.submit(fn, *args)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Have `end` called in the pool, behind the last call; waits for nothing."""
        if self._last is None:
            _POOL.submit(self._end)
        else:
            self._last.add_done_callback(lambda _: _POOL.submit(self._end))

"""One thread owns the only connection; queued transactions are committed together.

A commit costs one sync. Everything queued while the last sync ran shares the next one, and what
is queued within two turns of the loop is handed over as one batch: so the end of a node and the
start of the node that waited for it are one sync, in that order.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rumpel.cache.schema import open_database, translated
from rumpel.errors import RumpelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class Queued(NamedTuple):
    job: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


class Done(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


def run_group(connection: sqlite3.Connection, batch: list[Queued]) -> list[Done]:
    """All jobs in one transaction; if one of them fails, each in its own. Jobs are only SQL."""
    try:
        return _run_together(connection, batch)
    except BaseException as error:  # noqa: BLE001 - the end of the thread: whoever waits gets it
        _roll_back(connection)
        if len(batch) == 1:
            return [Done(batch[0].future, None, error)]
    return [done for queued in batch for done in run_group(connection, [queued])]


def _run_together(connection: sqlite3.Connection, batch: list[Queued]) -> list[Done]:
    connection.execute("BEGIN IMMEDIATE")
    done = [Done(queued.future, queued.job(connection), None) for queued in batch]
    connection.execute("COMMIT")
    return done


def _roll_back(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):  # sqlite may have rolled back by itself (disk full)
        connection.execute("ROLLBACK")


def resolve(done: list[Done]) -> None:
    for future, result, error in done:
        if future.done():  # cancelled while it waited: the write itself has happened
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
            future.exception()  # a write nobody waits for must not warn at garbage collection


class Writer:
    """Owns the thread and the connection. `start` before use, `stop` when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.was_reset = False
        self.commits = 0
        """Transactions committed so far: the number of syncs, checkpoints apart."""
        self._queue: SimpleQueue[list[Queued] | None] = SimpleQueue()
        self._batch: list[Queued] = []
        self.last_words: Callable[[], Queued | None] = lambda: None
        """Asked when a batch is handed over, for what belongs at its end."""
        self._hops = 0
        self._is_over = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        self._loop, self._is_over = asyncio.get_running_loop(), False
        opened: asyncio.Future[bool] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name="rumpel-state", daemon=True
        )
        self._thread.start()
        self.was_reset = await opened

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Queue one transaction, in order. The future ends when it is durable."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._is_over:
            future.set_exception(RumpelError("the state database is closed"))
            future.exception()  # as for every write: nobody may wait for it
            return future
        self._batch.append(Queued(job, future))
        self.nudge()
        return future

    def nudge(self) -> None:
        """A batch will be handed over, two turns of the loop after the first nudge."""
        if not self._hops:
            self._hops = 2
            self._loop.call_soon(self._hop)

    def _hop(self) -> None:
        self._hops -= 1
        if self._hops:
            self._loop.call_soon(self._hop)
            return
        last = self.last_words()
        batch, self._batch = self._batch, []
        if last is not None:
            batch.append(last)
        if batch:
            self._hand_over(batch)

    def _hand_over(self, batch: list[Queued]) -> None:
        self._queue.put(batch)

    async def stop(self) -> None:
        """Commit what is queued, then close."""
        if self._thread is None:
            return
        last = self.submit(lambda _connection: None)
        # Before anybody wakes: what is queued behind it would never be written.
        self._is_over = True
        with contextlib.suppress(RumpelError):  # of use only to be behind everything else
            await last
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._thread = None

    def _serve(self, opened: asyncio.Future[bool]) -> None:
        try:
            connection, was_reset = open_database(self.path)
        except BaseException as error:  # noqa: BLE001 - the end of the thread: `start` raises it
            self._answer([Done(opened, None, error)])
            return
        self._answer([Done(opened, was_reset, None)])
        try:
            while (batch := self._take()) is not None:
                self._answer([self._in_words(done) for done in run_group(connection, batch)])
                self.commits += 1
        finally:
            connection.close()

    def _take(self) -> list[Queued] | None:
        batch = self._queue.get()
        while batch is not None:
            try:
                more = self._queue.get_nowait()
            except Empty:
                break
            if more is None:
                self._queue.put(None)
                break
            batch += more
        return batch

    def _in_words(self, done: Done) -> Done:
        if isinstance(done.error, sqlite3.Error):
            return Done(done.future, None, translated(done.error, self.path))
        return done

    def _answer(self, done: list[Done]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody is left to tell
            self._loop.call_soon_threadsafe(resolve, done)

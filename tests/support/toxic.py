"""What lies between this machine and a port: time, little room, silence, an end in mid-word.

The kernel of this machine can limit a rate and drop packets, but not delay them.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from rumpel.adapters import task_group

PIECE_BYTES = 16_384
WINDOW = 16
"""Pieces under way in one direction: then the sender has to wait, as on a real line."""
AT_ONCE = struct.pack("ii", 1, 0)
"""Closed so, a socket says RST."""


class ToxicWay:
    """Listens at `port` and leads to `target`, on a thread of its own while it is open.

    `delay_s` (one way) and `bytes_per_s` (each way, 0: no limit) may be changed at any time.
    """

    def __init__(self, target: int) -> None:
        self.target, self.port = target, 0
        self.delay_s, self.bytes_per_s = 0.0, 0
        self.passed = {"up": 0, "down": 0}
        """Bytes that came through."""
        self._limit: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> None:
        """Every connection there is, at both ends."""
        self._do(self._reset())

    def reset_after(self, way: str, count: int) -> None:
        """In the middle of what goes `up` (to the target) or `down`, when so much of it came."""
        self._limit[way] = self.passed[way] + count

    def pass_all(self) -> None:
        """Nothing is asked for any more."""
        self._limit.clear()

    @property
    def is_reset(self) -> bool:
        """Whether what `reset_after` asked for has happened."""
        return not self._limit

    def silence(self) -> None:
        """Nothing passes and nothing is closed."""
        self._loop.call_soon_threadsafe(self._speaks.clear)

    def speak(self) -> None:
        self._loop.call_soon_threadsafe(self._speaks.set)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        await self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _reset(self) -> None:
        for writer in [one for one in self._open if not one.transport.is_closing()]:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        ends = {writer, far_writer}
        self._open |= ends
        try:
            async with task_group.opened() as group:
                group.create_task(self._carry("up", reader, far_writer))
                group.create_task(self._carry("down", far_reader, writer))
        except* (ConnectionError, asyncio.CancelledError):
            pass  # one end is gone, so the other one goes
        finally:
            self._open -= ends
            for end in ends:
                end.close()

    async def _carry(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW)
        async with task_group.opened() as group:
            group.create_task(self._take(reader, line))
            group.create_task(self._give(way, line, writer))

    async def _take(
        self, reader: asyncio.StreamReader, line: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        free_at = 0.0
        data = b"-"
        while data:
            data = await reader.read(PIECE_BYTES)
            now = self._loop.time()
            free_at = max(free_at, now)
            if self.bytes_per_s:
                free_at += len(data) / self.bytes_per_s
            await line.put((free_at + self.delay_s, data))

    async def _give(
        self, way: str, line: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await line.get()
            await asyncio.sleep(due - self._loop.time())
            await self._speaks.wait()
            if not data:
                writer.write_eof()
                return
            limit = self._limit.get(way)
            if limit is not None and self.passed[way] + len(data) > limit:
                data = data[: max(0, limit - self.passed[way])]
            writer.write(data)
            await writer.drain()
            self.passed[way] += len(data)
            if limit is not None and self.passed[way] >= limit:
                self._limit.pop(way, None)
                await self._reset()
                return

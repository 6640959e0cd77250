"""The real engine behind a socket of ours that can be cut, silenced and brought back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from rumpel.adapters import task_group

ENGINE = "/var/run/docker.sock"


class FlakyEngine:
    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: list[tuple[list[asyncio.Event], asyncio.StreamWriter]] = []
        self._may_pass = asyncio.Event()
        self._may_pass.set()
        self.may_tell = asyncio.Event()
        """While it is not set, events are held back."""
        self.may_tell.set()

    async def up(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def down(self) -> None:
        """Refuse new connections and cut the open ones, as an engine that is killed."""
        assert self._server is not None
        self._server.close()
        await asyncio.to_thread(self._path.unlink)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def silence(self) -> None:
        """Keep the connections and pass nothing, as an engine that is stopped."""
        self._may_pass.clear()

    def speak(self) -> None:
        self._may_pass.set()

    def end_events(self) -> None:
        """In order, as Podman does now and then."""
        for gates, writer in self._open:
            if self.may_tell in gates:
                writer.write(b"0\r\n\r\n")
                writer.close()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            inner_reader, inner_writer = await asyncio.open_unix_connection(ENGINE)
            gates = [self._may_pass]
            self._open.append((gates, writer))
            try:
                async with task_group.opened() as group:
                    group.create_task(self._pass(reader, inner_writer, gates))
                    group.create_task(self._pass(inner_reader, writer, gates))
            finally:
                inner_writer.close()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gates: list[asyncio.Event]
    ) -> None:
        """One direction; `gates` are those of the connection."""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                for gate in gates:
                    await gate.wait()
                if b"/events" in data.partition(b"\r\n")[0]:  # nothing is asked after that
                    gates.append(self.may_tell)
                writer.write(data)
                await writer.drain()
            writer.write_eof()


@contextlib.asynccontextmanager
async def flaky_engine(folder: Path) -> AsyncIterator[FlakyEngine]:
    engine = FlakyEngine(folder / "flaky.sock")
    await engine.up()
    try:
        yield engine
    finally:
        engine.speak()
        with contextlib.suppress(FileNotFoundError):
            await engine.down()

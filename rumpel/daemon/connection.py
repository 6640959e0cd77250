"""One client: reads its messages, sends it events without ever waiting for it.

A client may be suspended, slow or gone. Events wait in a bounded queue; when it is full, log
lines go first. Nothing in the daemon waits for a client's terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any

from rumpel import protocol

MAX_QUEUED, MAX_QUEUED_BYTES = 4096, 32 << 20
DROPPED_FIRST = ("log", "notice", "said")
RECV_BYTES = 64 << 10
SEND_TIMEOUT_S = 60.0


class Connection:
    """Owns the socket; used as an async context manager, `pump` runs beside the request."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._lines = protocol.Lines()
        self._inbox: deque[dict[str, Any]] = deque()
        self._outbox: deque[tuple[object, bytes, int | None]] = deque()
        """What event it is, the message, and what travels along."""
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self.is_gone = False
        self.is_patient = False
        """For one that may be paused for hours: only for who waits for `drain`."""

    def peer_uid(self) -> int | None:
        """Uid of the client as the kernel says, None where it cannot be asked."""
        if not hasattr(socket, "SO_PEERCRED"):
            return None
        raw = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(raw[4:8], "little", signed=True)

    async def receive(self) -> dict[str, Any] | None:
        """The next message, None when the client is gone. Raises UsageError on garbage."""
        loop = asyncio.get_running_loop()
        while not self._inbox:
            try:
                data = await loop.sock_recv(self._sock, RECV_BYTES)
            except OSError:
                data = b""
            if not data:
                return None
            self._inbox.extend(self._lines.feed(data))
        return self._inbox.popleft()

    def send(self, message: Mapping[str, object], *, fd: int | None = None) -> None:
        """Queue a message; `fd` travels along and is the caller's to close after `drain`."""
        if self.is_gone:
            return
        event = message.get("event")
        if len(self._outbox) >= MAX_QUEUED or self._queued_bytes >= MAX_QUEUED_BYTES:
            if event in DROPPED_FIRST:
                return
            self._drop_logs()
        data = protocol.encode(message)
        self._outbox.append((event, data, fd))
        self._queued_bytes += len(data)
        self._drained.clear()
        self._wake.set()

    async def drain(self) -> None:
        """Wait until everything queued was sent, or the client is gone."""
        await self._drained.wait()

    async def pump(self) -> None:
        """Send what is queued, for ever. A client that stops reading for a minute is dropped."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox:
                    async with asyncio.timeout(None if self.is_patient else SEND_TIMEOUT_S):
                        await self._flush()
                self._drained.set()
        except (OSError, TimeoutError):
            self._lost()

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        first, fd = self._taken()
        parts = [first]
        if fd is None:
            while self._outbox and self._outbox[0][2] is None and len(parts) < 256:
                parts.append(self._taken()[0])
            await loop.sock_sendall(self._sock, b"".join(parts))
            return
        await self._send_with(first, fd)

    def _taken(self) -> tuple[bytes, int | None]:
        _, data, fd = self._outbox.popleft()
        self._queued_bytes -= len(data)
        return data, fd

    async def _send_with(self, data: bytes, fd: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sent = socket.send_fds(self._sock, [data], [fd])
                break
            except BlockingIOError:
                writable = loop.create_future()
                loop.add_writer(self._sock, _resolve, writable)
                try:
                    await writable
                finally:
                    if self._sock.fileno() >= 0:
                        loop.remove_writer(self._sock)
        await loop.sock_sendall(self._sock, data[sent:])

    def _drop_logs(self) -> None:
        kept = [item for item in self._outbox if item[0] not in DROPPED_FIRST]
        self._outbox = deque(kept)
        self._queued_bytes = sum(len(data) for _, data, _ in kept)

    def _lost(self) -> None:
        self.is_gone = True
        self._outbox.clear()
        self._queued_bytes = 0
        self._drained.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Also while somebody reads or writes. May be called twice.

        The loop would take a descriptor that was closed behind its back for the next one of that
        number, and never look at it: so that Docker's answers, for one, were not seen.
        """
        self._lost()
        if self._sock.fileno() >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._sock)
            loop.remove_writer(self._sock)
        self._sock.close()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

"""One connection to a Docker engine: a non-blocking socket with awaitable recv and send.

Not asyncio's transports, because a hijacked stream must stay a plain file descriptor that can be
handed to the CLI, and because `close` here wakes whoever waits: closing a socket that another
task reads leaves that task waiting for ever (notes/docker.md, trap 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass

from rumpel.errors import HostUnreachable

RECV_BYTES = 65_536
"""One read. Below malloc's mmap threshold, so that small reads do not map and unmap memory."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine listens: a unix socket, or TCP, with TLS when `tls` is set."""

    url: str
    path: str = ""
    address: tuple[str, int] | None = None
    tls: ssl.SSLContext | None = None


def parse_endpoint(url: str, tls: ssl.SSLContext | None = None) -> Endpoint:
    """`unix:///path` or `tcp://host:port`. Raises HostUnreachable for anything else."""
    scheme, _, rest = url.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return Endpoint(url, path=rest)
    if scheme in ("tcp", "http", "https"):
        name, _, port = rest.rstrip("/").rpartition(":")
        if name and port.isdecimal() and int(port) < 65_536:
            return Endpoint(url, address=(name.strip("[]"), int(port)), tls=tls)
    raise HostUnreachable(
        f"cannot use the Docker address {url!r}",
        hint="use unix:///path/to/docker.sock or tcp://host:port",
    )


class Wire:
    """A connected stream socket. One reader and one writer at a time."""

    __slots__ = ("_loop", "_reader", "_sock", "_writer", "is_closed")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self.is_closed = False

    async def recv(self, limit: int = RECV_BYTES) -> bytes:
        """Up to `limit` bytes; empty at the end, also after `close`. Raises OSError."""
        while not self.is_closed:
            try:
                return self._sock.recv(limit)
            except (BlockingIOError, InterruptedError):
                await self._readable()
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, at the receiver's pace. Raises OSError, also when closed."""
        view = memoryview(data)
        while view:
            if self.is_closed:
                raise BrokenPipeError("the connection was closed")
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, InterruptedError):
                await self._writable()

    def send_eof(self) -> None:
        """Half-close: the other side reads end of file, and can go on sending."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def is_stale(self) -> bool:
        """Whether an idle keep-alive connection was closed, or spoken on, by the engine."""
        if self.is_closed:
            return True
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Tear both directions down and wake the reader and the writer. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        self._release()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def detach(self) -> socket.socket:
        """Give the socket away; this object is closed, the connection is not."""
        self.is_closed = True
        self._release()
        return self._sock

    def _release(self) -> None:
        if self._reader is not None:
            self._loop.remove_reader(self._sock)
            _wake(self._reader)
        if self._writer is not None:
            self._loop.remove_writer(self._sock)
            _wake(self._writer)

    async def _readable(self) -> None:
        future = self._reader = self._loop.create_future()
        self._loop.add_reader(self._sock, _wake, future)
        try:
            await future
        finally:
            self._reader = None
            if not self.is_closed:
                self._loop.remove_reader(self._sock)

    async def _writable(self) -> None:
        future = self._writer = self._loop.create_future()
        self._loop.add_writer(self._sock, _wake, future)
        try:
            await future
        finally:
            self._writer = None
            if not self.is_closed:
                self._loop.remove_writer(self._sock)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def dial(endpoint: Endpoint) -> Wire:
    """A new connection. Raises OSError; the caller says which engine it was about."""
    if endpoint.address is None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target: str | tuple[str, int] = endpoint.path
    else:
        sock, target = await _tcp_socket(endpoint.address)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return Wire(sock)


async def _tcp_socket(address: tuple[str, int]) -> tuple[socket.socket, tuple[str, int]]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(*address, type=socket.SOCK_STREAM)
    family, kind, proto, _, target = found[0]
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, (str(target[0]), int(target[1]))

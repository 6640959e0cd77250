"""One connection to a Docker engine: a non-blocking socket with awaitable recv and send.

Not asyncio's transports, because a hijacked stream must stay a plain file descriptor that can be
handed to the CLI, and because `close` here wakes whoever waits: closing a socket that another
task reads leaves that task waiting for ever (notes/docker.md, trap 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rumpel.errors import HostUnreachable

RECV_BYTES = 65_536
"""One read. Below malloc's mmap threshold, so that small reads do not map and unmap memory."""
PENDING_BYTES = 262_144
"""Read ahead of a slow consumer at most; then the other side has to wait."""
TURN_BYTES = RECV_BYTES
"""Given without a pause: then the other tasks and the timers get their turn."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine listens: a unix socket, or TCP without TLS."""

    url: str
    path: str = ""
    address: tuple[str, int] | None = None
    ready: Callable[[], Awaitable[None]] | None = None
    """Awaited before each dial: makes the way to a remote engine. Raises HostUnreachable."""
    losses: Callable[[], int] = int
    """How often that way, with all that went by it, was lost."""

    @property
    def is_near(self) -> bool:
        """Whether nothing lies between that could be lost while the engine goes on."""
        return self.ready is None and self.address is None

    @property
    def docker_url(self) -> str:
        """What a docker client on this machine reaches it by."""
        return f"unix://{self.path}" if self.path else self.url


def parse_endpoint(url: str) -> Endpoint:
    """`unix:///path` or `tcp://host:port`. Raises HostUnreachable for anything else."""
    scheme, _, rest = url.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return Endpoint(url, path=rest)
    if scheme in ("tcp", "http", "https"):
        name, _, port = rest.rstrip("/").rpartition(":")
        if name and port.isdecimal() and int(port) < 65_536:
            return Endpoint(url, address=(name.strip("[]"), int(port)))
    raise HostUnreachable(
        f"cannot use the Docker address {url!r}",
        hint="use unix:///path/to/docker.sock or tcp://host:port",
    )


class Wire:
    """A connected stream socket. One reader and one writer at a time."""

    __slots__ = (
        "_error",
        "_given",
        "_is_at_end",
        "_is_watched",
        "_loop",
        "_pending",
        "_pending_bytes",
        "_reader",
        "_sock",
        "_writer",
        "is_closed",
    )

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = self._given = 0
        self._error: OSError | None = None
        self._is_at_end = False
        self._is_watched = False
        self.is_closed = False

    async def recv(self) -> bytes:
        """What has arrived; empty at the end, also after `close`. Raises OSError.

        A cancelled call loses nothing. The first call that finds nothing leaves the socket
        watched: reading inside the loop's callback halves the cost of a busy stream. Who floods
        us never lets us find nothing, so every `TURN_BYTES` the loop goes round once all the same.
        """
        if self._given >= TURN_BYTES:
            self._given = 0
            await asyncio.sleep(0)
        while True:
            if self._pending:
                return self._take()
            if self._error is not None:
                raise self._error
            if self._is_at_end or self.is_closed:
                return b""
            if not self._is_watched:
                self._read_now()
                self._watch()
                continue
            self._reader = self._loop.create_future()
            self._given = 0
            try:
                await self._reader
            finally:
                self._reader = None

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
        if not self.is_closed and not self._pending and not self._is_at_end:
            self._read_now()
        return bool(self.is_closed or self._pending or self._is_at_end or self._error)

    def close(self) -> None:
        """Tear both directions down and wake the reader and the writer. Idempotent."""
        if self.is_closed:
            return
        self._release()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def detach(self) -> tuple[socket.socket, bytes]:
        """Give the socket away, with what was read from it; the connection stays open."""
        data = self._take()
        self._release()
        return self._sock, data

    def _take(self) -> bytes:
        pending = self._pending
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        pending.clear()
        self._pending_bytes = 0
        self._given += len(data)
        return data

    def _read_now(self) -> None:
        """Read once, without waiting; also the loop's callback."""
        try:
            data = self._sock.recv(RECV_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as err:
            self._error = err
            self._unwatch()
        else:
            if data:
                self._pending.append(data)
                self._pending_bytes += len(data)
            else:
                self._is_at_end = True
            if not data or self._pending_bytes >= PENDING_BYTES:
                self._unwatch()
        _wake(self._reader)

    def _watch(self) -> None:
        if not (self._pending or self._is_at_end or self._error):
            self._loop.add_reader(self._sock, self._read_now)
            self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._sock)

    def _release(self) -> None:
        self.is_closed = True
        self._pending.clear()
        self._unwatch()
        _wake(self._reader)
        if self._writer is not None:
            self._loop.remove_writer(self._sock)
            _wake(self._writer)

    async def _writable(self) -> None:
        future = self._writer = self._loop.create_future()
        self._loop.add_writer(self._sock, _wake, future)
        try:
            await future
        finally:
            self._writer = None
            if not self.is_closed:
                self._loop.remove_writer(self._sock)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


async def dial(endpoint: Endpoint) -> Wire:
    """A new connection. Raises OSError; the caller says which engine it was about."""
    if endpoint.ready is not None:
        await endpoint.ready()
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

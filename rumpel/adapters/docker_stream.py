"""A hijacked Docker stream: an exec or an attach, as frames (stdout, stderr) or raw (tty).

No threads and no timers: a parked stream costs one socket. Frames are passed on in pieces as
they arrive, so a header that claims 4 GiB costs no memory; a header that no engine sends ends
the stream with an error (notes/reliability.md D4). An exit code never comes from here: ask
`DockerHost.exec_exit_code`.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator

from rumpel.adapters.docker_errors import ProtocolError, cut
from rumpel.adapters.docker_wire import Wire
from rumpel.adapters.stream import STDOUT

HEADER_BYTES = 8
MAX_FRAME_BYTES = 64 << 20
"""Engines send frames of at most 32 KiB; what is far beyond that is not a frame header."""

_ENGINE_ERROR = 3
"""stdcopy's `Systemerr`: the engine itself failed while it streamed."""


class DockerStream:
    """One duplex stream. Conforms to `rumpel.adapters.stream.Stream`; one reader, one writer."""

    __slots__ = (
        "_buffer",
        "_kind",
        "_left",
        "_pos",
        "_wire",
        "bytes_read",
        "exec_id",
        "is_tty",
        "name",
        "url",
    )

    def __init__(
        self, wire: Wire, head: bytes, *, is_tty: bool, name: str, url: str, exec_id: str = ""
    ) -> None:
        """`name`: whose stream it is, for people; `url`: of the engine."""
        self._wire = wire
        self._buffer = head
        self._pos = 0
        self._kind = STDOUT
        self._left = 0
        self.is_tty = is_tty
        self.name, self.url = name, url
        self.exec_id = exec_id
        """For the exit code and resize; empty for an attach."""
        self.bytes_read = 0

    @property
    def is_closed(self) -> bool:
        """By `close`, not by the other side."""
        return self._wire.is_closed

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece and where it came from; None at the end, also after `close`.

        Raises HostUnreachable when the connection broke, ProtocolError on a bad frame.
        """
        while self._left == 0 and not self.is_tty:
            if not await self._next_frame():
                return None
        if self._pos == len(self._buffer) and not await self._fill():
            return None
        end = len(self._buffer)
        if not self.is_tty:
            end = min(end, self._pos + self._left)
            self._left -= end - self._pos
        piece = self._buffer[self._pos : end]
        self._pos = end
        self.bytes_read += len(piece)
        return self._kind, piece

    async def write(self, data: bytes) -> None:
        """Send to stdin at the reader's pace. Raises HostUnreachable when it is gone."""
        try:
            await self._wire.send_all(data)
        except OSError as err:
            raise cut(self.name, self.url, err) from err

    async def write_eof(self) -> None:
        """End of stdin; the output can still be read."""
        self._wire.send_eof()

    async def close(self) -> None:
        """Tear both directions down; a waiting `read` returns None. Idempotent.

        The process of an exec lives on: it has to watch its stdin (notes/docker.md, trap 3).
        """
        self._wire.close()
        self._buffer, self._pos, self._left = b"", 0, 0

    def take_socket(self) -> tuple[socket.socket, bytes]:
        """Give the socket away, with what was read from it and not yet returned by `read`.

        For passing a terminal to the CLI: call it before the first `read`. The frames of a
        stream that is not a tty then are the new owner's to decode.
        """
        head = self._buffer[self._pos :]
        self._buffer, self._pos = b"", 0
        sock, rest = self._wire.detach()
        return sock, head + rest

    async def _fill(self) -> bool:
        try:
            data = await self._wire.recv()
        except OSError as err:
            raise cut(self.name, self.url, err) from err
        self._buffer = self._buffer[self._pos :] + data
        self._pos = 0
        return bool(data)

    async def _next_frame(self) -> bool:
        while len(self._buffer) - self._pos < HEADER_BYTES:
            if not await self._fill():
                return False
        header = self._buffer[self._pos : self._pos + HEADER_BYTES]
        self._pos += HEADER_BYTES
        self._kind = header[0] or STDOUT  # 0 is stdin's number; old engines use it for stdout
        self._left = int.from_bytes(header[4:], "big")
        if self._kind > _ENGINE_ERROR or header[1:4] != b"\0\0\0" or self._left > MAX_FRAME_BYTES:
            await self.close()
            raise ProtocolError(f"Docker sent a broken frame on the stream of {self.name}")
        if self._kind == _ENGINE_ERROR:
            text = self._buffer[self._pos :][:200].decode("utf-8", "replace")
            await self.close()
            raise ProtocolError(f"Docker broke the stream of {self.name} off: {text}")
        return True


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The frames of a whole answer; a last one that was cut off is given as far as it goes."""
    position = 0
    while len(data) - position >= HEADER_BYTES:
        size = int.from_bytes(data[position + 4 : position + HEADER_BYTES], "big")
        start = position + HEADER_BYTES
        yield data[position], data[start : start + size]
        position = start + size


async def payloads(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What is in the frames of an answer, as it comes. Raises ProtocolError."""
    header, left = b"", 0
    async for piece in pieces:
        while piece:
            if not left:
                missing = HEADER_BYTES - len(header)
                header, piece = header + piece[:missing], piece[missing:]
                if len(header) < HEADER_BYTES:
                    break
                left = int.from_bytes(header[4:], "big")
                if header[1:4] != b"\0\0\0" or left > MAX_FRAME_BYTES:
                    raise ProtocolError("Docker sent a wrong header of a frame")
                header = b""
                continue
            part, piece = piece[:left], piece[left:]
            left -= len(part)
            yield part

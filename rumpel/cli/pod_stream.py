"""The stream to a process in a pod, used without a terminal: a tar comes out of it or goes in.

Output comes in Docker's frames (8 bytes of header: stream, 0, 0, 0, length), or raw where the
daemon passes on what the engine sends. What the process writes to stderr is kept, a little of it.
"""

from __future__ import annotations

import os
import select

from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RECV_BYTES = 1 << 20
MAX_VECTORS = 512
MAX_LINE_BYTES = 5000
MAX_FRAME_BYTES = 64 << 20
MAX_ERRORS_BYTES = 64 << 10
SEND_FILE_BYTES = 8 << 20
MAX_BEHIND_BYTES = 16 << 20
"""Behind the end mark of a tar, which is filled up to a block of its writer's."""
LOOK_S = 0.2
"""How long nothing may happen before that is shown."""
STDERR = 2


class Ended(RumpelError):
    """The process in the pod ended before all was read or written."""

    code = "copy-ended"


class PodStream:
    """`fd`: a socket; `head`: what was read from it already. Not closed here."""

    def __init__(
        self, fd: int, head: bytes, *, is_framed: bool, ended: type[RumpelError] = Ended
    ) -> None:
        """`ended`: raised when there is no more to read."""
        self.fd, self.is_framed, self._ended = fd, is_framed, ended
        self.errors = bytearray()
        self.moved = 0
        """Bytes of the tar so far, either way."""
        self.tick: Callable[[], None] = lambda: None
        """Called after each move, and when there is none for long."""
        self._memory = bytearray(max(RECV_BYTES, len(head)))
        self._view = memoryview(self._memory)
        self._memory[: len(head)] = head
        self._at, self._end = 0, len(head)
        self._left, self._kind = 0, 1
        self._header = b""

    # What comes out

    def exactly(self, size: int) -> bytes:
        """Raises Ended."""
        piece = self._piece(size)
        if len(piece) == size:
            return bytes(piece)
        parts, left = [bytes(piece)], size - len(piece)
        while left:
            piece = self.needed(left)
            parts.append(bytes(piece))
            left -= len(piece)
        return b"".join(parts)

    def pour(self, target: int, size: int) -> None:
        """The next `size` bytes into a file. Raises Ended, OSError."""
        while size:
            parts = list[memoryview]()
            piece = self.needed(size)
            while len(piece):
                parts.append(piece)
                size -= len(piece)
                if not size or len(parts) == MAX_VECTORS:
                    break
                piece = self._piece(size)
            write_all(target, parts)

    def some(self) -> memoryview:
        """What comes next, empty at the end; good until the next call."""
        while not (piece := self._piece(RECV_BYTES)):
            if not self._receive():
                break
        return piece

    def line(self) -> bytes:
        """Up to a newline, without it; what there is at the end."""
        found = b""
        while len(found) < MAX_LINE_BYTES and (piece := self._piece(1) or self._waited(1)):
            found += piece
            if found.endswith(b"\n"):
                break
        return found.removesuffix(b"\n")

    def drain(self) -> None:
        """To the end, to know what it said on stderr. Raises Ended when there is none."""
        left = MAX_BEHIND_BYTES
        while piece := self.some():
            left -= len(piece)
            if left < 0:
                raise Ended("the pod sent more than it should have")

    def needed(self, limit: int) -> memoryview:
        """Some of the next `limit` bytes, good until the next call. Raises Ended."""
        piece = self._waited(limit)
        if not piece:
            raise self._ended("the tar ends in the middle")
        return piece

    def _waited(self, limit: int) -> memoryview:
        while not (piece := self._piece(limit)):
            if not self._receive():
                break
        return piece

    def _piece(self, limit: int) -> memoryview:
        """Of what was received: the next bytes of its output, at most `limit`; maybe none."""
        if not self.is_framed:
            return self._cut(min(limit, self._end - self._at))
        while self._at < self._end:
            if not self._left:
                self._open_frame()
                continue
            size = min(self._left, self._end - self._at)
            if self._kind == STDERR:
                self._left -= size
                self._keep(self._cut(size))
                continue
            size = min(size, limit)
            self._left -= size
            return self._cut(size)
        return self._view[:0]

    def _cut(self, size: int) -> memoryview:
        self._at += size
        return self._view[self._at - size : self._at]

    def _open_frame(self) -> None:
        part = self._cut(min(8 - len(self._header), self._end - self._at))
        self._header += part
        if len(self._header) == 8:
            self._kind = self._header[0]
            self._left = int.from_bytes(self._header[4:], "big")
            if self._kind > STDERR or self._left > MAX_FRAME_BYTES:
                raise Ended("the engine broke the stream off")
            self._header = b""

    def _keep(self, piece: memoryview) -> None:
        self.errors += piece
        if len(self.errors) > 2 * MAX_ERRORS_BYTES:
            del self.errors[:-MAX_ERRORS_BYTES]

    def _receive(self, *, waits: bool = True) -> bool:
        """False at the end. Only called when all that was received is used up."""
        while True:
            try:
                size = os.readv(self.fd, [self._memory])
            except BlockingIOError:
                if not waits:
                    return True
                select.select([self.fd], [], [], LOOK_S)
                self.tick()
                continue
            except ConnectionError:
                size = 0
            self._at, self._end = 0, size
            self.moved += size
            self.tick()
            return size > 0

    # What goes in

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Raises Ended."""
        view = memoryview(data)
        while view:
            view = view[self._try(os.write, self.fd, view) :]

    def send_file(self, fd: int, size: int) -> int:
        """How much of `size` was sent: less when the file is shorter by now. Raises Ended."""
        at = 0
        while at < size:
            count = min(SEND_FILE_BYTES, size - at)
            try:
                sent = self._try(os.sendfile, self.fd, fd, at, count)
            except OSError:  # not from every file system, nor to every socket of every kernel
                return at + self._read_and_send(fd, at, size)
            if not sent:
                break
            at += sent
        return at

    def _read_and_send(self, fd: int, at: int, end: int) -> int:
        begun = at
        while at < end and (data := os.pread(fd, min(RECV_BYTES, end - at), at)):
            self.send(data)
            at += len(data)
        return at - begun

    def _try(self, move: Callable[..., int], *args: object) -> int:
        """Once there is room. A process that ended reads no more, and nobody would wake us."""
        while True:
            try:
                sent = move(*args)
            except BlockingIOError:
                self._wait_for_room()
                continue
            except ConnectionError:
                raise Ended("the pod stopped reading in the middle") from None
            self.moved += sent
            self.tick()
            return sent

    def _wait_for_room(self) -> None:
        can_read, can_write, _ = select.select([self.fd], [self.fd], [], LOOK_S)
        if can_write or not can_read:
            self.tick()
            return
        moved = self.moved
        is_open = self._receive(waits=False)
        self.moved = moved
        if not is_open or self._piece(1):
            raise Ended("the pod stopped reading in the middle")


def write_all(target: int, parts: list[memoryview]) -> None:
    """Raises OSError."""
    while parts:
        try:
            written = os.writev(target, parts)
        except BlockingIOError:  # a parent may have made stdout so
            select.select([], [target], [])
            continue
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts and written:
            parts[0] = parts[0][written:]

"""What a git server says, overheard: refs it claims to have, size of the pack, its complaints.

Pkt-lines of gitprotocol-common(5), version 2 and 0. Only listens: a server that breaks the
format still has every byte counted, and git itself judges what it said.
"""

from __future__ import annotations

import re

from rumpel.errors import RumpelError

CLAIM = re.compile(rb"([0-9a-f]{40}(?:[0-9a-f]{24})?) refs/heads/([^\x00 \n]+)")
HEADER_BYTES = 4
PACK_HEADER_BYTES = 12
BAND_DATA = 1
BAND_ERROR = 3
MAX_TALK_BYTES = 64 << 20
"""Of everything that is no pack: refs and negotiation."""
MAX_ERROR_BYTES = 4000


class PktListener:
    """Feed it what the server sends; raises RumpelError when a limit is passed."""

    def __init__(self, *, max_pack_bytes: int, max_objects: int, max_refs: int) -> None:
        self._max_pack_bytes, self._max_objects = max_pack_bytes, max_objects
        self._max_refs = max_refs
        self.claims: dict[bytes, str] = {}
        """Branch (without refs/heads/) -> oid, as the server lists them."""
        self.total_bytes = 0
        self.objects = 0
        self.error = bytearray()
        self._greeting = bytearray()
        self._greeted = False
        self._broken = False
        self.in_pack = False
        self._pack_head = bytearray()
        self._packet = bytearray()
        self._want = HEADER_BYTES
        self._skip = 0
        self._left = 0

    @property
    def greeting(self) -> bytes:
        """The server's first words: capabilities in version 2, refs before. Settable: a replay."""
        return bytes(self._greeting)

    @greeting.setter
    def greeting(self, said: bytes) -> None:
        self._greeting, self._greeted = bytearray(said), True

    def feed(self, data: bytes) -> None:
        self.total_bytes += len(data)
        is_pack = self.in_pack or self._broken
        most = self._max_pack_bytes if is_pack else max(MAX_TALK_BYTES, self._max_pack_bytes)
        if self.total_bytes > most:
            raise _limit("sends more than", most, "bytes")
        position = 0
        while position < len(data) and not self._broken:
            position = self._step(data, position)

    def _step(self, data: bytes, position: int) -> int:
        if self._skip:
            count = min(self._skip, len(data) - position)
            self._skip -= count
            return position + count
        piece = data[position : position + self._want - len(self._packet)]
        self._packet += piece
        if not self._greeted:
            self._greeting += piece
        if len(self._packet) == self._want:
            if self._want == HEADER_BYTES:
                self._header()
            else:
                self._payload()
        return position + len(piece)

    def _header(self) -> None:
        try:
            size = int(bytes(self._packet), 16)
        except ValueError:
            self._broken = True
            return
        if size > HEADER_BYTES:
            # Of a pack's packet only the start is of interest, the rest is not even copied.
            seen = min(size, HEADER_BYTES + 1 + PACK_HEADER_BYTES) if self.in_pack else size
            self._want, self._left = seen, size - seen
            return
        self._packet.clear()
        if size == 0:
            self.in_pack = False
            self._greeted = True

    def _payload(self) -> None:
        line = bytes(self._packet[HEADER_BYTES:])
        self._packet.clear()
        self._want, self._skip = HEADER_BYTES, self._left
        if not self.in_pack:
            self.in_pack = line == b"packfile\n" or line.startswith(b"\x01PACK")
            self._talk(line)
        if not self.in_pack:
            return
        if line[0] == BAND_ERROR:
            self.error += line[1:]
        elif line[0] == BAND_DATA and len(self._pack_head) < PACK_HEADER_BYTES:
            self._pack_head += line[1 : 1 + PACK_HEADER_BYTES - len(self._pack_head)]
            self._count_objects()

    def _talk(self, line: bytes) -> None:
        if line.startswith(b"ERR ") and len(self.error) < MAX_ERROR_BYTES:
            self.error += line[4:]
        claim = CLAIM.match(line)
        if claim is None:
            return
        self.claims[claim[2]] = claim[1].decode()
        if len(self.claims) > self._max_refs:
            raise _limit("has more than", self._max_refs, "branches")

    def _count_objects(self) -> None:
        if len(self._pack_head) == PACK_HEADER_BYTES and self._pack_head.startswith(b"PACK"):
            self.objects = int.from_bytes(self._pack_head[8:], "big")
            if self.objects > self._max_objects:
                raise _limit("sends more than", self._max_objects, "objects")


class Requests:
    """What a client sends, without the empty request with which it says good-bye."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_idle = True

    def feed(self, data: bytes) -> bytes:
        """The whole packets so far, ready to be passed on."""
        self._buffer += data
        out = bytearray()
        while len(self._buffer) >= HEADER_BYTES:
            size = max(int(bytes(self._buffer[:HEADER_BYTES]), 16), HEADER_BYTES)
            if len(self._buffer) < size:
                break
            is_flush = self._buffer.startswith(b"0000")
            if not (is_flush and self._is_idle):
                out += self._buffer[:size]
            self._is_idle = is_flush
            del self._buffer[:size]
        return bytes(out)


def _limit(what: str, number: int, unit: str) -> RumpelError:
    return RumpelError(f"refused: the pod {what} {number} {unit} at once", details={"limit": unit})

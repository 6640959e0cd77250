"""What a git server says, overheard: refs it claims to have, the pack, its complaints.

Pkt-lines of gitprotocol-common(5), version 2 and 0. Only listens, and ends what passes a limit
or is no git protocol at all; the rest git itself judges.
"""

from __future__ import annotations

import re

from rumpel.adapters.git_limits import Limits, Refused, passed
from rumpel.adapters.git_pack import PackScanner

CLAIM = re.compile(rb"([0-9a-f]{40}(?:[0-9a-f]{24})?) refs/heads/([^\x00 \n]+)")
ACK = re.compile(rb"ACK ([0-9a-f]{40}(?:[0-9a-f]{24})?)\n?")
READY, SHALLOW, PACKFILE = b"ready\n", b"shallow-info\n", b"packfile\n"
MARKS = frozenset({READY, SHALLOW, PACKFILE})
LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
HEADER_BYTES = 4
VERSION_2 = b"000eversion 2\n"
FETCH = b"command=fetch"
EARLY = "refused: the pod sends a pack before it was asked for one"
UNASKED = "refused: the pod says more than it was asked for"
BAND_DATA, BAND_PROGRESS, BAND_ERROR = 1, 2, 3
MAX_TALK_BYTES = 64 << 20
"""Of everything that is no pack: refs and negotiation."""
MAX_GREETING_BYTES = 1 << 16
"""Of version 2; before that all refs are in it."""
MAX_PROGRESS_BYTES = 1 << 20
"""None was asked for."""
MAX_ERROR_BYTES = 4000


class PktListener:
    """Feed it what the server sends; raises RumpelError when a limit is passed."""

    def __init__(self, limits: Limits, *, oid_bytes: int = 20) -> None:
        self._limits = limits
        self.claims: dict[bytes, str] = {}
        """Branch (without refs/heads/) -> oid, as the server lists them."""
        self.total_bytes = 0
        self.scanner = PackScanner(limits, oid_bytes=oid_bytes)
        self.error = bytearray()
        self._greeting = bytearray()
        self._greeted = False
        self.in_pack = False
        self.is_at_rest = False
        """It has said all it was asked for, and not a byte more."""
        self.marks: set[bytes] = set()
        """Those of MARKS that it said."""
        self.acked: set[str] = set()
        """Commits that it has, too."""
        self.odd_lines = 0
        """Told, and neither a branch nor anything else that is known here; or nothing was told."""
        self.pack: bytearray | None = None
        """Of the pack what nobody took yet; not gathered unless set."""
        self._is_due, self._is_pack_due = True, False
        """What it may say now. Of version 2 alone: who spoke before would talk past git."""
        self._is_raw = False
        """An old server without side bands: a bare pack to the end."""
        self._talk_bytes = self._progress_bytes = self._claim_lines = 0
        self._band = 0
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
        self._greeting = bytearray(said)
        self._rest()

    @property
    def has_greeted(self) -> bool:
        return self._greeted

    @property
    def is_version_2(self) -> bool:
        """It waits for requests, and answers one after the other."""
        return self._greeting.startswith(VERSION_2)

    @property
    def may_be_version_2(self) -> bool:
        """By what it has said so far."""
        return VERSION_2.startswith(self._greeting[: len(VERSION_2)])

    @property
    def is_odd(self) -> bool:
        """What is no list of branches was heard."""
        return bool(self.odd_lines or self.marks or self.acked)

    def expect(self, *, pack: bool) -> None:
        """One more answer is due, in which there may be a `pack`."""
        self.is_at_rest, self._is_due, self._is_pack_due = False, True, pack

    def begin_answer(self, *, gathers_pack: bool) -> None:
        """What is told from here on is another answer."""
        self.marks.clear()
        self.acked.clear()
        self.odd_lines = 0
        self.pack = bytearray() if gathers_pack else None

    def feed(self, data: bytes) -> None:
        self.total_bytes += len(data)
        if self.total_bytes > self._limits.pack_bytes + MAX_TALK_BYTES:
            raise passed("sends more", self._limits.pack_bytes, "bytes at once")
        position = 0
        while position < len(data):
            self.is_at_rest = False
            if not self._is_due:
                raise Refused(UNASKED)
            position = self._step(data, position)

    def _step(self, data: bytes, position: int) -> int:
        if self._is_raw:
            self._in_band(data[position:])
            return len(data)
        if self._skip:
            piece = data[position : position + self._skip]
            self._skip -= len(piece)
            self._in_band(piece)
            return position + len(piece)
        piece = data[position : position + self._want - len(self._packet)]
        self._packet += piece
        if not self._greeted:
            self._greeting += piece
            if self.is_version_2 and len(self._greeting) > MAX_GREETING_BYTES:
                raise passed("tells more", MAX_GREETING_BYTES, "bytes of what it can")
        if len(self._packet) == self._want:
            if self._want == HEADER_BYTES:
                self._header()
            else:
                self._payload()
        return position + len(piece)

    def _header(self) -> None:
        word = bytes(self._packet)
        if word == b"PACK":
            self._begin_pack(is_announced=False)
            self._is_raw, self.in_pack, self._band = True, True, BAND_DATA
            self._in_band(word)
            return
        if not LENGTH.fullmatch(word):
            raise Refused("refused: what the pod sends is not git's protocol")
        size = int(word, 16)
        self._count_talk(HEADER_BYTES)
        if size > HEADER_BYTES:
            # The rest of a pack's packet is passed on as it comes.
            seen = HEADER_BYTES + 1 if self.in_pack else size
            self._want, self._left = seen, size - seen
            return
        self._packet.clear()
        if size == 0:
            self._rest()
        else:
            self.odd_lines += 1

    def _rest(self) -> None:
        self.in_pack, self._greeted, self.is_at_rest = False, True, True
        self._is_due = not self.is_version_2

    def _payload(self) -> None:
        line = bytes(self._packet[HEADER_BYTES:])
        self._packet.clear()
        self._want, self._skip, self._left = HEADER_BYTES, self._left, 0
        # Before version 2 nothing announces the pack but its first packet.
        is_band = self.in_pack or line[0] <= BAND_ERROR
        if is_band:
            self._begin_pack(is_announced=self.in_pack)
            self.in_pack, self._band = True, line[0]
            self._in_band(line[1:])
            return
        self.in_pack = line == PACKFILE
        self._talk(line)

    def _begin_pack(self, *, is_announced: bool) -> None:
        """A pack elsewhere would hide the real one: in the greeting git takes it for capabilities,
        and we would take it for nothing in a list of refs.
        """
        is_in_place = (is_announced and self._is_pack_due) or not self.is_version_2
        if not self._greeted or not is_in_place:
            raise Refused(EARLY)

    def _in_band(self, data: bytes) -> None:
        if self._band == BAND_DATA:
            if self.total_bytes - self._talk_bytes > self._limits.pack_bytes:
                raise passed("sends more", self._limits.pack_bytes, "bytes at once")
            self.scanner.feed(data)
            if self.pack is not None:
                self.pack += data
            return
        self._progress_bytes += len(data) + 1
        if self._progress_bytes > MAX_PROGRESS_BYTES:
            raise passed("tells more", MAX_PROGRESS_BYTES, "bytes about its progress")
        if self._band == BAND_ERROR and len(self.error) < MAX_ERROR_BYTES:
            self.error += data

    def _count_talk(self, size: int) -> None:
        self._talk_bytes += size
        if self._talk_bytes > MAX_TALK_BYTES:
            raise passed("tells more", MAX_TALK_BYTES, "bytes before its pack")

    def _talk(self, line: bytes) -> None:
        self._count_talk(len(line))
        if line.startswith(b"ERR ") and len(self.error) < MAX_ERROR_BYTES:
            self.error += line[4 : 4 + MAX_ERROR_BYTES]
        if line in MARKS:
            self.marks.add(line)
        ack = ACK.fullmatch(line)
        if ack is not None and len(self.acked) < self._limits.refs:
            self.acked.add(ack[1].decode())
        claim = CLAIM.match(line)
        if claim is None:
            self.odd_lines += line not in MARKS and ack is None
            return
        self.claims[claim[2]] = claim[1].decode()
        self._claim_lines += 1
        if self._claim_lines > self._limits.refs:
            raise passed("has more", self._limits.refs, "branches")


class Requests:
    """What a client sends, without the empty request with which it says good-bye."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_idle = True
        self.wants_pack = False
        """The last one asks for a pack."""

    def feed(self, data: bytes) -> bytes:
        """The whole packets so far, ready to be passed on."""
        self._buffer += data
        out = bytearray()
        while len(self._buffer) >= HEADER_BYTES:
            size = max(int(bytes(self._buffer[:HEADER_BYTES]), 16), HEADER_BYTES)
            if len(self._buffer) < size:
                break
            is_flush = self._buffer.startswith(b"0000")
            if self._is_idle and not is_flush:
                self.wants_pack = bytes(self._buffer[HEADER_BYTES:size]).rstrip(b"\n") == FETCH
            if not (is_flush and self._is_idle):
                out += self._buffer[:size]
            self._is_idle = is_flush
            del self._buffer[:size]
        return bytes(out)

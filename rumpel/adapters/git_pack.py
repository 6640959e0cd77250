"""A pack, looked at while it arrives: how large its objects are and how long its delta chains.

Git checks neither before it has unpacked everything: a megabyte can be a gigabyte of zeros, and
a delta of 60 kB can stand for a hundred gigabytes (notes/reliability.md F4). Here the objects are
inflated and thrown away, so that the import ends at the first one that is too large. Format:
gitformat-pack(5). Blocking, but for the CPU only.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left

from rumpel.adapters.git_limits import Limits, Refused, passed

HEADER_BYTES = 12
SLICE_BYTES = 16 << 10
"""At most a thousand times as much comes out of one slice."""
OFS_DELTA, REF_DELTA = 6, 7
KINDS = frozenset({1, 2, 3, 4, OFS_DELTA, REF_DELTA})
MAX_NUMBER_BYTES = 10
MAX_HEAD_BYTES = 2 * MAX_NUMBER_BYTES
"""Of a delta: the sizes of its base and of its result."""
BROKEN = "refused: the pod sends a broken pack"


class PackScanner:
    """Feed it the bytes of one pack. Raises Refused when a limit is passed or it is no pack."""

    def __init__(self, limits: Limits, *, oid_bytes: int = 20) -> None:
        self._limits, self._oid_bytes = limits, oid_bytes
        self.objects = 0
        """As the header says."""
        self.unpacked_bytes = 0
        self.max_depth = 0
        self.ref_offsets = array("Q")
        self.ref_bases = bytearray()
        """Of deltas whose base is known by its name only."""
        self._left: int | None = None
        self._held = b""
        self._offset = 0
        """Of the first byte that was not looked at yet, in the pack."""
        self._inflater: zlib._Decompress | None = None
        self._kind = self._size = self._got = 0
        self._head: bytes | None = None
        self._delta_offsets = array("Q")
        self._delta_depths = array("H")

    def feed(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        position = 0
        while position < len(data) and self._left != 0:
            try:
                used = self._step(data, position)
            except IndexError:  # the bytes end within a header
                self._held = data[position:]
                return
            position += used
            self._offset += used

    def _step(self, data: bytes, position: int) -> int:
        if self._left is None:
            return self._begin_pack(data)
        if self._inflater is None:
            return self._begin_object(data, position)
        return self._inflate(self._inflater, data[position : position + SLICE_BYTES])

    def _begin_pack(self, data: bytes) -> int:
        if len(data) < HEADER_BYTES:
            raise IndexError
        if not data.startswith(b"PACK"):
            raise Refused(BROKEN)
        self._left = self.objects = int.from_bytes(data[8:HEADER_BYTES], "big")
        if self.objects > self._limits.objects:
            raise passed("sends more", self._limits.objects, "objects at once")
        return HEADER_BYTES

    def _begin_object(self, data: bytes, position: int) -> int:
        start = position
        self._kind, self._size = (data[position] >> 4) & 7, data[position] & 15
        shift = 4
        while data[position] & 0x80:
            position += 1
            self._size |= (data[position] & 0x7F) << shift
            shift += 7
            if shift > 7 * MAX_NUMBER_BYTES:
                raise Refused(BROKEN)
        position += 1
        if self._kind not in KINDS:
            raise Refused(BROKEN)
        if self._kind == OFS_DELTA:
            position = self._chain(data, position)
        elif self._kind == REF_DELTA:
            if position + self._oid_bytes >= len(data):
                raise IndexError
            self._add_delta(0)
            self.ref_offsets.append(self._offset)
            self.ref_bases += data[position : position + self._oid_bytes]
            position += self._oid_bytes
        self._count(self._size, is_delta=self._kind >= OFS_DELTA)
        self._inflater, self._got = zlib.decompressobj(), 0
        self._head = b"" if self._kind >= OFS_DELTA else None
        return position - start

    def _chain(self, data: bytes, position: int) -> int:
        """The distance to the base of a delta, in git's own way to write it."""
        distance, count = data[position] & 0x7F, 1
        while data[position] & 0x80:
            position += 1
            distance = ((distance + 1) << 7) | (data[position] & 0x7F)
            count += 1
            if count > MAX_NUMBER_BYTES:
                raise Refused(BROKEN)
        if not 0 < distance <= self._offset:
            raise Refused(BROKEN)
        base = self._offset - distance
        index = bisect_left(self._delta_offsets, base)
        is_delta = index < len(self._delta_offsets) and self._delta_offsets[index] == base
        self._add_delta(self._delta_depths[index] if is_delta else 0)
        return position + 1

    def _add_delta(self, depth_of_base: int) -> None:
        depth = depth_of_base + 1
        if depth > self._limits.delta_depth:
            raise passed("sends a chain of more", self._limits.delta_depth, "deltas")
        self.max_depth = max(self.max_depth, depth)
        self._delta_offsets.append(self._offset)
        self._delta_depths.append(depth)

    def _inflate(self, inflater: zlib._Decompress, piece: bytes) -> int:
        try:
            out = inflater.decompress(piece)
        except zlib.error as err:
            raise Refused(BROKEN) from err
        self._got += len(out)
        if self._got > self._size:
            raise Refused(BROKEN)
        if self._head is not None:
            self._head = self._delta_head(self._head + out[:MAX_HEAD_BYTES])
        if not inflater.eof:
            return len(piece)
        if self._got != self._size:
            raise Refused(BROKEN)
        used = len(piece) - len(inflater.unused_data)
        self._inflater = None
        self._left = (self._left or 1) - 1
        return used

    def _delta_head(self, head: bytes) -> bytes | None:
        """What is still to be looked at; None once the size of the result is known."""
        position = size = 0
        for _ in range(2):
            size = shift = 0
            while True:
                if position >= len(head):
                    if len(head) >= MAX_HEAD_BYTES:
                        raise Refused(BROKEN)
                    return head
                size |= (head[position] & 0x7F) << shift
                shift += 7
                position += 1
                if not head[position - 1] & 0x80:
                    break
        self._count(size)
        return None

    def _count(self, size: int, *, is_delta: bool = False) -> None:
        """A delta is counted when the size of what it stands for is known."""
        if size > self._limits.object_bytes:
            raise Refused(
                f"refused: the pod sends an object of {size} bytes "
                f"(maxFileSize is {self._limits.object_bytes})",
                details={"limit": "object bytes"},
            )
        self.unpacked_bytes += 0 if is_delta else size
        if self.unpacked_bytes > self._limits.unpacked_bytes:
            raise passed("sends more", self._limits.unpacked_bytes, "bytes, unpacked")

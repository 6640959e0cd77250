"""A tar from one container on its way into another: what is not wanted stays behind.

Made for what the engine's archive call sends: `./path` entries in lexical order. Everything in it
comes from a pod, so sizes and names are bounded. Each entry leaves a digest of all it says, so that
what arrived can be compared with what was sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field

from rumpel.adapters import tar_entries
from rumpel.adapters.named import is_named
from rumpel.errors import Conflict, RumpelError

BLOCK = 512
END = bytes(2 * BLOCK)
MAX_EXTENDED_BYTES = 1 << 20
PIECE_BYTES = 256 << 10
MAX_ENTRIES = 4_000_000
FILE, HARD_LINK, SYMLINK, FOLDER, FIFO = b"0", b"1", b"2", b"5", b"6"
TAKEN = (FILE, b"\0", HARD_LINK, SYMLINK, FOLDER, FIFO)
"""A device is none of a workspace's business."""
EXTENDED = (b"x", b"g")
OWN_FIFO = re.compile(rb"\.git/rumpel/fifo[^/]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a workspace comes along."""

    ignored: frozenset[bytes] = frozenset()
    """Files and folders that stay behind, with everything in them."""
    kept: tuple[str, ...] = ()
    """Patterns of what comes along all the same (`adapters.named`)."""
    needed: frozenset[bytes] = frozenset()
    """Paths that come along whatever is ignored."""
    attached: frozenset[bytes] = frozenset()
    """Mount points that both containers have: what lies there is there already."""
    hiding: frozenset[bytes] = frozenset()
    """Mount points that only the new one has: what would lie under them could not be seen."""

    def is_kept(self, path: bytes) -> bool:
        return _has_above(self.needed, path) or self.is_wanted(path)

    def is_wanted(self, path: bytes) -> bool:
        """Does a pattern name it, or a folder it is in?"""
        return is_named(path, self.kept)


@dataclass(frozen=True, slots=True)
class Owners:
    """The user of the workspace before and now, as (uid, gid)."""

    before: tuple[int, int]
    now: tuple[int, int]


@dataclass(slots=True)
class _Entry:
    kind: bytes
    path: bytes
    size: int
    head: bytes
    """The header as it is passed on."""
    mtime: int
    link: bytes
    records: dict[bytes, bytes]


@dataclass(slots=True)
class Copy:
    """One passage; read its results when `pieces` has ended."""

    choice: Choice = field(default_factory=Choice)
    below: bytes = b""
    """Put before every path, with a slash at its end: an engine lets no link lead out of where it
    unpacks, so that has to be the root."""
    owners: Owners | None = None
    times: Mapping[bytes, tuple[int, int]] = field(default_factory=dict)
    """Seconds and nanoseconds of mtimes, where they are known: the engine cuts them."""
    items: dict[bytes, bytes] = field(default_factory=dict)
    """What was passed on: path -> digest. A folder's path ends with a slash."""
    skipped: set[bytes] = field(default_factory=set)
    """Those of `choice.ignored` that were met; a folder's path ends with a slash."""
    left: dict[bytes, int] = field(default_factory=dict)
    """How many files stayed behind of each of `choice.ignored`."""
    missing: set[bytes] = field(default_factory=set)
    """What should have come along, but was seen too late: another passage needs it."""
    root: tuple[int, int] | None = None
    """Owner of the folder itself."""
    _held: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)

    async def pieces(self, source: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The tar to pass on. Raises RumpelError for what is none."""
        reader = Reader(source)
        while (entry := await next_entry(reader)) is not None:
            padding = -entry.size % BLOCK
            if entry.path == b"":
                self.root = owner_of(entry.head)
                continue
            if not self._takes(entry):
                await reader.drop(entry.size + padding)
                continue
            self._own(entry)
            for piece in self._heads(entry):
                yield piece
            digest = _digest(entry)
            left = entry.size
            while left:
                piece = await reader.some(left)
                left -= len(piece)
                digest.update(piece)
                yield piece
            if padding:
                yield await reader.exactly(padding)
            self._remember(entry, digest.digest())
        yield END

    def _takes(self, entry: _Entry) -> bool:
        path, choice = entry.path, self.choice
        if entry.kind not in TAKEN or OWN_FIFO.fullmatch(path):
            return False
        if choice.attached and _is_under(choice.attached, path):
            return False
        if choice.ignored and (above := _above(choice.ignored, path)) is not None:
            if above == path:
                self.skipped.add(path + b"/" if entry.kind == FOLDER else path)
            if not choice.is_kept(path):
                self._leave(entry)
                self.left[above] = self.left.get(above, 0) + (entry.kind != FOLDER)
                return False
        if choice.hiding and entry.kind != FOLDER and _is_under(choice.hiding, path):
            shown = path.decode(errors="replace")
            raise Conflict(
                f"a mount of the new configuration would hide {shown!r} of the workspace",
                hint="mount it somewhere else, or move the files first",
            )
        if entry.kind == HARD_LINK and entry.link not in self.items:
            self.missing.add(entry.link)
            return False
        return True

    def _leave(self, entry: _Entry) -> None:
        """An ignored folder is held back until something in it is to come along."""
        if entry.kind == FOLDER:
            while self._held and not entry.path.startswith(self._held[-1][0] + b"/"):
                self._held.pop()
            self._own(entry)
            digest = _digest(entry).digest()
            self._held.append((entry.path, b"".join(self._encoded(entry)), digest))
        name = entry.path.rpartition(b"/")[2]
        if name == b".git":  # a repository of its own: work, whoever ignores it
            self.missing.add(entry.path.rpartition(b"/")[0] or entry.path)

    def _heads(self, entry: _Entry) -> list[bytes]:
        """The folders that were held back and lead here, then its own header."""
        heads = []
        for path, head, digest in self._held:
            if entry.path.startswith(path + b"/"):
                heads.append(head)
                self.items[path + b"/"] = digest
        if heads:
            self._held.clear()
        return [*heads, *self._encoded(entry)]

    def _encoded(self, entry: _Entry) -> list[bytes]:
        """The header, behind an extended one for what it cannot say."""
        records, head = dict(entry.records), bytearray(entry.head)
        seconds, nanoseconds = self.times.get(entry.path, (0, 0))
        if nanoseconds and seconds == entry.mtime:
            records[b"mtime"] = b"%d.%09d" % (seconds, nanoseconds)
        if self.below:
            slash = b"/" if entry.kind == FOLDER else b""
            _name(head, records, b"path", self.below + entry.path + slash)
            if entry.kind == HARD_LINK:
                _name(head, records, b"linkpath", self.below + entry.link)
        return [*_extended(records), _sealed(head)]

    def _own(self, entry: _Entry) -> None:
        if self.owners is not None and owner_of(entry.head) == self.owners.before:
            entry.head = _with_owner(entry.head, self.owners.now)

    def _remember(self, entry: _Entry, digest: bytes) -> None:
        self.items[entry.path + b"/" if entry.kind == FOLDER else entry.path] = digest
        if len(self.items) > MAX_ENTRIES:
            raise RumpelError(f"the workspace has more than {MAX_ENTRIES} files")


async def joined(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same in larger pieces: each one is a write, and a file of a tar is three."""
    parts, size = list[bytes](), 0
    async for piece in source:
        parts.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


async def drain(source: AsyncIterator[bytes]) -> None:
    async for _ in source:
        pass


class Reader:
    """Cuts the pieces of a stream where the tar needs it."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source, self._buffer, self._at = source, b"", 0

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size:
            self._buffer = self._buffer[self._at :] + await self._more()
            self._at = 0
        self._at += size
        return self._buffer[self._at - size : self._at]

    async def some(self, limit: int) -> bytes:
        if self._at == len(self._buffer):
            self._buffer, self._at = await self._more(), 0
        piece = self._buffer[self._at : self._at + limit]
        self._at += len(piece)
        return piece

    async def drop(self, size: int) -> None:
        while size:
            size -= len(await self.some(size))

    async def _more(self) -> bytes:
        try:
            while not (piece := await anext(self._source)):
                pass
        except StopAsyncIteration:
            raise RumpelError("the engine sent a tar that is cut off") from None
        return piece


async def next_entry(reader: Reader) -> _Entry | None:
    """The next entry with what extended headers say of it; None at the end."""
    records: dict[bytes, bytes] = {}
    for left in reversed(range(tar_entries.MAX_EXTENDED)):
        head = await reader.exactly(BLOCK)
        if not head.strip(b"\0"):
            return None
        kind, size = head[156:157], number(head[124:136])
        if kind not in EXTENDED:
            break
        if size > MAX_EXTENDED_BYTES or not left:
            raise RumpelError("the workspace has a file with a name that is too long")
        body = (await reader.exactly(size + -size % BLOCK))[:size]
        records.update(tar_entries.records_of(body) if kind == b"x" else {})
    name = _text(head[:100])
    if head[257:263] == b"ustar\0" and head[345]:
        name = _text(head[345:500]) + b"/" + name
    return _Entry(
        kind=kind,
        path=_clean(records.get(b"path", name)),
        size=tar_entries.decimal(records, b"size", size if kind in (FILE, b"\0") else 0),
        head=head,
        mtime=number(head[136:148]),
        link=_link(kind, records.get(b"linkpath", _text(head[157:257]))),
        records=records,
    )


def _clean(path: bytes) -> bytes:
    """Relative to the folder, without `./` and a slash at the end. Raises RumpelError."""
    found = path.removeprefix(b"./").rstrip(b"/")
    if found == b".":
        return b""
    if found.startswith(b"/") or b".." in found.split(b"/"):
        raise RumpelError(f"the engine sent the path {path[:80]!r}")
    return found


def _link(kind: bytes, link: bytes) -> bytes:
    return _clean(link) if kind == HARD_LINK else link


def _name(head: bytearray, records: dict[bytes, bytes], key: bytes, name: bytes) -> None:
    start, end = (0, 100) if key == b"path" else (157, 257)
    fits = len(name) <= 100 and name.isascii()
    head[start:end] = (name if fits else b"long").ljust(100, b"\0")
    head[345:500] = bytes(155)
    records.pop(key, None)
    if not fits:
        records[key] = name


def _extended(records: Mapping[bytes, bytes]) -> list[bytes]:
    if not records:
        return []
    body = b"".join(_record(key, value) for key, value in records.items())
    head = bytearray(BLOCK)
    head[:100] = b"PaxHeaders/entry".ljust(100, b"\0")
    head[100:108], head[108:116], head[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    head[124:136], head[136:148] = b"%011o\0" % len(body), b"00000000000\0"
    head[156:157], head[257:265] = b"x", b"ustar\x0000"
    return [_sealed(head), body + bytes(-len(body) % BLOCK)]


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value\\n`, where the length counts its own digits."""
    size = len(key) + len(value) + 3
    length = size + len(str(size))
    if len(str(length)) > len(str(size)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def _digest(entry: _Entry) -> hashlib.blake2b:
    """Of everything but the content, which follows. A hard link has its target's mode."""
    mode = number(entry.head[100:108]) & 0o7777
    kind = FILE if entry.kind == b"\0" else entry.kind
    owner = owner_of(entry.head)
    said = b"%b %o %d %d %d %d %b" % (kind, mode, *owner, entry.size, entry.mtime, entry.link)
    return hashlib.blake2b(said, digest_size=16)


def owner_of(head: bytes) -> tuple[int, int]:
    return number(head[108:116]), number(head[116:124])


def _with_owner(head: bytes, owner: tuple[int, int]) -> bytes:
    changed = bytearray(head)
    changed[108:116], changed[116:124] = b"%07o\0" % owner[0], b"%07o\0" % owner[1]
    return _sealed(changed)


def _sealed(head: bytearray) -> bytes:
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def _text(raw: bytes) -> bytes:
    return raw.partition(b"\0")[0]


def number(raw: bytes) -> int:
    """Octal, or base 256 when the first bit is set."""
    if raw[0] & 0x80:
        return int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
    digits = raw.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        raise RumpelError("the engine sent a broken tar") from None


def _above(paths: frozenset[bytes], path: bytes) -> bytes | None:
    """The one of `paths` that is `path` or a folder it lies in."""
    end = len(path)
    while end > 0:
        if path[:end] in paths:
            return path[:end]
        end = path.rfind(b"/", 0, end)
    return None


def _has_above(paths: frozenset[bytes], path: bytes) -> bool:
    return _above(paths, path) is not None


def _is_under(paths: frozenset[bytes], path: bytes) -> bool:
    """At or below one of `paths`."""
    return _has_above(paths, path)

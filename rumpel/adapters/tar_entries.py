"""The entries of a tar, as they come: what a header says, checked, and nothing else.

For a tar that a pod or a person sends. Read by hand because `tarfile` opens what it likes by
itself, reads headers of any size into memory, and costs 60 us an entry. Understands ustar, GNU's
long names and pax; sparse files and what is older or odder are refused.
"""

from __future__ import annotations

from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Source(Protocol):
        def exactly(self, size: int, /) -> bytes: ...


BLOCK = 512
ZERO = bytes(BLOCK)
MAX_EXTENDED_BYTES = 1 << 20
MAX_EXTENDED = 8
"""Headers about one entry."""
MAX_PATH_BYTES = 4000
MAX_DEPTH = 256
MAX_SIZE = 1 << 60
FILE, HARD_LINK, SYMLINK, FOLDER = b"0", b"1", b"2", b"5"
SPECIAL = {b"3": "device", b"4": "device", b"6": "pipe"}
FILES = (b"0", b"\0", b"7")
KNOWN = {*FILES, HARD_LINK, SYMLINK, FOLDER, *SPECIAL}
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = b"L", b"K", b"x", b"g"
SECOND_NS = 10**9
LATEST_NS = (1 << 33) * SECOND_NS
MAGICS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class BadTar(RumpelError):
    code = "bad-tar"


class Entry:
    __slots__ = ("gid", "head", "kind", "link", "mode", "mtime_ns", "path", "size", "uid")

    def __init__(self) -> None:
        self.kind = FILE
        self.path = self.link = b""
        """Without `.` and empty parts; the path of the root itself is empty."""
        self.size = self.mode = self.mtime_ns = self.uid = self.gid = 0
        self.head: list[bytes] = []
        """All its headers as they came."""


def read(source: Source) -> Entry | None:
    """The next entry, its content unread; None at the end. Raises BadTar."""
    records: dict[bytes, bytes] = {}
    entry, room = Entry(), MAX_EXTENDED_BYTES
    for _ in range(MAX_EXTENDED):
        head = source.exactly(BLOCK)
        if head == ZERO:
            return None
        _check(head)
        entry.head.append(head)
        kind = head[156:157]
        if kind not in (LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL):
            return _filled(entry, head, records)
        size = _number(head[124:136])
        room -= size
        if room < 0:
            raise BadTar("the tar has a header of more than a megabyte")
        body = source.exactly(size + -size % BLOCK)
        entry.head.append(body)
        if kind == PAX:
            records |= records_of(body[:size])
        elif kind != PAX_GLOBAL:
            key = b"path" if kind == LONG_NAME else b"linkpath"
            records[key] = body[:size].partition(b"\0")[0]
    raise BadTar("the tar has endless headers for one file")


def _check(head: bytes) -> None:
    field = head[148:156]
    bare = sum(head) - sum(field) + 8 * 32
    if field[:7] != b"%06o\0" % bare and not _says(field, bare):
        packed = next((name for magic, name in MAGICS.items() if head.startswith(magic)), None)
        if packed:
            raise BadTar(f"this is packed with {packed}, a plain tar is wanted")
        raise BadTar("this is not a tar, or it is damaged")


def _says(field: bytes, value: int) -> bool:
    try:
        return int(field.strip(b" \0"), 8) == value
    except ValueError:
        return False


def _filled(entry: Entry, head: bytes, records: dict[bytes, bytes]) -> Entry:
    kind = head[156:157]
    if kind not in KNOWN or any(key.startswith(b"GNU.sparse") for key in records):
        what = "sparse file" if kind in (b"0", b"S", b"\0") else f"entry of kind {kind!r}"
        raise BadTar(f"the tar has a {what}, which is not read")
    name = head[:100].partition(b"\0")[0]
    if head[257:263] == b"ustar\0" and head[345]:
        name = head[345:500].partition(b"\0")[0] + b"/" + name
    name = records.get(b"path", name)
    if kind in FILES and name.endswith(b"/"):
        kind = FOLDER  # older than the flag for it
    entry.kind = FILE if kind in FILES else kind
    entry.path = clean(name)
    if kind in FILES:
        entry.size = decimal(records, b"size", _number(head[124:136]))
    entry.mode = _number(head[100:108]) & 0o7777
    entry.uid = decimal(records, b"uid", _number(head[108:116]))
    entry.gid = decimal(records, b"gid", _number(head[116:124]))
    entry.mtime_ns = _time(records.get(b"mtime"), head[136:148])
    if kind in (HARD_LINK, SYMLINK):
        link = records.get(b"linkpath", head[157:257].partition(b"\0")[0])
        if b"\0" in link or not link or len(link) > MAX_PATH_BYTES:
            raise BadTar("the tar has a link to nowhere")
        entry.link = link if kind == SYMLINK else clean(link)
    return entry


def clean(path: bytes) -> bytes:
    """`path` without what means nothing. Raises BadTar when it could lead elsewhere."""
    if b"\0" in path or path.startswith(b"/") or len(path) > MAX_PATH_BYTES:
        raise BadTar(f"the tar has a path that is not one: {path[:80]!r}")
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if len(parts) > MAX_DEPTH:
        raise BadTar(f"the tar has folders in more than {MAX_DEPTH} others")
    if b".." in parts:
        raise BadTar(f"the tar has a path that leads elsewhere: {path[:80]!r}")
    return b"/".join(parts)


def _number(raw: bytes) -> int:
    """Octal, or base 256 when the first bit is set (negative ones are none of ours)."""
    if raw[0] == 0x80:
        value = int.from_bytes(raw[1:], "big")
    elif raw[0] == 0xFF:
        value = 0  # before 1970, or nobody's: a size is never written so
    else:
        digits = raw.strip(b" \0")
        if digits and not digits.isdigit():
            raise BadTar("the tar has a number that is none")
        try:
            value = int(digits or b"0", 8)
        except ValueError:
            raise BadTar("the tar has a number that is none") from None
    if value > MAX_SIZE:
        raise BadTar("the tar has a number that is too large")
    return value


def decimal(records: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
    said = records.get(key)
    if said is None:
        return otherwise
    if not said.isdigit() or len(said) > 18:
        raise BadTar("the tar has a number that is none")
    return int(said)


def _time(said: bytes | None, raw: bytes) -> int:
    """Nanoseconds since 1970; a time that is none is 1970."""
    if said is None:
        return min(_number(raw) * SECOND_NS, LATEST_NS)
    seconds, _, part = said.partition(b".")
    if not (seconds.isdigit() and len(seconds) < 12 and (part.isdigit() or not part)):
        return 0
    return min(int(seconds) * SECOND_NS + int(part[:9].ljust(9, b"0")), LATEST_NS)


def records_of(body: bytes) -> dict[bytes, bytes]:
    """Of a pax header: lines of `length key=value`."""
    found, at = {}, 0
    while at < len(body):
        space = body.find(b" ", at, at + 8)
        digits = body[at:space]
        end = at + int(digits) if space > 0 and digits.isdigit() else 0
        key, equals, value = body[space + 1 : end].partition(b"=")
        if end > len(body) or not equals or value[-1:] != b"\n":
            raise BadTar("the tar has a broken header")
        found[key] = value[:-1]
        at = end
    return found

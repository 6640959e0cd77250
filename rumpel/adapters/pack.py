"""Files of this machine as a tar, for a pod: written as it is sent, large files by the kernel."""

from __future__ import annotations

import os
import stat

from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Sink(Protocol):
        def send(self, data: bytes | bytearray, /) -> None: ...
        def send_file(self, fd: int, size: int, /) -> int: ...


BLOCK = 512
END = bytes(2 * BLOCK)
JOINED_BYTES = 256 << 10
"""Headers and small files are sent together."""
SMALL_BYTES = 64 << 10
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
NAME_BYTES = 100
REST = bytes(247)
SPECIAL = "sockets, pipes and devices are not copied"
OWN_GIT = "the git repository of the pod stays as it is, so this is not copied"
MAX_TOLD = 5


class Packing:
    """Entries in the order of names; every path below what `add` was told."""

    def __init__(self, sink: Sink, *, keeps_owners: bool = False, left: bytes = b"") -> None:
        """`left`: what of the tar is not sent, as the pod has its own git repository there."""
        self.sink, self.keeps_owners, self.left = sink, keeps_owners, left
        self.files = self.folders = self.links = self.bytes = 0
        self.remarks: dict[str, tuple[int, list[bytes]]] = {}
        self._buffer, self._locked = bytearray(), b""
        """What was not sent yet; modes of folders that lock out their owner, for the end."""
        self._seen: dict[tuple[int, int], bytes] = {}
        """Files with several names: what they are called in the tar."""

    def add(self, path: bytes, name: bytes, *, follows: bool = False) -> None:
        """`path` with all in it, as `name`. Raises RumpelError when something cannot be read."""
        pending = [(path, name, follows)]
        while pending:
            path, name, follows = pending.pop()
            if name == self.left:
                self.remark(OWN_GIT, os.path.normpath(path))
                continue
            try:
                found = os.stat(path, follow_symlinks=follows)
                if not stat.S_ISDIR(found.st_mode):
                    self._leaf(path, name, found, follows=follows)
                    continue
                if name.endswith(b"/"):
                    self._folder(name, found)  # once more: what came into it moved its time
                    continue
                self._folder(name + b"/", found, is_open=True)
                with os.scandir(path) as entries:
                    below = sorted((entry.name for entry in entries), reverse=True)
            except OSError as err:
                raise unreadable(path, err) from err
            pending.append((path, name + b"/", follows))
            pending += [(path + b"/" + child, name + b"/" + child, False) for child in below]

    def end(self, mark: bytes) -> None:
        """A last file called `mark` says that nothing is missing.

        In it are modes that are not set before all is in its place: MODE, NUL, PATH, NUL ...
        """
        self._head(mark, b"0", len(self._locked), 0o600, None)
        self._buffer += _padded(self._locked) + END
        self._flush()

    def remark(self, what: str, path: bytes) -> None:
        count, paths = self.remarks.get(what, (0, []))
        self.remarks[what] = (count + 1, [*paths, path] if count < MAX_TOLD else paths)

    def count(self, kind: bytes, size: int) -> None:
        """One entry that went by another way."""
        self.files += kind in (b"0", b"1")
        self.folders += kind == b"5"
        self.links += kind == b"2"
        self.bytes += size

    def _folder(self, name: bytes, found: os.stat_result, *, is_open: bool = False) -> None:
        mode = stat.S_IMODE(found.st_mode)
        if not is_open and mode & 0o700 != 0o700:
            self._locked += b"%o\0./%b\0" % (mode, name.partition(b"/")[2])
        self._head(name, b"5", 0, mode | 0o700, found)
        self.folders += is_open

    def _leaf(self, path: bytes, name: bytes, found: os.stat_result, *, follows: bool) -> None:
        if stat.S_ISLNK(found.st_mode):
            self._head(name, b"2", 0, 0o777, found, link=os.readlink(path))
            self.links += 1
        elif not stat.S_ISREG(found.st_mode):
            self.remark(SPECIAL, path)
        else:
            self._file(path, name, found, follows=follows)
            self.files += 1

    def _file(self, path: bytes, name: bytes, found: os.stat_result, *, follows: bool) -> None:
        if found.st_nlink > 1:
            key = (found.st_dev, found.st_ino)
            first = self._seen.setdefault(key, name)
            if first != name:
                self._head(name, b"1", 0, stat.S_IMODE(found.st_mode), found, link=first)
                return
        fd = os.open(path, OPEN & ~os.O_NOFOLLOW if follows else OPEN)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise RumpelError(f"{_shown(path)} became something else while it was read")
            size = found.st_size
            self._head(name, b"0", size, stat.S_IMODE(found.st_mode), found)
            self._content(fd, size, path)
        finally:
            os.close(fd)
        self._buffer += bytes(-size % BLOCK)
        self.bytes += size
        if len(self._buffer) >= JOINED_BYTES:
            self._flush()

    def _content(self, fd: int, size: int, path: bytes) -> None:
        if size <= SMALL_BYTES:
            data = os.read(fd, size)
            sent = len(data)
            self._buffer += data
        else:
            self._flush()
            sent = self.sink.send_file(fd, size)
        if sent != size:
            raise RumpelError(f"{_shown(path)} became shorter while it was read")

    def _head(
        self,
        name: bytes,
        kind: bytes,
        size: int,
        mode: int,
        found: os.stat_result | None,
        *,
        link: bytes = b"",
    ) -> None:
        seconds, part = divmod(0 if found is None else max(found.st_mtime_ns, 0), 10**9)
        owner = (found.st_uid, found.st_gid) if self.keeps_owners and found else (0, 0)
        if len(name) > NAME_BYTES:
            self._buffer += _long(b"L", name)
        if len(link) > NAME_BYTES:
            self._buffer += _long(b"K", link)
        if part:
            record = _record(b"mtime", b"%d.%09d" % (seconds, part))
            self._buffer += _header(b"pax", b"x", len(record), 0o644, 0) + _padded(record)
        self._buffer += _header(name, kind, size, mode, seconds, link=link, owner=owner)

    def _flush(self) -> None:
        if self._buffer:
            self.sink.send(self._buffer)
            self._buffer = bytearray()


def _header(
    name: bytes,
    kind: bytes,
    size: int,
    mode: int,
    mtime: int,
    *,
    link: bytes = b"",
    owner: tuple[int, int] = (0, 0),
) -> bytes:
    bare = b"%b%07o\0%b%b%b%b        %b%bustar\x0000%b" % (
        *(name[:NAME_BYTES].ljust(NAME_BYTES, b"\0"), mode),
        *(_number(owner[0], 8), _number(owner[1], 8), _number(size, 12)),
        *(_number(mtime, 12), kind),
        *(link[:NAME_BYTES].ljust(NAME_BYTES, b"\0"), REST),
    )
    return b"%b%06o\0 %b" % (bare[:148], sum(bare), bare[156:])


def _number(value: int, width: int) -> bytes:
    """Octal, or base 256 where that is too short: every tar of today reads both."""
    octal = b"%0*o\0" % (width - 1, value)
    return octal if len(octal) == width else b"\x80" + value.to_bytes(width - 1, "big")


def _long(kind: bytes, name: bytes) -> bytes:
    """GNU's way, which busybox reads, too."""
    return _header(b"././@LongLink", kind, len(name) + 1, 0o644, 0) + _padded(name + b"\0")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value\\n`, where the length counts its own digits."""
    size = len(key) + len(value) + 3
    length = size + len(str(size))
    if len(str(length)) > len(str(size)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def _shown(path: bytes) -> str:
    return path.decode(errors="surrogateescape")


def unreadable(path: bytes, error: OSError) -> RumpelError:
    return RumpelError(f"cannot read {_shown(path)!r}: {error.strerror}")

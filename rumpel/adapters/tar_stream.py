"""A tar as it is written, without being a file first: what it holds is read when it is sent."""

from __future__ import annotations

import contextlib
import tarfile
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters.pool_file import PoolFile
from rumpel.errors import RumpelError

CHUNK_BYTES = 1 << 20
END = bytes(2 * tarfile.BLOCKSIZE)


class Changed(RumpelError):
    """A file that was to stay as it is while it was read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file with `data`, or with what lies at a path; without, a folder.

    One that is open already has to stay as it is, and is closed here.
    """

    name: str
    data: bytes | Path | PoolFile | None = None
    mode: int | None = None
    """None: that of any file or folder."""
    link: str = ""
    """What a symlink says."""
    uid: int = 0
    gid: int = 0
    mtime: int | None = None
    """None: now."""


async def chunks(entries: Iterable[Entry] | AsyncIterable[Entry]) -> AsyncGenerator[bytes, None]:
    """Raises RumpelError when a file cannot be read to the end it had at the start."""
    async for entry in _each(entries):
        if isinstance(entry.data, (Path, PoolFile)):
            async with contextlib.aclosing(_file(entry, entry.data)) as pieces:
                async for piece in pieces:
                    yield piece
        else:
            data = entry.data or b""
            yield _head(entry, len(data)) + data + _padding(len(data))
    yield END


async def _each(entries: Iterable[Entry] | AsyncIterable[Entry]) -> AsyncIterator[Entry]:
    if isinstance(entries, AsyncIterable):
        async for entry in entries:
            yield entry
    else:
        for entry in entries:
            yield entry


async def _file(entry: Entry, found: Path | PoolFile) -> AsyncGenerator[bytes, None]:
    name = Path(entry.name).name
    shown = found if isinstance(found, Path) else name
    file = PoolFile(found) if isinstance(found, Path) else found
    try:
        with contextlib.closing(file):
            before = await file.stat()
            size = left = before.st_size
            yield _head(entry, size)
            while left:
                data = await file.read(min(left, CHUNK_BYTES))
                if not data:
                    raise Changed(f"{name} became shorter while it was read")
                left -= len(data)
                yield data
            after = await file.stat() if file is found else before
            if (before.st_mtime_ns, size) != (after.st_mtime_ns, after.st_size):
                raise Changed(f"{name} was changed while it was read")
    except OSError as err:
        raise RumpelError(f"{shown} cannot be read: {err.strerror}") from err
    yield _padding(size)


def _head(entry: Entry, size: int) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.size, info.mode = size, 0o644 if entry.mode is None else entry.mode
    info.mtime = int(time.time()) if entry.mtime is None else entry.mtime
    info.uid, info.gid = entry.uid, entry.gid
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
    elif entry.data is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755 if entry.mode is None else entry.mode
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)

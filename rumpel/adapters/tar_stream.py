"""A tar as it is written, without being a file first: what it holds is read when it is sent."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rumpel.adapters import threads
from rumpel.errors import RumpelError

CHUNK_BYTES = 1 << 20
END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file with `data`, or with what lies at a path; without, a folder (0755)."""

    name: str
    data: bytes | Path | None = None
    mode: int = 0o644
    link: str = ""
    """What a symlink says."""
    uid: int = 0
    gid: int = 0


async def chunks(entries: Iterable[Entry] | AsyncIterable[Entry]) -> AsyncIterator[bytes]:
    """Raises RumpelError when a file cannot be read to the end it had at the start."""
    async for entry in _each(entries):
        if isinstance(entry.data, Path):
            async for piece in _file(entry, entry.data):
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


async def _file(entry: Entry, path: Path) -> AsyncIterator[bytes]:
    try:
        file: BinaryIO = await threads.call(path.open, "rb")
        with file:
            size = left = os.fstat(file.fileno()).st_size
            yield _head(entry, size)
            while left:
                data = await threads.call(file.read, min(left, CHUNK_BYTES))
                if not data:
                    raise RumpelError(f"{path.name} became shorter while it was read")
                left -= len(data)
                yield data
    except OSError as err:
        raise RumpelError(f"{path} cannot be read: {err.strerror}") from err
    yield _padding(size)


def _head(entry: Entry, size: int) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.size, info.mode, info.mtime = size, entry.mode, int(time.time())
    info.uid, info.gid = entry.uid, entry.gid
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
    elif entry.data is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)

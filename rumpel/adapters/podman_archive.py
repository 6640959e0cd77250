"""Podman's archive call, whose answer is made into what Docker's would be.

It follows a link that is asked for, and of `FOLDER/.` it leaves out the folder itself; what a path
is it says in a header. Owners it does not tell: all is its container's main user's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import posixpath
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

from rumpel.adapters import tar_copy
from rumpel.errors import NotFound

Headers = Callable[[Mapping[str, str]], None]
Get = Callable[[str, Headers], contextlib.AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""The call: a path, and who is told the head of its answer, also of one that is an error."""

STAT = "x-docker-container-path-stat"
LINK = 1 << 27
"""Go's bit of a link in a mode."""
CONTENT = "/."


class _Stat:
    """What the header says; what it does not say is as of a plain file."""

    def __init__(self) -> None:
        self.mode = self.mtime = 0

    def hear(self, headers: Mapping[str, str]) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            said = json.loads(base64.b64decode(headers.get(STAT, "")))
            self.mode = int(said["mode"])
            self.mtime = max(0, int(datetime.fromisoformat(said["mtime"][:19] + "Z").timestamp()))


@contextlib.asynccontextmanager
async def read(get: Get, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """What lies at `path`, a link as a link, and of `FOLDER/.` the folder first."""
    stat, asked = _Stat(), path if path.strip("/") else CONTENT
    wants_content = asked.endswith(CONTENT)
    is_link = False
    try:
        async with get(asked, stat.hear) as pieces:
            is_link = bool(stat.mode & LINK) and not wants_content and not asked.endswith("/")
            if not is_link:
                yield _with_root(pieces, stat) if wants_content else pieces
    except NotFound:  # what a link leads to may be gone
        if not stat.mode & LINK or wants_content:
            raise
        is_link = True
    if is_link:
        folder, name = posixpath.split(asked)
        async with get(folder.rstrip("/") + CONTENT, lambda _: None) as pieces:
            yield _only(pieces, name.encode("utf-8", "surrogateescape"))


async def _only(pieces: AsyncIterator[bytes], name: bytes) -> AsyncIterator[bytes]:
    """Of what lies in a folder, the link of that name."""
    reader = tar_copy.Reader(pieces)
    while (entry := await tar_copy.next_entry(reader)) is not None:
        if entry.path == name and entry.kind == tar_copy.SYMLINK:
            link = _info(name, tarfile.SYMTYPE, 0o777, entry.mtime)
            link.linkname = entry.link.decode("utf-8", "surrogateescape")
            yield link.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + tar_copy.END
            return
        await reader.drop(entry.size + -entry.size % tar_copy.BLOCK)
    raise NotFound(f"there is no link {name.decode(errors='replace')} any more")


async def _with_root(pieces: AsyncIterator[bytes], stat: _Stat) -> AsyncIterator[bytes]:
    """The folder belongs to whom all in it does, as it is told."""
    begin = bytearray()
    async for piece in pieces:
        begin += piece
        if (owner := _owner(begin)) is not None:
            break
    else:
        owner = (0, 0)
    root = _info(b"./", tarfile.DIRTYPE, stat.mode & 0o7777, stat.mtime)
    root.uid, root.gid = owner
    yield root.tobuf(tarfile.USTAR_FORMAT)
    yield bytes(begin)
    async for piece in pieces:
        yield piece


def _info(name: bytes, kind: bytes, mode: int, mtime: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    info.type, info.mode, info.mtime = kind, mode, mtime
    return info


def _owner(begin: bytearray) -> tuple[int, int] | None:
    """Of the first entry; None as long as it has not come. Raises RumpelError."""
    at = 0
    while len(begin) >= at + tar_copy.BLOCK:
        head = bytes(begin[at : at + tar_copy.BLOCK])
        if head[156:157] not in tar_copy.EXTENDED:
            return tar_copy.owner_of(head)
        size = tar_copy.number(head[124:136])
        at += tar_copy.BLOCK + size + -size % tar_copy.BLOCK
    return None

"""LFS objects over exec streams: out of a pod into the host's store, and into a gateway.

A pod is untrusted: it is asked for names that were checked, its answer is cut by the sizes that
are expected, content counts only when its hash is its name, and nothing is held in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import threads
from rumpel.adapters.lfs import Part, Pointer, Store
from rumpel.adapters.pool_file import PoolFile
from rumpel.adapters.stream import STDOUT, Stream
from rumpel.errors import RumpelError, TimedOut

GONE = "gone"
"""The pod does not have it either."""
CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 64
MAX_ASKED = 400
"""Names in one exec: 26 KB of arguments."""

# $1 workspace, then the names. Answers `SIZE\n` and the content of each, or `-\n`.
SEND = """
cd "$1" || exit
shift
top=$(git rev-parse --git-common-dir) && store=$(git config lfs.storage || echo lfs) || exit
case $store in /*) ;; *) store=$top/$store ;; esac
for oid; do
    rest=${oid#??}
    file=$store/objects/${oid%"$rest"}/${rest%"${rest#??}"}/$oid
    if [ -f "$file" ]; then
        size=$(wc -c <"$file") && echo $((size)) && cat "$file" || exit
    else
        echo -
    fi
done
"""

# $1 the folder of objects, $2 the name: content on stdin. Whole or not at all.
TAKE = """
umask 022
rest=${2#??}
folder=$1/${2%"$rest"}/${rest%"${rest#??}"}
mkdir -p "$folder" && cat >"$folder/$2.part" && mv "$folder/$2.part" "$folder/$2" && echo ok
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What LFS may cost: for one object, for one import, and what the disk has to keep free."""

    object_bytes: int = 2 << 30
    """maxFileSize: what git itself may bring."""
    total_bytes: int = 64 << 30
    """What is left of the podQuota."""
    free_bytes: int = 512 << 20
    idle_s: float = 60.0
    """Without a byte from the pod."""


async def receive(
    stream: Stream, store: Store, asked: Sequence[Pointer], limits: Limits
) -> dict[Pointer, str]:
    """Read the answer to SEND into the store; what did not get there, with the reason.

    Raises RumpelError when the pod breaks the format, TimedOut, HostUnreachable; what arrived
    before that stays.
    """
    source = _Source(stream, limits.idle_s)
    missing: dict[Pointer, str] = {}
    for pointer in asked:
        line = await source.line()
        if line == b"-":
            missing[pointer] = GONE
            continue
        if line != b"%d" % pointer.size:
            raise RumpelError(
                f"the pod's LFS object {pointer.oid[:12]} is not of {pointer.size} bytes"
            )
        try:
            await _store(source, store, pointer)
        except OSError as err:
            raise RumpelError(f"LFS objects cannot be written: {err.strerror}") from err
    return missing


def sort_out(
    store: Store, pointers: Sequence[Pointer], limits: Limits
) -> tuple[list[Pointer], dict[Pointer, str]]:
    """(those to ask for, those that are too much with the reason); blocking."""
    quota, room = limits.total_bytes, store.free_bytes() - limits.free_bytes
    wanted: list[Pointer] = []
    refused: dict[Pointer, str] = {}
    for pointer in sorted(pointers, key=lambda item: item.size):
        if store.has(pointer):
            continue
        if pointer.size > limits.object_bytes:
            refused[pointer] = f"maxFileSize is {limits.object_bytes} bytes"
        elif pointer.size > min(quota, room):
            refused[pointer] = "no room on the host" if room < quota else "the podQuota is used up"
        else:
            quota, room = quota - pointer.size, room - pointer.size
            wanted.append(pointer)
    return wanted, refused


async def send(stream: Stream, file: Path) -> None:
    """Give the content to TAKE. Raises RumpelError unless it says that all is well."""
    with contextlib.closing(PoolFile(file)) as content:
        while data := await content.read(CHUNK_BYTES):
            await stream.write(data)
    await stream.write_eof()
    said = b""
    while (item := await stream.read()) is not None:
        said += item[1][:1000]
    if said != b"ok\n":
        raise RumpelError(f"an LFS object was not taken: {said.decode('utf-8', 'replace')[:200]}")


async def _store(source: _Source, store: Store, pointer: Pointer) -> None:
    part = await threads.call(Part, store, pointer)
    try:
        async for data in source.exactly(pointer.size):
            await threads.call(part.write, data)
        await threads.call(part.finish)
    finally:
        await threads.call(part.drop)


class _Source:
    """What the pod writes, as lines and as pieces of a known length."""

    def __init__(self, stream: Stream, idle_s: float) -> None:
        self._stream, self._idle_s = stream, idle_s
        self._held = b""

    async def line(self) -> bytes:
        while b"\n" not in self._held[: MAX_LINE_BYTES + 1]:
            if len(self._held) > MAX_LINE_BYTES:
                raise RumpelError("the pod does not answer as it should")
            self._held += await self._more()
        line, _, self._held = self._held.partition(b"\n")
        return line

    async def exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            data = self._held or await self._more()
            self._held = data[size:]
            yield data[:size]
            size -= min(size, len(data))

    async def _more(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle_s):
                while (item := await self._stream.read()) is not None:
                    if item[0] == STDOUT:
                        return item[1]
        except TimeoutError as err:
            raise TimedOut(f"the pod sent nothing for {self._idle_s:g} s") from err
        raise RumpelError("the pod ended before all LFS objects were sent")

"""Git servers that lie, stop, die or talk nonsense at the other end of a stream."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path

import pytest

from rumpel.adapters import git_door
from rumpel.adapters.git_limits import Limits
from rumpel.errors import RumpelError, TimedOut
from tests.adapters.git.conftest import LocalStream, Pair
from tests.adapters.git.test_import import left_over, load


def pkt(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data


GREETING = (
    pkt(b"version 2\n")
    + pkt(b"agent=git/evil\n")
    + pkt(b"ls-refs=unborn\n")
    + pkt(b"fetch=shallow wait-for-done\n")
    + pkt(b"object-format=sha1\n")
    + b"0000"
)


class Script:
    """A server that sends what it was told and listens to nothing."""

    def __init__(self, *pieces: bytes, then_hang: bool = False) -> None:
        self._pieces = list(pieces)
        self._then_hang = then_hang
        self._closed = asyncio.Event()

    async def read(self) -> tuple[int, bytes] | None:
        if self._pieces:
            await asyncio.sleep(0.02)
            return 1, self._pieces.pop(0)
        if self._then_hang:
            await self._closed.wait()
        return None

    async def write(self, data: bytes, /) -> None: ...

    async def write_eof(self) -> None: ...

    async def close(self) -> None:
        self._closed.set()


def empty_pack(count: int) -> bytes:
    return b"\x01PACK" + struct.pack(">II", 2, count)


NEW = "1" * 40
CLAIM = pkt(f"{NEW} refs/heads/alice\n".encode()) + b"0000"


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"hello, I am no git\n",),
        (b"\0" * 1000,),
        (GREETING,),
        (GREETING[:-9],),
        (GREETING, CLAIM),
        (GREETING, CLAIM, pkt(b"packfile\n")),
        (GREETING, CLAIM, pkt(b"packfile\n") + pkt(empty_pack(3)) + b"0000"),
        (GREETING, CLAIM, pkt(b"packfile\n") + pkt(b"\x03go away\n") + b"0000"),
        (GREETING, CLAIM, pkt(b"ERR no\n")),
        (GREETING, b"0003", b"zzzz", b"ffff"),
        (GREETING, pkt(b"1234 refs/heads/x\n") + b"0000"),
    ],
)
async def test_server_that_talks_nonsense(pair: Pair, pieces: tuple[bytes, ...]) -> None:
    before, oid = pair.host.refs(), pair.pod.commit("work")
    assert (await load(pair)).branches == {"alice": oid}
    try:
        found = await git_door.import_pod(pair.repo, pair.door, Script(*pieces))
    except RumpelError:
        pass
    else:  # its pack was no good, and that it has hung up since is not known yet
        assert (found.branches, [name for name, _ in found.rejected]) == ({"alice": oid}, ["alice"])
    assert pair.host.refs("refs/heads") == {
        name: value for name, value in before.items() if name.startswith("refs/heads")
    }
    assert (await load(pair)).branches == {"alice": oid}


async def test_server_with_a_name_that_leads_elsewhere(pair: Pair) -> None:
    oid = pair.pod.commit("work")
    await load(pair)
    claim = pkt(f"{oid} refs/heads/../../x\n".encode()) + pkt(f"{oid} refs/heads/alice\n".encode())
    found = await git_door.import_pod(pair.repo, pair.door, Script(GREETING, claim + b"0000"))
    assert found.branches.keys() - {"../../x"} == {"alice"}
    assert "../../x" not in found.branches


async def test_server_that_claims_and_sends_nothing_loses_no_branch(pair: Pair) -> None:
    oid = pair.pod.commit("work")
    await load(pair)
    with pytest.raises(RumpelError, match="import failed"):
        await git_door.import_pod(pair.repo, pair.door, Script(GREETING, CLAIM))
    assert (await load(pair)).branches == {"alice": oid}


async def test_server_that_stops_talking(pair: Pair) -> None:
    begun = time.monotonic()
    for pieces in ((), (GREETING,), (GREETING, CLAIM, pkt(b"packfile\n") + pkt(empty_pack(3)))):
        with pytest.raises(TimedOut):
            await git_door.import_pod(
                pair.repo, pair.door, Script(*pieces, then_hang=True), Limits(seconds=0.4)
            )
    assert time.monotonic() - begun < 8
    assert left_over(pair.door) == []


async def test_server_that_dies_with_the_pack_half_sent(pair: Pair) -> None:
    """A container killed meanwhile: the relay must not hang (notes/docker.md, trap 1)."""
    pair.pod.commit("big", {"random": os.urandom(4 << 20)})
    stream = await pair.upload_pack()
    task = asyncio.ensure_future(git_door.import_pod(pair.repo, pair.door, stream))
    while stream.received < 1 << 18 and not task.done():  # noqa: ASYNC110 - a count tells nobody
        await asyncio.sleep(0.001)
    stream.process.kill()
    begun = time.monotonic()
    with pytest.raises(RumpelError):
        await task
    assert time.monotonic() - begun < 2
    assert left_over(pair.door) == []
    await stream.close()


async def test_no_process_is_left(pair: Pair) -> None:
    stream = await LocalStream.start("sleep", "60", cwd=Path("/"), env=pair.host.env)
    with pytest.raises(TimedOut):
        await git_door.import_pod(pair.repo, pair.door, stream, Limits(seconds=0.2))
    await stream.close()
    mine = [
        entry
        for entry in Path("/proc").glob("[0-9]*/cmdline")
        if str(pair.door).encode() in entry.read_bytes()
    ]
    assert mine == []

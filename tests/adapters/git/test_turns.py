"""A pod that floods us holds up nobody else, and is left when it makes no sense."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest

from rumpel.adapters import git_door, git_pkt
from rumpel.adapters.git_direct import pack_request, refs_request
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_pack import PackScanner
from rumpel.adapters.git_pkt import PktListener
from rumpel.adapters.git_wire import INLINE_BYTES, Server
from rumpel.adapters.stream import STDOUT, Stream
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import (
    BLOB,
    GREETING,
    bands,
    listing,
    pack,
    packed,
    pkt,
)

OID = "1" * 40


class Beats:
    """Another task, and how much happened between two of its turns."""

    def __init__(self) -> None:
        self.since = self.worst = 0

    def count(self, size: int) -> None:
        self.since += size
        self.worst = max(self.worst, self.since)

    async def beat(self) -> None:
        while True:
            self.since = 0
            await asyncio.sleep(0)


@pytest.fixture
async def beats() -> AsyncIterator[Beats]:
    found = Beats()
    task = asyncio.ensure_future(found.beat())
    await asyncio.sleep(0)
    yield found
    task.cancel()


class Flood:
    """A server whose every word has already arrived: to read it never has to wait.

    Its answers are made while they are read; `given` counts their bytes.
    """

    def __init__(self, *answers: Iterable[bytes], beats: Beats | None = None) -> None:
        self._answers: Iterator[Iterable[bytes]] = iter([[GREETING], *answers])
        self._pieces: Iterator[bytes] = iter(next(self._answers))
        self._beats = beats
        self.given = 0
        self.is_closed = asyncio.Event()

    async def read(self) -> tuple[int, bytes] | None:
        piece = next(self._pieces, None)
        if piece is None:
            await self.is_closed.wait()
            return None
        self.given += len(piece)
        if self._beats is not None:
            self._beats.count(len(piece))
        return STDOUT, piece

    async def write(self, data: bytes, /) -> None:
        self._pieces = iter(next(self._answers, ()))

    async def write_eof(self) -> None:
        self.is_closed.set()

    async def close(self) -> None:
        self.is_closed.set()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def nothing(data: bytearray) -> bool:
    return True


@pytest.mark.parametrize("size", [1, 100, INLINE_BYTES - 1, INLINE_BYTES, 16_000])
async def test_a_pack_is_looked_at_in_turns_or_in_a_thread(
    beats: Beats, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 kB of a pack can be 4 MB of zeros; engines never give more than 32 KiB at once."""
    inline = Beats()
    feed = PackScanner.feed

    def watched(scanner: PackScanner, data: bytes) -> None:
        if threading.current_thread() is threading.main_thread():
            inline.count(len(data))
        feed(scanner, data)

    monkeypatch.setattr(PackScanner, "feed", watched)
    objects = [packed(BLOB, os.urandom(1 << (14 if size == 1 else 16)))]
    answer = pkt(b"packfile\n") + bands(pack(*objects)) + b"0000"
    stream = Flood([listing({})], cut(answer, size), beats=beats)
    server = Server(stream)
    assert await server.greet(Limits())
    assert await server.ask(refs_request())
    beating = asyncio.ensure_future(inline.beat())
    assert await server.ask(pack_request([OID], []), nothing)
    beating.cancel()
    assert server.is_at_rest
    assert inline.worst < 2 * INLINE_BYTES
    assert beats.worst < 2 * INLINE_BYTES + size


@pytest.mark.parametrize("odd", [b"0001", b"0004", b"0002", pkt(b"what?\n"), pkt(b"ready\n")])
async def test_what_is_no_list_of_branches_is_left_at_once(odd: bytes) -> None:
    stream = Flood(cut(odd * 20_000 + listing({b"refs/heads/alice": OID}), 1 << 12))
    server = Server(stream)
    assert await server.greet(Limits())
    heard = await server.ask(refs_request())
    assert heard is not None
    assert heard.is_odd
    assert stream.given == len(GREETING) + (1 << 12)
    assert not server.is_at_rest


async def test_git_asks_another_server_when_the_list_is_odd(quick: Pair) -> None:
    """It knows better; the one that is in the middle of something is left alone."""
    oid = quick.pod.commit("work")
    odd = Flood([b"0001" * 1000] * 1000)
    opened = []

    async def reopen() -> Stream:
        opened.append(await quick.upload_pack())
        return opened[-1]

    found = await git_door.import_pod(quick.repo, quick.door, odd, reopen=reopen)
    assert (found.branches, found.rejected) == ({"alice": oid}, ())
    assert not found.is_stream_free
    assert odd.given < 10_000
    assert len(opened) == 1


def test_empty_packets_are_talk_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_pkt, "MAX_TALK_BYTES", 4000)
    listener = PktListener(Limits())
    listener.feed(GREETING)
    listener.expect(pack=False)
    with pytest.raises(Refused, match="more than 4000 bytes before its pack"):
        listener.feed(b"0001" * 1001)


def test_one_branch_told_again_and_again_is_as_many_as_told() -> None:
    listener = PktListener(Limits(refs=20))
    listener.feed(GREETING)
    listener.expect(pack=False)
    with pytest.raises(Refused, match="more than 20 branches"):
        listener.feed(pkt(OID.encode() + b" refs/heads/alice\n") * 21)

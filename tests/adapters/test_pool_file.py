"""Files that stall while they are read: nobody else waits for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rumpel.adapters import lfs_stream, threads, untracked
from rumpel.adapters.docker_containers import file_chunks
from rumpel.adapters.pool_file import PoolFile
from rumpel.adapters.tar_stream import Entry, chunks

LOOK_S = 0.2


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[Path]:
    """It opens at once, and has no byte and no end before the test is over."""
    path = tmp_path / "stalled"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    yield path
    os.close(writer)


class Sized(PoolFile):
    """One that has bytes to come."""

    async def stat(self) -> os.stat_result:
        return os.stat_result((0o100644, 0, 0, 1, 0, 0, 10, 0, 0, 0))


class Unused:
    """A Stream that nothing comes to."""

    async def read(self) -> tuple[int, bytes] | None:
        return None

    async def write(self, data: bytes, /) -> None:
        raise AssertionError(data)

    async def write_eof(self) -> None:
        raise AssertionError

    async def close(self) -> None:
        pass


async def drained(source: AsyncIterator[bytes]) -> None:
    async for _ in source:
        pass


READERS: dict[str, Callable[[Path], Awaitable[None]]] = {
    "an image's context": lambda path: drained(file_chunks(path)),
    "a file of a tar": lambda path: drained(chunks([Entry("f", Sized(path))])),
    "an LFS object": lambda path: lfs_stream.send(Unused(), path),
}


@pytest.mark.parametrize("name", READERS)
async def test_a_copy_that_is_given_up_holds_up_nobody(stalled: Path, name: str) -> None:
    reading = asyncio.ensure_future(READERS[name](stalled))
    await asyncio.sleep(LOOK_S)
    assert not reading.done()
    reading.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await threads.call(os.getpid) == os.getpid()


async def test_it_is_closed_when_the_last_read_has_ended() -> None:
    """Not before: its number could be another file's by then."""
    ours, theirs = os.pipe()
    file = PoolFile(ours)
    reading = asyncio.ensure_future(file.read(10))
    await asyncio.sleep(LOOK_S)
    reading.cancel()
    file.close()
    await asyncio.sleep(LOOK_S)
    assert is_open(ours)
    os.write(theirs, b"x")
    async with asyncio.timeout(5):
        while is_open(ours):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    os.close(theirs)


def open_now() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def is_open(fd: int) -> bool:
    return Path(f"/proc/self/fd/{fd}").is_symlink()


async def test_a_tar_that_is_given_up_leaves_nothing_open(tmp_path: Path) -> None:
    """At any of its pieces."""
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder/b"):
        (tmp_path / name).write_bytes(bytes(5 << 20))
    before = open_now()
    for count in range(8):
        tar = untracked.tar(str(tmp_path), ["a", "folder/b"], "mark", [])
        for _ in range(count):
            await anext(tar, None)
        await tar.aclose()
        async with asyncio.timeout(5):
            while open_now() != before:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)

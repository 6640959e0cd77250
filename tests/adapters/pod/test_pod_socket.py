"""The listener on a socket of a pod, run here: both programs, and whatever may come from one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import pod_socket
from rumpel.adapters.pod_socket import Broken, Carrier, Frames
from rumpel.adapters.stream import STDERR, STDOUT
from rumpel.errors import NotFound
from rumpel.resources import resource_text

PROGRAMS = {"perl": ["perl", "-e"], "python": ["python3", "-I", "-S", "-c"]}
SUFFIX = {"perl": "pl", "python": "python"}


class Child:
    """A program of this machine as a stream."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._found: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        assert process.stdout is not None
        assert process.stderr is not None
        self._pumps = [
            asyncio.create_task(self._pump(STDOUT, process.stdout)),
            asyncio.create_task(self._pump(STDERR, process.stderr)),
        ]

    async def _pump(self, kind: int, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            self._found.put_nowait((kind, data))
        if kind == STDOUT:
            self._found.put_nowait(None)

    async def read(self) -> tuple[int, bytes] | None:
        return await self._found.get()

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def write_eof(self) -> None:
        await self.close()

    async def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class Said:
    """A stream of these bytes, and no more."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.written = bytearray()

    async def read(self) -> tuple[int, bytes] | None:
        return (STDOUT, self._pieces.pop(0)) if self._pieces else None

    async def write(self, data: bytes) -> None:
        self.written += data

    async def write_eof(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Upper:
    """Answers each line with the same in capitals; `bye` ends the connection."""

    def __init__(self) -> None:
        self._held = b""

    def questions(self, data: bytes) -> Iterator[bytes]:
        *lines, self._held = (self._held + data).split(b"\n")
        yield from lines

    async def answer(self, question: bytes) -> bytes | None:
        return None if question == b"bye" else question.upper() + b"\n"


@pytest.fixture(params=PROGRAMS)
async def listener(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Path, Child]]:
    if shutil.which(PROGRAMS[request.param][0]) is None:
        pytest.skip(f"no {request.param} here")
    name = f"test-{secrets.token_hex(6)}"
    text = resource_text(f"pod_socket.{SUFFIX[request.param]}")
    process = await asyncio.create_subprocess_exec(
        *PROGRAMS[request.param],
        text,
        name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    child = Child(process)
    uid = await pod_socket.ready(child)
    path = Path(pod_socket.path(name, uid))
    carrier = asyncio.create_task(Carrier(child, Upper).run())
    try:
        yield path, child
    finally:
        await child.close()
        async with asyncio.timeout(10):
            await process.wait()
        await carrier
        assert not path.exists(), "it takes its socket along"
        with contextlib.suppress(OSError):
            path.parent.rmdir()


async def test_connections_side_by_side(listener: tuple[Path, Child]) -> None:
    path, _ = listener
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    pairs = [await asyncio.open_unix_connection(path) for _ in range(20)]
    for number, (_, writer) in enumerate(pairs):
        writer.write(f"line {number}\n".encode() + b"x" * 30_000 + b"\n")
    for number, (reader, writer) in enumerate(pairs):
        assert await reader.readline() == f"LINE {number}\n".encode()
        assert await reader.readline() == b"X" * 30_000 + b"\n"
        writer.write(b"bye\n")
        assert await reader.read() == b""
        writer.close()


async def test_more_than_there_is_room_for_wait(listener: tuple[Path, Child]) -> None:
    path, _ = listener
    held = [await asyncio.open_unix_connection(path) for _ in range(pod_socket.MAX_OPEN)]
    for reader, writer in held:
        writer.write(b"a\n")
        assert await reader.readline() == b"A\n"
    late_reader, late_writer = await asyncio.open_unix_connection(path)
    late_writer.write(b"late\n")
    for _, writer in held[:1]:
        writer.close()
    async with asyncio.timeout(10):
        assert await late_reader.readline() == b"LATE\n"
    for _, writer in (*held[1:], (late_reader, late_writer)):
        writer.close()


async def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    program = resource_text("pod_socket.pl").replace("/tmp/", f"{tmp_path}/")
    (tmp_path / f".rumpel-{os.geteuid()}").symlink_to(tmp_path)
    process = await asyncio.create_subprocess_exec(
        "perl",
        "-e",
        program,
        "x",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    with pytest.raises(NotFound, match="not a folder of this user alone"):
        await pod_socket.ready(Child(process))
    await process.wait()
    assert not (tmp_path / "x").exists()


async def test_too_many_connections_end_all_of_them() -> None:
    said = b"".join(pod_socket.frame(number, b"x") for number in range(pod_socket.MAX_OPEN + 1))
    with pytest.raises(Broken, match="more connections"):
        await Carrier(Said(said), Upper).run()


async def test_an_end_before_a_beginning_and_twice_is_nothing() -> None:
    end, begin = pod_socket.frame(7, b""), pod_socket.frame(7, b"a\n")
    said = Said(end + begin + end + end, begin, begin, end)
    await Carrier(said, Upper).run()


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    with pytest.raises(Broken, match="too long"):
        list(Frames().feed(b"\0\0\0\1\xff\xff\xff\xff"))


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=300))), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    raw, frames, found = b"".join(pod_socket.frame(*one) for one in sent), Frames(), []
    while raw:
        at = data.draw(st.integers(1, len(raw)))
        found += list(frames.feed(raw[:at]))
        raw = raw[at:]
    assert found == sent

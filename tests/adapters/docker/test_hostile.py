"""Frames and answers that no honest engine sends: refused, bounded, never another exception."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumpel.adapters import docker_containers, docker_exec, task_group
from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_errors import ProtocolError
from rumpel.adapters.docker_http import HttpClient
from rumpel.adapters.docker_stream import DockerStream, frames, payloads
from rumpel.adapters.docker_wire import TURN_BYTES, Wire, parse_endpoint
from rumpel.adapters.stream import STDERR, STDOUT
from rumpel.errors import HostUnreachable
from tests.adapters.docker.fake_engine import Request, fake_engine, json_answer


def frame(kind: int, payload: bytes, size: int | None = None) -> bytes:
    length = len(payload) if size is None else size
    return bytes([kind, 0, 0, 0]) + length.to_bytes(4, "big") + payload


async def read_all(
    data: bytes, cuts: list[int], *, is_tty: bool = False
) -> list[tuple[int, bytes]]:
    """What a stream gives that receives `data` in pieces of these sizes."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    stream = DockerStream(Wire(ours), b"", is_tty=is_tty, name="test", url="unix:///x")
    found = []

    async def send() -> None:
        position = 0
        for size in [*cuts, len(data)]:
            piece = data[position : position + size]
            await asyncio.get_running_loop().sock_sendall(theirs, piece)
            position += size
            await asyncio.sleep(0)
        theirs.shutdown(socket.SHUT_RDWR)

    with theirs:
        try:
            async with task_group.opened() as group:
                group.create_task(send())
                while (piece := await stream.read()) is not None:
                    found.append(piece)
        finally:
            await stream.close()
    return found


FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(sent=FRAMES, cuts=st.lists(st.integers(1, 12), max_size=30))
def test_frames_survive_any_fragmentation(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(kind, payload) for kind, payload in sent)
    found = asyncio.run(read_all(data, cuts))
    for kind in (STDOUT, STDERR):
        expected = b"".join(payload for one, payload in sent if one == kind)
        assert b"".join(payload for one, payload in found if one == kind) == expected
    assert all(payload for _, payload in found)
    assert list(frames(data)) == sent


async def payloads_of(data: bytes, cuts: list[int]) -> bytes:
    async def pieces() -> AsyncIterator[bytes]:
        at = 0
        for size in [*cuts, len(data)]:
            yield data[at : at + size]
            at += size

    return b"".join([one async for one in payloads(pieces())])


@settings(max_examples=200, deadline=None)
@given(sent=FRAMES, cuts=st.lists(st.integers(1, 12), max_size=30))
def test_a_log_survives_any_fragmentation(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(kind, payload) for kind, payload in sent)
    whole = b"".join(payload for _, payload in sent)
    assert asyncio.run(payloads_of(data, cuts)) == whole
    with pytest.raises(ProtocolError):
        asyncio.run(payloads_of(b"\x01\x00\x01\x00\x00\x00\x00\x01x", cuts))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(1, 12), max_size=10))
def test_garbage_ends_a_stream_and_nothing_else(data: bytes, cuts: list[int]) -> None:
    found: list[tuple[int, bytes]] = []
    try:
        found = asyncio.run(read_all(data, cuts))
    except* ProtocolError:
        pass
    assert sum(len(payload) for _, payload in found) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        frame(7, b"x"),
        b"\x01\x00\x01\x00\x00\x00\x00\x01x",
        frame(1, b"x", size=0xFFFF_FFFF),
        frame(3, b"the engine failed"),
        b"HTTP/1.1 500 Whatever\r\n",
    ],
)
async def test_a_broken_frame_is_an_error(data: bytes) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await read_all(data, [])
    assert raised.group_contains(ProtocolError)


async def test_a_cut_frame_is_given_as_far_as_it_came() -> None:
    assert await read_all(frame(1, b"abc", size=10), []) == [(STDOUT, b"abc")]
    assert await read_all(frame(1, b"abc")[:5], []) == []
    assert await read_all(b"raw \x01\x00", [3], is_tty=True) in (
        [(STDOUT, b"raw"), (STDOUT, b" \x01\x00")],
        [(STDOUT, b"raw \x01\x00")],
    )


async def test_a_stream_that_is_cut_says_whose_it_was() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    what = "sh in container abc"
    stream = DockerStream(Wire(ours), b"", is_tty=True, name=what, url="ssh://build")
    theirs.close()
    with pytest.raises(HostUnreachable, match=f"Docker at ssh://build .*{what}") as caught:
        await stream.write(b"x")
    assert caught.value.hint == "ssh build docker info"
    await stream.close()


async def test_a_slow_reader_holds_the_sender_up() -> None:
    """Memory stays bounded: what is not read stays in the kernel's buffers."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    stream = DockerStream(Wire(ours), b"", is_tty=True, name="test", url="unix:///x")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(theirs, b"first")
    assert await stream.read() == (STDOUT, b"first")
    sent = 0
    try:
        async with asyncio.timeout(0.5):
            while True:
                await loop.sock_sendall(theirs, bytes(10_000))
                sent += 10_000
    except TimeoutError:
        assert sent < 4_000_000
    theirs.close()
    received = 0
    while (piece := await stream.read()) is not None:
        received += len(piece[1])
    assert received >= sent
    await stream.close()


ID = "ab" * 32
CONTAINER: dict[str, Any] = {
    "Id": ID,
    "Created": "2026-11-23T17:17:13.075082428Z",
    "State": {
        "Status": "running",
        "Running": True,
        "Pid": 4711,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-11-23T17:17:14.1Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    },
    "Image": f"sha256:{ID}",
    "Name": "/rumpel-a",
    "Mounts": [{"Type": "volume", "Name": "v", "Destination": "/d"}],
    "Config": {"Labels": {"a": "b"}, "Env": ["A=b"]},
    "HostConfig": {"NetworkMode": "none"},
    "NetworkSettings": {"Networks": {"none": {"IPAddress": ""}}},
}
IMAGE: dict[str, Any] = {
    "Id": f"sha256:{ID}",
    "RepoTags": ["a:1"],
    "Created": "2026-11-23T17:17:13Z",
    "Architecture": "amd64",
    "Os": "linux",
    "Size": 7,
    "Config": {
        "User": "",
        "Env": ["A=b"],
        "Entrypoint": None,
        "Cmd": ["sh"],
        "Labels": None,
        "WorkingDir": "/",
        "Volumes": {"/v": {}},
    },
}
VOLUME = {"Name": "v", "Driver": "local", "Labels": None, "Mountpoint": "/x", "CreatedAt": "y"}
EVENT = {
    "Type": "container",
    "Action": "start",
    "Actor": {"ID": ID, "Attributes": {"name": "a"}},
    "timeNano": 1,
}
ROW = {
    "Id": ID,
    "Names": ["/rumpel-a"],
    "ImageID": f"sha256:{ID}",
    "Labels": {"a": "b"},
    "State": "running",
    "NetworkSettings": {"Networks": {"none": {"IPAddress": ""}}},
}
READERS = [
    (lambda row: types.listed_state(row, ""), ROW),
    (types.container_detail, CONTAINER),
    (types.image_info, IMAGE),
    (types.volume_info, VOLUME),
    (types.event, EVENT),
]
POISON: list[Any] = [
    None, 0, -1, 1.5, True, "", "x" * 2_000_000, "../../etc", "\x1b[2J", [], [None], [[]], {},
    {"a": None}, {"": {"": []}}, 2**80, "sha256:x", "\ud800",
]  # fmt: skip


def mutate(value: Any, rng: random.Random) -> Any:
    """`value` with one place replaced, removed or repeated."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        made = copy.copy(value)
        key = rng.choice(sorted(made))
        if rng.random() < 0.15:
            del made[key]
        else:
            made[key] = mutate(made[key], rng)
        return made
    if isinstance(value, list) and value and rng.random() < 0.5:
        return [mutate(value[0], rng), *value]
    return rng.choice(POISON)


@pytest.mark.parametrize(("read", "sample"), READERS)
def test_a_mutated_answer_is_read_or_refused(read: Any, sample: dict[str, Any]) -> None:
    read(sample)
    for turn in range(1_500):
        mutated = mutate(sample, random.Random(turn))
        try:
            found = read(mutated)
        except ProtocolError:
            continue
        if isinstance(found, types.ContainerDetail):
            assert len(found.id) == 64
            assert found.state.status in types.STATUSES


def test_a_list_answer_says_the_same_as_an_inspect() -> None:
    inspected = types.container_detail(CONTAINER).state
    assert types.listed_state(ROW, inspected.started_at) == inspected


async def test_one_stuck_container_does_not_take_the_engine_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_containers, "LOOK_TIMEOUT_S", 0.1)
    stuck, well = "cd" * 32, ID

    async def engine(request: Request, writer: asyncio.StreamWriter) -> None:
        if stuck in request.path and "/json" in request.path and "filters" not in request.path:
            await asyncio.sleep(5)
        elif well in request.path and "filters" not in request.path:
            writer.write(json_answer(CONTAINER))
        elif stuck in request.path:
            writer.write(json_answer([{**ROW, "Id": stuck}]))
        else:
            writer.write(json_answer([ROW, {**ROW, "Id": stuck}]))

    async with fake_engine(tmp_path, engine) as url:
        http = HttpClient(parse_endpoint(url))
        states = await docker_containers.states(http, ["a=b"])
        again = await docker_containers.look(http, stuck, "before")
        await http.close()
    assert {state.id: bool(state.started_at) for state in states} == {well: True, stuck: False}
    assert again is not None
    assert again.started_at == "before"


@pytest.mark.parametrize("status", [404, 409, 500])
async def test_a_terminal_of_what_has_just_ended_gets_no_size(tmp_path: Path, status: int) -> None:
    """The engine knows that it is stopped before it tells its exit code."""
    asked: list[str] = []

    async def engine(request: Request, writer: asyncio.StreamWriter) -> None:
        asked.append(request.path)
        said = {"message": "cannot resize a stopped container: unknown"}
        running = {"Running": True, "ExitCode": None}
        is_resize = "/resize" in request.path
        writer.write(json_answer(said, status) if is_resize else json_answer(running))

    async with fake_engine(tmp_path, engine) as url:
        http = HttpClient(parse_endpoint(url))
        await docker_exec.resize(http, ID, 24, 80)
        await http.close()
    assert len([path for path in asked if "/resize" in path]) == 1


def test_podmans_words_are_understood() -> None:
    words = {"configured": "created", "stopped": "exited", "stopping": "running"}
    assert {word: types.status(word) for word in words} == words
    assert types.image_id(ID) == f"sha256:{ID}"


async def test_what_has_arrived_already_holds_up_nobody_else() -> None:
    """The reader finds something each time it looks, so it never has to wait."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * TURN_BYTES)
    data, sent = frame(STDOUT, bytes(4088)) * 256, 0
    with theirs:
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += theirs.send(data[sent : sent + 4096])
        assert sent > 2 * TURN_BYTES
        stream = DockerStream(Wire(ours), b"", is_tty=False, name="test", url="unix:///x")
        since = worst = 0

        async def beat() -> None:
            nonlocal since
            while True:
                since = 0
                await asyncio.sleep(0)

        beating = asyncio.ensure_future(beat())
        await asyncio.sleep(0)
        while stream.bytes_read < sent * 4088 // 4096:
            before = stream.bytes_read
            assert await stream.read()
            since += stream.bytes_read - before
            worst = max(worst, since)
        beating.cancel()
        await stream.close()
    assert worst <= 2 * TURN_BYTES

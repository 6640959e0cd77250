"""Attach and exec streams against the real engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import pytest

from rumpel.adapters import task_group
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_exec import TOKEN_ENV, kill_tree
from rumpel.adapters.docker_stream import DockerStream, frames
from rumpel.adapters.stream import STDERR, STDOUT, Stream
from rumpel.errors import Conflict, HostUnreachable, NotFound, TimedOut
from tests.adapters.docker.conftest import MakeContainer

pytestmark = pytest.mark.docker


async def drain(stream: DockerStream) -> dict[int, bytes]:
    found = {STDOUT: b"", STDERR: b""}
    while (piece := await stream.read()) is not None:
        found[piece[0]] += piece[1]
    return found


async def until(stream: DockerStream, text: bytes, timeout_s: float = 5.0) -> bytes:
    """What stdout says up to and including `text`."""
    found = b""
    async with asyncio.timeout(timeout_s):
        while text not in found:
            piece = await stream.read()
            assert piece is not None, f"the stream ended after {found!r}"
            found += piece[1]
    return found


SHELL = {"Cmd": ["sh"], "OpenStdin": True, "StdinOnce": False}


async def test_attach_before_start_sees_the_first_byte(
    host: DockerHost, create: MakeContainer
) -> None:
    for _ in range(5):
        container = await create(**{**SHELL, "Cmd": ["sh", "-c", "echo first; exec sh"]})
        stream = await host.attach(container)
        await host.start(container)
        assert await until(stream, b"first\n") == b"first\n"
        await stream.close()
        await host.remove(container, force=True)


async def test_input_written_before_the_start_arrives(
    host: DockerHost, create: MakeContainer
) -> None:
    container = await create(**SHELL)
    stream = await host.attach(container)
    await stream.write(b"echo early\n")
    await host.start(container)
    await until(stream, b"early\n")
    await stream.close()


@pytest.mark.parametrize("half_close_first", [False, True])
async def test_closing_an_attach_leaves_the_stdin_open(
    host: DockerHost, create: MakeContainer, half_close_first: bool
) -> None:
    container = await create(**SHELL)
    stream = await host.attach(container)
    await host.start(container)
    for turn in range(3):
        await stream.write(b"echo turn-%d\n" % turn)
        await until(stream, b"turn-%d\n" % turn)
        if half_close_first:
            await stream.write_eof()
        await stream.close()
        assert (await host.inspect(container)).state.status == "running"
        stream = await host.attach(container)
    await stream.write(b"echo here; exit 7\n")
    await until(stream, b"here\n")
    assert await drain(stream) == {STDOUT: b"", STDERR: b""}
    assert await host.wait(container, 5) == 7
    await stream.close()


async def test_two_attaches_see_the_same_output(host: DockerHost, create: MakeContainer) -> None:
    container = await create(**SHELL)
    first, second = await host.attach(container), await host.attach(container)
    await host.start(container)
    await first.write(b"echo both\n")
    await asyncio.gather(until(first, b"both\n"), until(second, b"both\n"))
    await first.close()
    await second.write(b"echo one\n")
    await until(second, b"one\n")
    await second.close()


async def test_an_exec_has_two_outputs_a_stdin_and_a_code(host: DockerHost, running: str) -> None:
    argv = ["sh", "-c", "read x; echo out-$x; echo err-$E >&2; pwd; id -u; exit 5"]
    stream: Stream = await host.exec_stream(running, argv, user="1000", env={"E": "v"}, cwd="/tmp")
    assert isinstance(stream, DockerStream)
    await stream.write(b"in\n")
    found = await drain(stream)
    assert found == {STDOUT: b"out-in\n/tmp\n1000\n", STDERR: b"err-v\n"}
    assert await host.exec_exit_code(stream.exec_id) == 5
    await stream.close()


async def test_half_close_is_end_of_file_for_the_process(host: DockerHost, running: str) -> None:
    stream = await host.exec_stream(running, ["sh", "-c", "wc -c; echo done"])
    await stream.write(b"x" * 300_000)
    await stream.write_eof()
    assert await drain(stream) == {STDOUT: b"300000\ndone\n", STDERR: b""}
    await stream.close()


async def test_a_terminal_is_raw_and_can_be_resized(host: DockerHost, running: str) -> None:
    stream = await host.exec_stream(running, ["sh"], tty=True)
    await host.resize(stream.exec_id, 40, 120)
    await stream.write(b"stty size\n")
    await until(stream, b"40 120")
    await stream.write(b"exit 3\n")
    await drain(stream)
    assert await host.exec_exit_code(stream.exec_id) == 3
    await host.resize(stream.exec_id, 41, 121)
    await stream.close()


async def test_close_wakes_a_waiting_reader(host: DockerHost, running: str) -> None:
    stream = await host.exec_stream(running, ["cat"])
    async with asyncio.timeout(5), task_group.opened() as group:
        reader = group.create_task(stream.read())
        await asyncio.sleep(0.05)
        assert not reader.done()
        await stream.close()
        await stream.close()
    assert reader.result() is None
    assert await stream.read() is None
    with pytest.raises(HostUnreachable):
        await stream.write(b"x")


async def test_a_cancelled_read_loses_nothing(host: DockerHost, running: str) -> None:
    stream = await host.exec_stream(running, ["cat"])
    for turn in range(5):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await stream.read()
        await stream.write(b"%d" % turn)
        assert await until(stream, b"%d" % turn) == b"%d" % turn
    await stream.close()


async def test_a_killed_container_ends_its_streams_at_once(host: DockerHost, running: str) -> None:
    """Trap 1: the engine stops reading; a relay that only half-closes hangs for ever."""
    stream = await host.exec_stream(running, ["cat"])
    started = time.monotonic()
    async with asyncio.timeout(10), task_group.opened() as group:
        reader = group.create_task(drain(stream))

        async def write_for_ever() -> None:
            with contextlib.suppress(HostUnreachable):
                while True:
                    await stream.write(b"x" * 1_000_000)

        writer = group.create_task(write_for_ever())
        await asyncio.sleep(0.05)
        await host.kill(running)
        await reader
        await stream.close()
        await writer
    assert time.monotonic() - started < 5


async def test_a_socket_can_be_given_away(host: DockerHost, running: str) -> None:
    stream = await host.exec_stream(running, ["sh", "-c", "read x; echo got-$x"])
    sock, head = stream.take_socket()
    with sock:
        os.set_blocking(sock.fileno(), True)
        sock.settimeout(5)
        sock.sendall(b"mine\n")
        data = head
        while piece := sock.recv(4096):
            data += piece
    assert list(frames(data)) == [(STDOUT, b"got-mine\n")]
    assert await host.exec_exit_code(stream.exec_id) == 0
    await stream.close()


async def test_exec_run_returns_everything(host: DockerHost, running: str) -> None:
    seen: list[tuple[int, bytes]] = []
    done = await host.exec_run(
        running,
        ["sh", "-c", "cat; echo bad >&2; exit 4"],
        input=b"hello\n",
        on_output=lambda kind, data: seen.append((kind, data)),
    )
    assert (done.code, done.stdout, done.stderr, done.is_cut) == (4, b"hello\n", b"bad\n", False)
    assert sorted(seen) == [(STDOUT, b"hello\n"), (STDERR, b"bad\n")]


async def test_exec_run_drops_what_is_too_much(host: DockerHost, running: str) -> None:
    argv = ["head", "-c", "300000", "/dev/zero"]
    done = await host.exec_run(running, argv, max_output_bytes=1000)
    assert (done.code, len(done.stdout), done.is_cut) == (0, 1000, True)


async def test_a_program_that_does_not_read_its_input_is_no_error(
    host: DockerHost, running: str
) -> None:
    done = await host.exec_run(running, ["true"], input=b"x" * 5_000_000)
    assert done.code == 0


async def _pieces(*, breaks: bool) -> AsyncGenerator[bytes, None]:
    for _ in range(3):
        yield b"x" * (1 << 20)
    if breaks:
        raise Conflict("not as it was")


async def test_input_in_pieces(host: DockerHost, running: str) -> None:
    """What goes wrong with it is told when the process has ended, which sees its end."""
    count = ["sh", "-c", "wc -c >/tmp/counted; cat /tmp/counted"]
    done = await host.exec_run(running, count, input=_pieces(breaks=False))
    assert done.stdout.strip() == b"%d" % (3 << 20)
    with pytest.raises(Conflict, match="not as it was"):
        await host.exec_run(running, [*count[:2], f"{count[2]}; echo"], input=_pieces(breaks=True))
    assert (await host.exec_run(running, ["cat", "/tmp/counted"])).stdout == done.stdout
    assert (await host.exec_run(running, ["true"], input=_pieces(breaks=True))).code == 0


async def test_a_missing_program_has_code_126_or_127(host: DockerHost, running: str) -> None:
    done = await host.exec_run(running, ["/no/such/program"])
    assert done.code in (126, 127)
    assert b"no such file" in done.stdout + done.stderr


async def test_exec_in_what_does_not_run_is_refused(
    host: DockerHost, create: MakeContainer
) -> None:
    with pytest.raises(Conflict, match="not running"):
        await host.exec_run(await create(), ["true"])
    with pytest.raises(NotFound):
        await host.exec_run("0" * 64, ["true"])


async def processes(host: DockerHost, container: str) -> str:
    done = await host.exec_run(container, ["ps", "-o", "args"])
    return done.stdout.decode()


@pytest.mark.parametrize("user", ["", "1000"])
async def test_a_timeout_ends_the_whole_tree(host: DockerHost, running: str, user: str) -> None:
    argv = ["sh", "-c", "trap '' TERM; (sleep 1234; echo) & sleep 1235; sleep 1236"]
    with pytest.raises(TimedOut):
        await host.exec_run(running, argv, timeout_s=0.3, user=user)
    assert "123" not in await processes(host, running)


async def test_what_ignores_term_is_not_waited_for(host: DockerHost, running: str) -> None:
    """But what cleans up beside it is; the grace is longer than this test may take."""
    polite = "trap 'sleep 0.5; touch /tmp/clean; exit' TERM; echo up; while :; do sleep 0.05; done"
    script = 'sh -c "$1" & trap "" TERM; echo deaf; sleep 2345; wait'
    stream = await host.exec_stream(
        running, ["sh", "-c", script, "sh", polite], env={TOKEN_ENV: "deaf"}
    )
    if b"deaf\n" not in await until(stream, b"up\n"):
        await until(stream, b"deaf\n")
    async with asyncio.timeout(20):
        await kill_tree(host.http, running, "deaf", grace_s=600)
        await drain(stream)
    await stream.close()
    assert (await host.exec_run(running, ["test", "-e", "/tmp/clean"])).code == 0
    assert "2345" not in await processes(host, running)


async def test_a_cancelled_run_ends_its_process(host: DockerHost, running: str) -> None:
    async with task_group.opened() as group:
        task = group.create_task(host.exec_run(running, ["sleep", "4321"]))
        await asyncio.sleep(0.3)
        assert "4321" in await processes(host, running)
        task.cancel()
    assert "4321" not in await processes(host, running)


async def test_a_run_cancelled_while_it_starts(
    host: DockerHost, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is on the way; and at any other moment until its first step."""
    take_over, is_begun = host.http.take_over, asyncio.Event()

    async def slow(*args: Any, **options: Any) -> Any:
        taken = await take_over(*args, **options)
        is_begun.set()
        await asyncio.sleep(0.2)
        return taken

    async def cancelled(moment: Awaitable[object]) -> None:
        task = asyncio.ensure_future(host.exec_run(running, ["sleep", "5432"]))
        await moment
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with monkeypatch.context() as patch:
        patch.setattr(host.http, "take_over", slow)
        await cancelled(is_begun.wait())
    assert "5432" not in await processes(host, running)
    began = time.monotonic()
    await host.exec_run(running, ["true"])
    lasts_s = time.monotonic() - began
    for part in range(12):
        await cancelled(asyncio.sleep(lasts_s * part / 12))
    assert "5432" not in await processes(host, running)


async def test_bulk_both_ways(host: DockerHost, running: str) -> None:
    size = 20_000_000
    stream = await host.exec_stream(running, ["cat"])
    received = 0
    async with asyncio.timeout(60), task_group.opened() as group:

        async def send() -> None:
            block = bytes(1_000_000)
            for _ in range(size // len(block)):
                await stream.write(block)
            await stream.write_eof()

        group.create_task(send())
        while (piece := await stream.read()) is not None:
            received += len(piece[1])
    await stream.close()
    assert received == size

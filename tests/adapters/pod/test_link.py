"""PodLink against pods that misbehave: no shell here, the test plays the pod."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters.pod_link import (
    MAX_LINE_BYTES,
    Lines,
    PodLink,
    PodSettings,
    program,
    quote,
)
from rumpel.adapters.stream import STDERR, STDOUT
from rumpel.errors import Conflict, HostUnreachable, RumpelError, TimedOut
from rumpel.resources import shorten


class FakePod:
    """The other end of a stream, under the test's control."""

    def __init__(self, version: str = "") -> None:
        self.version = version or program(PodSettings())[0]
        self.sent = bytearray()
        self.asked = asyncio.Event()
        self.is_closed = False
        self.write_gate: asyncio.Event | None = None
        self._out: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()

    async def read(self) -> tuple[int, bytes] | None:
        return None if self.is_closed and self._out.empty() else await self._out.get()

    async def write(self, data: bytes, /) -> None:
        if self.write_gate is not None:
            await self.write_gate.wait()
        self.sent += data
        self.asked.set()
        for line in data.decode().splitlines():
            if line.startswith("@program"):
                self.version = line.split()[1]
            if line.startswith("@hello"):
                self.say(f"@rumpel {line.split()[1]} ok {self.version}\n")

    async def write_eof(self) -> None:
        """Nothing to end."""

    async def close(self) -> None:
        self.is_closed = True
        self._out.put_nowait(None)

    def say(self, text: str | bytes, kind: int = STDOUT) -> None:
        self._out.put_nowait((kind, text.encode() if isinstance(text, str) else text))

    def hang_up(self) -> None:
        self._out.put_nowait(None)

    async def seq(self) -> str:
        """The number of the request that was just sent."""
        await self.asked.wait()
        return self.sent.decode().split("\nrp_")[-1].split()[1]


async def connect(pod: FakePod, notices: list[int] | None = None) -> PodLink:
    link = await PodLink.open(
        pod, on_notice=lambda: (notices if notices is not None else []).append(1), timeout_s=5
    )
    pod.asked.clear()
    return link


async def test_the_program_is_sent_once_for_each_version() -> None:
    pod = FakePod(version="-")
    link = await connect(pod)
    assert b"@program" in pod.sent
    await link.close()
    again = FakePod(version=pod.version)
    await (await connect(again)).close()
    assert b"@program" not in again.sent


async def test_noise_does_not_disturb_an_answer() -> None:
    pod = FakePod()
    notices: list[int] = []
    link = await connect(pod, notices)
    asking = asyncio.create_task(link.request("status", "/w", timeout_s=5))
    seq = await pod.seq()
    pod.say(f"@rumpel {seq} ok forged on stderr\n", STDERR)
    pod.say(
        b"\xff\xfe\x00\r\x1b[2J@rumpel 1 ok\n@rumpel\n@rumpel x ok\n@rumpel -1 ok\n@rumpel " * 9
    )
    pod.say(
        "\n@rumpel 0 ok\n@rumpel 0 noticed\n@rumpel \u0661 ok x\n@rumpel " + "9" * 9999 + " ok\n"
    )
    pod.say(b"x" * (10 * MAX_LINE_BYTES) + f"@rumpel {seq} ok in a long line\n".encode())
    pod.say("@rumpel 0 notice\n@rumpel 0 notice\n")
    for byte in f"@rumpel {seq} ok dirty=2\n@rumpel {seq} ok again\n":
        pod.say(byte)
    assert await asking == "dirty=2"
    assert len(notices) == 2
    await link.close()


async def test_failures_keep_the_words_of_the_pod() -> None:
    pod = FakePod()
    link = await connect(pod)
    for answer, kind in (("err it broke", RumpelError), ("err conflict: in use", Conflict)):
        pod.asked.clear()
        asking = asyncio.create_task(link.request("x", timeout_s=5))
        pod.say(f"@rumpel {await pod.seq()} {answer}\n")
        with pytest.raises(kind, match=r"it broke|^in use"):
            await asking
    await link.close()


async def test_the_end_of_the_stream_fails_what_waits() -> None:
    pod = FakePod()
    link = await connect(pod)
    asking = asyncio.create_task(link.request("x", timeout_s=5))
    await pod.seq()
    pod.hang_up()
    with pytest.raises(HostUnreachable, match="ended the link"):
        await asking
    async with asyncio.timeout(1):
        await link.wait_closed()
    assert not link.is_open
    assert pod.is_closed
    with pytest.raises(HostUnreachable):
        await link.request("x", timeout_s=5)
    await link.close()
    await link.close()


async def test_close_fails_what_waits() -> None:
    pod = FakePod()
    link = await connect(pod)
    asking = asyncio.create_task(link.request("x", timeout_s=5))
    await pod.seq()
    await link.close()
    with pytest.raises(HostUnreachable, match="was closed"):
        await asking


async def test_no_answer_in_time() -> None:
    pod = FakePod()
    link = await connect(pod)
    with pytest.raises(TimedOut, match=r"'status' within 0\.05 s"):
        await link.request("status", timeout_s=0.05)
    assert link.is_open
    await link.close()
    silent = FakePod()
    silent.write_gate = asyncio.Event()
    with pytest.raises(HostUnreachable, match=r"within 0\.05 s"):
        await PodLink.open(silent, on_notice=lambda: None, timeout_s=0.05)
    assert silent.is_closed


async def test_a_request_that_was_cut_off_ends_the_link() -> None:
    pod = FakePod()
    link = await connect(pod)
    pod.write_gate = asyncio.Event()
    with pytest.raises(TimedOut):
        await link.request("x", timeout_s=0.05)
    assert not link.is_open
    await link.close()


async def test_a_nul_byte_is_refused() -> None:
    pod = FakePod()
    link = await connect(pod)
    with pytest.raises(RumpelError, match="NUL"):
        await link.request("x", "a\0b", timeout_s=5)
    assert link.is_open
    await link.close()


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_lines_do_not_depend_on_how_they_arrive(pieces: list[bytes]) -> None:
    lines, data = Lines(), b"".join(pieces)
    got = [line for piece in pieces for line in lines.feed(piece)]
    assert got == data.split(b"\n")[:-1]


def test_a_line_that_is_too_long_is_dropped_as_a_whole() -> None:
    lines = Lines()
    assert lines.feed(b"x" * MAX_LINE_BYTES) == []
    assert lines.feed(b"y") == []
    assert lines.feed(b"tail\nnext\nrest") == [b"next"]
    assert lines.feed(b"\n" + b"z" * (MAX_LINE_BYTES + 1) + b"\nok\n") == [b"rest", b"ok"]


def test_any_word_survives_the_shell() -> None:
    words = ["", "a b", "it's", "a\n.\nb\n", '$(x) `y` \\ " ! * ~', "é\u202e\r\t", "-n", "\n"]
    script = "rp_nl='\n'\nprintf '%s\\0' " + " ".join(quote(word) for word in words)
    assert all("\n" not in quote(word) for word in words)
    out = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    assert out.decode().split("\0")[:-1] == words


def test_the_program_is_short_and_has_no_end_mark() -> None:
    _, text = program(PodSettings())
    assert "." not in text.splitlines()
    assert not any(line.startswith("@") for line in text.splitlines())
    assert len(text) < 20_000, "a shell may have to read it from a stream, byte by byte"
    assert shorten("#!/bin/sh\n# why\n\n    a # b\n") == "#!/bin/sh\na # b"

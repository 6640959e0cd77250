"""One connection from a local client to a port in a pod, through an exec stream.

The other end is a program that the image has anyway, started before it is needed ("parked") and
told the address when a client comes. perl and python3 run programs of ours: what the client sends
is framed for them, so that its end can be told from its disappearance, and they count what the
service sent. Other programs (socat, nc, bash) carry plain bytes: an end of stdin is all they know.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rumpel.adapters.docker_stream import DockerStream
from rumpel.adapters.docker_wire import Wire
from rumpel.adapters.stream import STDOUT
from rumpel.errors import HostUnreachable, RumpelError, TimedOut
from rumpel.resources import resource_text

FRAMED = frozenset({"perl", "python3"})
PLAIN = frozenset({"socat", "nc", "nc-N", "bash"})
NONE = "none"
ONE_WAY_END_S = 2.0
"""bash cannot pass the end of one direction on: after so long without an answer all ends."""
READY_TIMEOUT_S = 30.0
MAX_SAID_BYTES = 4096
END = bytes(4)
_SAID = re.compile(rb"@rumpel (\S+) ?([^\n]*)\n")
_RESET = struct.pack("ii", 1, 0)

ExitCode = Callable[[str], Awaitable[int]]
"""Of an exec that has ended, by its id."""


def command(kind: str) -> list[str]:
    """What to run in the pod; `kind` is empty when it is not known what the image has."""
    texts = [resource_text(f"pod_relay.{suffix}") for suffix in ("sh", "pl", "python")]
    return ["/bin/sh", "-c", texts[0], "rumpel", kind, *texts[1:]]


@dataclass(slots=True, kw_only=True)
class Relay:
    """A program in a pod that waits for an address. One connection, then it is used up."""

    stream: DockerStream
    kind: str
    token: str
    """In the environment of its processes."""
    _said: bytearray = field(default_factory=bytearray)
    has_ended: bool = False
    """It closed its output, and so it is gone."""

    @property
    def is_framed(self) -> bool:
        return self.kind in FRAMED

    async def wait_ended(self) -> None:
        """While it is parked: until it is gone."""
        with contextlib.suppress(RumpelError):
            while await self.stream.read() is not None:
                pass
        self.has_ended = True

    async def close(self) -> None:
        await self.stream.close()


async def ready(stream: DockerStream, token: str) -> Relay:
    """Wait until the program is there. `kind` of what comes is NONE when the image has none."""
    relay = Relay(stream=stream, kind="", token=token)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while (piece := await stream.read()) is not None:
                for word, rest in _hear(relay._said, piece[1]):
                    if word == b"ready":
                        relay.kind = rest.decode("ascii", "replace")
                        if relay.kind in (*FRAMED, *PLAIN, NONE):
                            return relay
    except TimeoutError as err:
        await stream.close()
        raise TimedOut("no relay came up in the pod") from err
    except BaseException:
        await stream.close()
        raise
    await stream.close()
    raise HostUnreachable("the relay in the pod ended before it was ready")


class Carried:
    """One connection while it lasts."""

    def __init__(self, relay: Relay, conn: socket.socket) -> None:
        self._relay = relay
        self._client = Wire(conn)
        self._received = 0
        self._expected: int | None = None
        self._is_over = False
        """The client was told that the service has ended."""
        self.failure: str | None = None
        """What the relay said, e.g. that nobody listens there."""

    async def run(self, host: str, port: int, exit_code: ExitCode) -> None:
        """Until both sides have ended, or one is gone; the client sees an end or a reset."""
        is_clean = False
        up: asyncio.Task[None] | None = None
        try:
            await self._relay.stream.write(f"{host} {port}\n".encode())
            up = asyncio.create_task(self._up())
            is_clean = await self._down() or await self._is_clean(exit_code)
        except (OSError, RumpelError):
            pass  # one of them is gone: the other is told below
        finally:
            if up is not None:
                up.cancel()
                await asyncio.wait({up})
            self._end(is_clean=is_clean)
            await self._relay.close()

    async def _up(self) -> None:
        stream, is_framed = self._relay.stream, self._relay.is_framed
        try:
            while data := await self._client.recv():
                await stream.write(len(data).to_bytes(4, "big") + data if is_framed else data)
            if is_framed:
                await stream.write(END)
                return
            await stream.write_eof()
            if self._relay.kind == "bash":
                await self._wait_silent()
                self._is_over = True
                await stream.close()
        except OSError:  # the client was reset: nobody waits for the rest
            await stream.close()
        except HostUnreachable:
            pass  # the other direction sees that, too

    async def _down(self) -> bool:
        """Whether the service ended the connection as it should."""
        while (piece := await self._relay.stream.read()) is not None:
            kind, data = piece
            if kind == STDOUT:
                self._received += len(data)
                await self._client.send_all(data)
            elif self._relay.is_framed:
                self._hear(data)
            if self._received == self._expected and not self._is_over:
                self._is_over = True
                self._client.send_eof()
        self._relay.has_ended = not self._relay.stream.is_closed
        return self._is_over

    def _hear(self, data: bytes) -> None:
        for word, rest in _hear(self._relay._said, data):
            if word == b"eof" and rest.isdigit():
                self._expected = int(rest[:20])
            elif word == b"failed":
                self.failure = rest.decode("utf-8", "replace")

    async def _is_clean(self, exit_code: ExitCode) -> bool:
        """Plain programs tell by their exit code."""
        if self._relay.is_framed or not self._relay.has_ended:
            return False
        return await exit_code(self._relay.stream.exec_id) == 0

    async def _wait_silent(self) -> None:
        seen = -1
        while seen != self._received:
            seen = self._received
            await asyncio.sleep(ONE_WAY_END_S)

    def _end(self, *, is_clean: bool) -> None:
        if is_clean:
            self._client.close()
            return
        sock, _ = self._client.detach()  # no end first: what was cut off must not look complete
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()


def _hear(held: bytearray, data: bytes) -> list[tuple[bytes, bytes]]:
    """Whole lines of a relay, as word and rest; what anybody else says there is dropped."""
    held += data
    *lines, rest = bytes(held).split(b"\n")
    held[:] = rest[-MAX_SAID_BYTES:]
    found = (_SAID.fullmatch(line + b"\n") for line in lines)
    return [(match[1], match[2]) for match in found if match]

"""upload-pack of a pod over its link: a process for each request instead of an exec for them all.

Of version 2 of git's protocol each request stands alone (`upload-pack --stateless-rpc`), so that
one line of the link can be a request and one the answer. What does not fit goes on over an exec,
which is asked again what was not answered; whoever reads notices nothing of it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable

from rumpel.adapters.pod_link import Ask
from rumpel.adapters.stream import STDOUT, Stream
from rumpel.errors import HostUnreachable, RumpelError

ANSWER_S = 60.0
MAX_REQUEST_BYTES = 16 << 10
MAX_GREETING_BYTES = 16 << 10
VERSION_2 = b"000eversion 2\n"
LENGTH_DIGITS = 4
FLUSH = b"0000"
Exec = Callable[[], Awaitable[Stream]]


async def opened(ask: Ask, git_dir: str, by_exec: Exec) -> Stream:
    """A stream like that of an exec of upload-pack, which it is where the link will not do."""
    stream = PackStream(ask, git_dir, by_exec)
    greeting = await stream.asked(b"")
    if greeting is None or not greeting.startswith(VERSION_2):
        return await by_exec()
    stream.deliver(greeting)
    return stream


class PackStream:
    """A `Stream` for the requests of one import."""

    def __init__(self, ask: Ask, git_dir: str, by_exec: Exec) -> None:
        self._ask, self._git_dir, self._by_exec = ask, git_dir, by_exec
        self._exec: Stream | None = None
        self._request = b""
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()

    def deliver(self, data: bytes | None) -> None:
        """To who reads; None: look again where it comes from."""
        self._answers.put_nowait(data)

    async def asked(self, request: bytes) -> bytes | None:
        """None where it takes an exec. Raises HostUnreachable."""
        if len(request) > MAX_REQUEST_BYTES or not request.isascii() or b"\0" in request:
            return None
        words = (self._git_dir, request.decode("ascii"))
        try:
            answer = await self._ask("pack", *words, timeout_s=ANSWER_S)
            return base64.b64decode(answer, validate=True) or None
        except HostUnreachable:
            raise
        except (RumpelError, ValueError):
            return None

    async def read(self) -> tuple[int, bytes] | None:
        data = None
        if self._exec is None or not self._answers.empty():
            data = await self._answers.get()
        if data is not None:
            return STDOUT, data
        return None if self._exec is None else await self._exec.read()

    async def write(self, data: bytes, /) -> None:
        if self._exec is not None:
            await self._exec.write(data)
            return
        self._request += data
        if (size := request_size(self._request)) is None:
            return
        request, self._request = self._request[:size], self._request[size:]
        if request == FLUSH:
            raise RumpelError("it serves no further import")
        answer = await self.asked(request)
        if answer is None:
            await self._go_on_by_exec(request + self._request)
        self.deliver(answer)

    async def _go_on_by_exec(self, request: bytes) -> None:
        stream, greeting = await self._by_exec(), b""
        try:
            while request_size(greeting) is None:
                piece = await stream.read()
                if piece is None or len(greeting) > MAX_GREETING_BYTES:
                    raise RumpelError("the pod's upload-pack did not greet")
                greeting += piece[1] if piece[0] == STDOUT else b""
            await stream.write(request)
        except BaseException:
            await stream.close()
            raise
        self._exec = stream

    async def write_eof(self) -> None:
        if self._exec is not None:
            await self._exec.write_eof()
        else:
            self.deliver(None)

    async def close(self) -> None:
        if self._exec is not None:
            await self._exec.close()
        self.deliver(None)


def request_size(data: bytes) -> int | None:
    """Bytes up to the end of the first request, or of a greeting: a flush packet. None: not yet.

    Raises RumpelError for what is no packet.
    """
    at = 0
    while len(data) >= at + LENGTH_DIGITS:
        digits = data[at : at + LENGTH_DIGITS]
        if digits == FLUSH:
            return at + LENGTH_DIGITS
        try:
            length = int(digits, 16)
        except ValueError as error:
            raise RumpelError("what is sent to upload-pack is no packet") from error
        at += max(length, LENGTH_DIGITS)
    return None

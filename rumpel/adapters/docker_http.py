"""HTTP/1.1 to a Docker engine on the event loop: keep-alive, streamed bodies, hijacked streams.

An own client because half of our calls end in a hijacked socket, every call must be cancellable
and have a deadline, and a parked stream must not cost a thread. One request costs 0.2 ms here,
docker-py adds 1 ms and a thread (notes/docker.md part 3). What the engine says is not trusted:
heads, chunks and bodies are bounded (notes/reliability.md D10).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from rumpel.adapters.docker_errors import (
    ProtocolError,
    check_status,
    unreachable,
)
from rumpel.adapters.docker_idle import Idle
from rumpel.adapters.docker_wire import RECV_BYTES, Endpoint, Wire, dial

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES, MAX_PIECES = 16 << 20, 1 << 16
"""Of an answer that is read as a whole: a list of 5000 containers. Crumbs would cost minutes."""
MAX_ERROR_BYTES = 1 << 20

Query = Mapping[str, object]
Source = bytes | AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body; None when empty. Raises ProtocolError when it is not JSON."""
        return decode_json(self.body)


def decode_json(data: bytes) -> Any:
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise ProtocolError("Docker sent something that is not JSON") from err


def segment(text: str) -> str:
    """A name or id as one part of a path: never a way to another endpoint."""
    return quote(text, safe="")


def encode_query(query: Query | None) -> str:
    """`?a=1&b=...`: None is left out, booleans are 1 and 0, mappings and lists are JSON.

    A tuple is a parameter that is given several times.
    """
    pairs = []
    for name, value in (query or {}).items():
        for one in value if isinstance(value, tuple) else (value,):
            if one is None:
                continue
            if isinstance(one, bool):
                one = int(one)
            elif isinstance(one, Mapping | list):
                one = json.dumps(one)
            pairs.append((name, str(one)))
    return f"?{urlencode(pairs)}" if pairs else ""


class Incoming:
    """The response side of a connection: a head, then a body in pieces."""

    __slots__ = ("_wire", "buffer", "headers", "status")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.buffer = bytearray()
        self.status = 0
        self.headers: dict[str, str] = {}

    async def read_head(self) -> None:
        """Read status and headers. Raises EOFError when the engine hung up, ProtocolError."""
        end = self.buffer.find(b"\r\n\r\n")
        while end < 0:
            if len(self.buffer) > MAX_HEAD_BYTES:
                raise ProtocolError("Docker sent an endless response header")
            await self._fill()
            end = self.buffer.find(b"\r\n\r\n")
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        words = lines[0].split(" ", 2)
        if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdecimal():
            raise ProtocolError("this is not a Docker engine: it does not speak HTTP")
        self.status = int(words[1])
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def is_reusable(self) -> bool:
        """Whether the connection can take another request once the body was read."""
        has_end = "content-length" in self.headers or "transfer-encoding" in self.headers
        is_empty = self.status in (204, 304)
        return (has_end or is_empty) and self.headers.get("connection", "").lower() != "close"

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises EOFError when it was cut off."""
        if self.status in (204, 304):
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := await self._chunk_size():
                async for piece in self._exactly(size):
                    yield piece
                await self._line()
            await self._line()
        elif (length := self.headers.get("content-length")) is not None:
            async for piece in self._exactly(_number(length, 10)):
                yield piece
        else:
            with contextlib.suppress(EOFError):
                while True:
                    yield await self._take(RECV_BYTES)

    async def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        if self.status >= 400:
            limit = min(limit, MAX_ERROR_BYTES)
        data, pieces = bytearray(), 0
        async for piece in self.pieces():
            data += piece
            pieces += 1
            if len(data) > limit or pieces > MAX_PIECES:
                raise ProtocolError(f"Docker sent more than {limit} bytes or {MAX_PIECES} pieces")
        return bytes(data)

    async def _fill(self) -> None:
        data = await self._wire.recv()
        if not data:
            raise EOFError("the connection was closed")
        self.buffer += data

    async def _take(self, limit: int) -> bytes:
        if not self.buffer:
            await self._fill()
        piece = bytes(self.buffer[:limit])
        del self.buffer[:limit]
        return piece

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size > 0:
            piece = await self._take(min(size, RECV_BYTES))
            size -= len(piece)
            yield piece

    async def _line(self) -> bytes:
        end = self.buffer.find(b"\r\n")
        while end < 0:
            if len(self.buffer) > MAX_HEAD_BYTES:
                raise ProtocolError("Docker sent an endless chunk header")
            await self._fill()
            end = self.buffer.find(b"\r\n")
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line

    async def _chunk_size(self) -> int:
        return _number((await self._line()).partition(b";")[0].decode("latin-1"), 16)


def _number(text: str, base: int) -> int:
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if value < 0:
        raise ProtocolError("Docker sent a response of no valid length")
    return value


class HttpClient:
    """Requests to one engine. Belongs to one event loop; no lock, no thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.prefix = ""
        """`/v1.41` once the version is agreed on."""
        self.requests = 0
        """How many requests were sent: a plan that reads the snapshot sends none."""
        self._idle = Idle()
        self._is_closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        source: Source | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        what: str = "",
        is_harmless: bool = False,
    ) -> Answer:
        """One call; `what` names the object in errors. Raises the leaves of RumpelError.

        `is_harmless`: may be made twice, as every GET, when the answer to the first was lost.
        """
        head, payload = self._encode(
            method, path, query=query, body=body, source=source, headers=headers
        )
        try:
            async with asyncio.timeout(timeout_s):
                again = is_harmless or method == "GET"
                wire, incoming = await self._send(head, payload, is_retryable=again)
                try:
                    data = await incoming.read_all()
                except BaseException:
                    wire.close()
                    raise
                self._release(wire, incoming)
        except (OSError, EOFError) as err:  # TimeoutError is an OSError
            raise unreachable(self.endpoint.url, err, timeout_s) from err
        check_status(incoming.status, data, what)
        return Answer(incoming.status, incoming.headers, data)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        source: Source | None = None,
        headers: Mapping[str, str] | None = None,
        head_timeout_s: float = 30.0,
        what: str = "",
        on_head: Callable[[Mapping[str, str]], None] | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A call whose answer is read piece by piece; leaving the block hangs up.

        No deadline on the body: the caller sets one. `on_head` hears the headers, of errors, too.
        """
        head, payload = self._encode(method, path, query=query, source=source, headers=headers)
        try:
            async with asyncio.timeout(head_timeout_s):
                wire, incoming = await self._send(head, payload, is_retryable=method == "GET")
        except (OSError, EOFError) as err:
            raise unreachable(self.endpoint.url, err, head_timeout_s) from err
        with contextlib.closing(wire):
            if on_head is not None:
                on_head(incoming.headers)
            if incoming.status >= 400:
                async with asyncio.timeout(head_timeout_s):
                    check_status(incoming.status, await incoming.read_all(), what)
            yield self._translated(incoming)

    async def _translated(self, incoming: Incoming) -> AsyncIterator[bytes]:
        """The body's pieces. Only here, so that errors of the caller's block stay its own."""
        pieces = incoming.pieces()
        while True:
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except (OSError, EOFError) as err:
                raise unreachable(self.endpoint.url, err, 0) from err
            yield piece

    async def take_over(
        self,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        timeout_s: float = 120.0,
        what: str = "",
    ) -> tuple[Wire, bytes]:
        """POST and take the connection over. Returns it and the bytes read beyond the head."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        head, payload = self._encode(
            "POST", path, query=query, body=body, source=None, headers=headers
        )
        try:
            async with asyncio.timeout(timeout_s):
                wire, incoming = await self._send(head, payload, is_retryable=False)
                try:
                    # Engines that ignore the upgrade answer 200 and hijack all the same.
                    if incoming.status not in (101, 200):
                        check_status(incoming.status, await incoming.read_all(), what)
                        raise ProtocolError(f"Docker did not open a stream for {what}")
                except BaseException:
                    wire.close()
                    raise
        except (OSError, EOFError) as err:
            raise unreachable(self.endpoint.url, err, timeout_s) from err
        return wire, bytes(incoming.buffer)

    async def close(self) -> None:
        self._is_closed = True
        self._idle.close()

    def _encode(
        self,
        method: str,
        path: str,
        *,
        query: Query | None,
        body: object = None,
        source: Source | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[bytes, Source]:
        lines = [f"{method} {self.prefix}{path}{encode_query(query)} HTTP/1.1", "Host: docker"]
        payload: Source = b""
        if body is not None:
            payload = json.dumps(body).encode()
            lines.append("Content-Type: application/json")
        elif source is not None:
            payload = source
            lines.append("Content-Type: application/x-tar")
        if not isinstance(payload, bytes):
            lines.append("Transfer-Encoding: chunked")
        elif payload or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(payload)}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), payload

    async def _send(
        self, head: bytes, payload: Source, *, is_retryable: bool
    ) -> tuple[Wire, Incoming]:
        """Send and read the response head; a kept connection that was cut is replaced once.

        So is a new one on a way that is made again when it breaks: nobody knew that it had.
        """
        self.requests += 1
        may_break = self.endpoint.ready is not None
        while True:
            kept = self._idle.take()
            try:
                wire = kept or await dial(self.endpoint)
            except ConnectionError:
                if not (may_break and is_retryable):
                    raise
                may_break = False
                continue
            try:
                incoming = Incoming(wire)
                await self._exchange(wire, incoming, head, payload)
            except (EOFError, ConnectionError):
                wire.close()
                if not is_retryable or (kept is None and not may_break):
                    raise
                may_break = may_break and kept is not None
            except BaseException:
                wire.close()
                raise
            else:
                return wire, incoming

    async def _exchange(self, wire: Wire, incoming: Incoming, head: bytes, payload: Source) -> None:
        if isinstance(payload, bytes):
            await wire.send_all(head + payload)
        else:
            await wire.send_all(head)
            try:
                async for piece in payload:
                    if piece:
                        await wire.send_all(b"%x\r\n%b\r\n" % (len(piece), piece))
                await wire.send_all(b"0\r\n\r\n")
            except ConnectionError:
                # The engine refused in mid-upload; its answer says why.
                await incoming.read_head()
                return
        await incoming.read_head()
        while incoming.status == 100:
            await incoming.read_head()

    def _release(self, wire: Wire, incoming: Incoming) -> None:
        is_clean = incoming.is_reusable() and not incoming.buffer
        if is_clean and not self._is_closed:
            self._idle.give(wire)
        else:
            wire.close()

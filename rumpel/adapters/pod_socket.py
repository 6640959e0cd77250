"""A unix socket in a pod that is answered here, through an exec stream: nothing listens on a port.

A small program of the pod's own user listens, and carries what its clients say in numbered frames.
Nothing that comes from there is trusted: frames, connections and what they hold back are bounded,
and each connection is asked one thing at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from rumpel.adapters.stream import STDERR, STDOUT, Stream
from rumpel.errors import HostUnreachable, NotFound, RumpelError, TimedOut
from rumpel.resources import resource_text

FOLDER = "/tmp/.rumpel-{uid}"  # noqa: S108 - in the pod, of one user, and checked there
MAX_FRAME_BYTES = 64 << 10
MAX_OPEN = 32
MAX_SAID_BYTES = 4096
READY_TIMEOUT_S = 30.0
_HEADER = 8
_READY = re.compile(rb"@rumpel ready (perl|python3) (\d{1,10})\n")
_FAILED = re.compile(rb"@rumpel failed ([^\n]{1,300})\n")


class Broken(RumpelError):
    """What came from the pod is no frame, or no question: its connection, or all of them, end."""


class Conversation(Protocol):
    """What one client of the socket says, and what it is answered."""

    def questions(self, data: bytes) -> Iterator[bytes]:
        """Those that are whole now. Raises Broken."""
        ...

    async def answer(self, question: bytes) -> bytes | None:
        """None ends the connection."""
        ...


def command(name: str) -> list[str]:
    """What is run in the pod."""
    texts = [resource_text(f"pod_socket.{suffix}") for suffix in ("sh", "pl", "python")]
    return ["/bin/sh", "-c", texts[0], "rumpel", name, *texts[1:]]


def path(name: str, uid: int) -> str:
    """Of the socket in the pod."""
    return f"{FOLDER.format(uid=uid)}/{name}"


async def ready(stream: Stream) -> int:
    """Wait until it listens; the user id it has there. Raises RumpelError; closes it then."""
    said = b""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while len(said) < MAX_SAID_BYTES and (piece := await stream.read()) is not None:
                said += piece[1] if piece[0] == STDERR else b""
                if found := _READY.search(said):
                    return int(found[2])
                if failed := _FAILED.search(said):
                    break
            else:
                failed = None
    except TimeoutError as error:
        await stream.close()
        raise TimedOut("no socket came up in the pod") from error
    except BaseException:
        await stream.close()
        raise
    await stream.close()
    if failed is None:
        raise HostUnreachable("the socket in the pod ended before it was ready")
    raise NotFound(f"no socket in the pod: {failed[1].decode('utf-8', 'replace')}")


class Frames:
    """Cuts what arrives into (number, data)."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Raises Broken for a frame that no program of ours sends."""
        self._held += data
        while len(self._held) >= _HEADER:
            size = int.from_bytes(self._held[4:_HEADER], "big")
            if size > MAX_FRAME_BYTES:
                raise Broken("a frame from the pod is too long")
            if len(self._held) < _HEADER + size:
                return
            number = int.from_bytes(self._held[:4], "big")
            content = bytes(self._held[_HEADER : _HEADER + size])
            del self._held[: _HEADER + size]
            yield number, content


def frame(number: int, data: bytes) -> bytes:
    return number.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data


@dataclass(slots=True)
class _Open:
    """One connection."""

    talk: Conversation
    waiting: asyncio.Queue[bytes]
    task: asyncio.Task[None] | None = None


class Carrier:
    """All connections of one socket, until its stream ends."""

    def __init__(self, stream: Stream, make: Callable[[], Conversation]) -> None:
        self._stream, self._make = stream, make
        self._open: dict[int, _Open] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        """Of connections that the pod has closed: it may open others in their place at once."""
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Raises Broken, HostUnreachable; the stream is closed in any case."""
        frames = Frames()
        try:
            while (piece := await self._stream.read()) is not None:
                if piece[0] == STDOUT:
                    for number, data in frames.feed(piece[1]):
                        await self._take(number, data)
                await asyncio.sleep(0)  # a pod that floods us shall not hold up the others
        finally:
            await self._stream.close()  # first: nothing is written any more
            tasks = [one.task for one in self._open.values() if one.task is not None]
            tasks += self._leaving
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _take(self, number: int, data: bytes) -> None:
        known = self._open.get(number)
        if not data:
            if known is not None and known.task is not None:
                del self._open[number]
                self._leaving.add(known.task)
                known.task.add_done_callback(self._leaving.discard)
                known.task.cancel()
            if len(self._leaving) >= MAX_OPEN:
                await asyncio.wait(set(self._leaving))
            return
        if known is None:
            if len(self._open) >= MAX_OPEN:
                raise Broken("more connections came from the pod than it may have")
            known = self._open[number] = _Open(self._make(), asyncio.Queue(1))
            known.task = asyncio.create_task(self._serve(number, known), name="socket in a pod")
            known.task.add_done_callback(functools.partial(self._ended, number, known))
        # A client that asks on without waiting is read no faster than it is answered, and with
        # it the others of this pod, of which each answer is bounded in time.
        await known.waiting.put(data)

    def _ended(self, number: int, one: _Open, _: asyncio.Task[None]) -> None:
        if self._open.get(number) is one:
            del self._open[number]
        while not one.waiting.empty():  # who waits to put finds room
            one.waiting.get_nowait()

    async def _serve(self, number: int, one: _Open) -> None:
        with contextlib.suppress(RumpelError, OSError):
            try:
                await self._talk(number, one)
            finally:
                await self._write(number, b"")

    async def _talk(self, number: int, one: _Open) -> None:
        while True:
            for question in one.talk.questions(await one.waiting.get()):
                answer = await one.talk.answer(question)
                if answer is None:
                    return
                await self._write(number, answer)

    async def _write(self, number: int, data: bytes) -> None:
        async with self._writing:
            await self._stream.write(frame(number, data))

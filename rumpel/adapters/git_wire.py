"""Git over a `Stream`: to upload-pack or receive-pack in a container.

Git's own `fd::` transport talks to one end of a socket pair, a relay copies between the other
end and the stream. When either side ends, both directions are torn down: a half-closed relay
hangs for ever when a container dies (notes/docker.md, trap 1).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from rumpel.adapters import git_run, proc, task_group, threads
from rumpel.adapters.git_limits import Limits as Limits  # part of what this module offers
from rumpel.adapters.git_limits import passed, restrict
from rumpel.adapters.git_pkt import PktListener, Requests
from rumpel.adapters.git_report import FetchReport as FetchReport
from rumpel.adapters.stream import STDOUT, Stream
from rumpel.errors import Bug, RumpelError, TimedOut

CHUNK_BYTES = 1 << 18
INLINE_BYTES = 4 << 10
"""Looked at in the event loop before others get their turn; what comes in larger pieces is looked
at in a thread. It can stand for 4 MiB of zeros, 5 ms; engines give at most 32 KiB at once."""
PIECE_BYTES = 64
"""What a piece costs at least, however short."""
FOR_EVER_S = 1e7
GOODBYE = b"0000\n"
"""What ends a server of version 2 that is at rest; the line lets the next one begin."""
MAX_ERROR_BYTES = 8000
MAX_STDERR_BYTES = 1 << 20
MAX_DRAIN_BYTES = 32 << 20

Argv = Callable[[str], list[str]]
"""A command line from the URL that git is to talk to."""
Take = Callable[[bytearray], Awaitable[bool]]
"""False: no more is wanted."""


class Server:
    """A git server at the other end of a stream; the stream stays the caller's to close."""

    def __init__(self, stream: Stream, go: asyncio.Event | None = None) -> None:
        """`go`: nothing is asked of the server, and no time is counted, before it is set."""
        self._stream, self._go = stream, go
        self.went_at: float | None = None
        """When it could be asked first, on the monotonic clock."""
        self._stderr = bytearray()
        self._stderr_bytes = self._inline_bytes = 0
        self._idle_s: float | None = None
        self._patience: asyncio.Timeout | None = None
        self._failure: RumpelError | None = None
        self._listener: PktListener | None = None
        self._requests: Requests | None = None
        self._is_over = False
        self._is_asked_out = self._is_delivering = False

    async def fetch(
        self,
        git_dir: Path,
        refspecs: Sequence[str],
        *,
        limits: Limits,
        env: Mapping[str, str] | None = None,
        prune: bool = True,
        oid_bytes: int = 20,
    ) -> FetchReport:
        """Raises TimedOut, HostUnreachable, RumpelError for a passed limit; else a report.

        Can be called again while `can_go_on`, after `drain`: the server is still there, and its
        greeting is played to git once more.
        """
        listener = PktListener(limits, oid_bytes=oid_bytes)
        if self._listener is not None:
            if self._is_reusable:
                listener.greeting = self._listener.greeting
                self._requests = Requests()
            else:  # an old one, which has begun to list its refs by itself
                listener.feed(self._listener.greeting)
        self._listener, self._is_asked_out = listener, False
        self._idle_s = limits.idle_seconds
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", *(("--prune",) * prune))
        done = await self.talk(
            lambda url: ["git", f"--git-dir={git_dir}", "fetch", *options, url, *refspecs],
            env=env or git_run.isolated_env(),
            timeout_s=limits.seconds,
            limits=limits,
        )
        return self.report(done.code, done.error_text)

    def report(self, code: int, error_text: str, held: frozenset[str] | None = None) -> FetchReport:
        """Of what was heard since it was greeted last."""
        listener = self._heard
        said, remote = git_run.summary(error_text), self.complaint
        return FetchReport(
            code=code,
            claims=listener.claims,
            said=f"{said}; the pod says: {remote}" if remote and code else said,
            scanner=listener.scanner,
            held=held,
        )

    async def greet(self, limits: Limits) -> bool:
        """Hear its first words; True when it waits for requests now, as one of version 2 does.

        Raises what `ask` raises.
        """
        self._listener, self._idle_s = PktListener(limits), limits.idle_seconds
        while not self._listener.has_greeted:
            if not self._listener.may_be_version_2 or not await self._hear():
                return False
        return self._is_reusable

    async def ask(self, request: bytes, take: Take | None = None) -> PktListener | None:
        """Hear the answer to one request; `take` gets the pack in it, piece by piece.

        Not to its end when `take` wants no more or, without one, when it is no list of branches:
        then the server is not at rest. None when it ended before. Waits for its `go`.
        Raises TimedOut for a silence, Refused.
        """
        listener = self._heard
        listener.begin_answer(gathers_pack=take is not None)
        await self.may_be_asked()
        self._expect(pack=take is not None)
        await self._stream.write(request)
        while not listener.is_at_rest:
            if not await self._hear():
                return None
            if take is None:
                if listener.is_odd:
                    break
            elif listener.pack:
                piece, listener.pack = listener.pack, bytearray()
                if not await take(piece):
                    listener.pack = None
                    break
        return listener

    @property
    def _heard(self) -> PktListener:
        if self._listener is None:
            raise Bug("nobody listened to the server")
        return self._listener

    async def may_be_asked(self) -> None:
        if self._go is not None:
            await self._go.wait()
        if self.went_at is None:
            self.went_at = time.monotonic()

    @property
    def is_held(self) -> bool:
        """Nobody waits for the answer yet."""
        return self._go is not None and not self._go.is_set()

    async def _hear(self) -> bool:
        """One piece of what it says; False at the end."""
        try:
            item = await self._read()
            if item is None:
                self._is_over = True
            elif item[0] == STDOUT:
                await self._listen(item[1])
            else:
                self._complain(item[1])
        except RumpelError as err:
            self._fail(err)
            raise
        return item is not None

    @property
    def complaint(self) -> str:
        """What the other side said went wrong."""
        error = b"" if self._listener is None else self._listener.error
        # Upload-pack's last words are a C string, with its end.
        return bytes(error or self._stderr).decode("utf-8", "replace").replace("\0", "").strip()

    @property
    def claims(self) -> Mapping[bytes, str]:
        """Branches as listed so far, also when a fetch was given up."""
        return {} if self._listener is None else self._listener.claims

    @property
    def can_go_on(self) -> bool:
        """The server waits for another request; before protocol version 2 it serves only one."""
        return self._is_reusable and not self._is_over and self._failure is None

    @property
    def is_at_rest(self) -> bool:
        """It can go on, and owes nothing: nothing but a new beginning comes from it now."""
        return self.can_go_on and self._listener is not None and self._listener.is_at_rest

    async def drain(self, timeout_s: float) -> None:
        """Read what is left of an answer that git no longer wants. Raises TimedOut, Refused."""
        listener = self._listener
        if listener is None:
            return
        most = listener.total_bytes + MAX_DRAIN_BYTES
        try:
            async with asyncio.timeout(timeout_s):
                while not (listener.is_at_rest or self._is_over):
                    await self._hear()
                    if listener.total_bytes > most:
                        raise passed("goes on to send more", MAX_DRAIN_BYTES, "bytes")
        except TimeoutError as err:
            raise TimedOut(f"the pod did not end its answer in {timeout_s:g} s") from err

    async def talk(
        self,
        argv: Argv,
        *,
        env: Mapping[str, str],
        timeout_s: float,
        limits: Limits | None = None,
        drain: bool = False,
    ) -> proc.Completed:
        """Run a git that talks to the server; `drain`: until that one has ended, too.

        Raises TimedOut, HostUnreachable, RumpelError for a passed limit.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            number = theirs.fileno()
            async with proc.Child(argv(f"fd::{number}"), env=env, pass_fds=(number,)) as child:
                theirs.close()
                if limits is not None:
                    restrict(child, limits)
                done = await self._relayed(child, ours, timeout_s=timeout_s, drain=drain)
        if done is None or self._failure is not None:
            raise self._failure or RumpelError("git ended without a result")
        return done

    async def _relayed(
        self, child: proc.Child, ours: socket.socket, *, timeout_s: float, drain: bool
    ) -> proc.Completed | None:
        """None when it failed (see `_fail`)."""
        async with task_group.opened() as group:
            up = group.create_task(self._up(ours))
            down = group.create_task(self._down(ours))
            try:
                done = await self._ended(child, timeout_s)
                if drain:
                    await asyncio.wait((down,), timeout=timeout_s)
                    if not down.done():
                        self._fail(TimedOut(f"the other side did not end in {timeout_s:g} s"))
                return done
            except RumpelError as err:
                self._fail(err)
                return None
            finally:
                up.cancel()
                down.cancel()

    async def _ended(self, child: proc.Child, timeout_s: float) -> proc.Completed:
        """Counts the time from when the server may be asked."""
        if self._go is None or self._go.is_set():
            return await child.ended(timeout_s)
        go = asyncio.ensure_future(self._go.wait())
        end = asyncio.ensure_future(child.ended(FOR_EVER_S))
        try:
            await asyncio.wait({go, end}, return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                return end.result()
        finally:
            go.cancel()
            end.cancel()
        return await child.ended(timeout_s)

    async def _up(self, ours: socket.socket) -> None:
        """From git to the server, until git has nothing more to say."""
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(ours, CHUNK_BYTES):
                if self._requests is None and self._is_reusable:
                    self._requests = Requests()
                if self._requests is not None:
                    data = self._requests.feed(data)
                if data:
                    if self._go is not None:
                        await self._go.wait()
                    self._expect(pack=self._requests is not None and self._requests.wants_pack)
                    await self._stream.write(data)
            if not self._is_reusable:
                await self._stream.write_eof()
        except OSError:
            _tear_down(ours)
        except RumpelError as err:
            self._fail(err)
            _tear_down(ours)
        self._is_asked_out = True
        self._end_if_answered(ours)

    async def _down(self, ours: socket.socket) -> None:
        """From the server to git; goes on to read after git is gone, so the server can end."""
        loop = asyncio.get_running_loop()
        is_taken = True
        try:
            if self._listener is not None and self._listener.greeting:
                await loop.sock_sendall(ours, self._listener.greeting)
            while (item := await self._read()) is not None:
                kind, data = item
                if kind != STDOUT:
                    self._complain(data)
                    continue
                self._is_delivering = True  # what the listener knows, git does not have yet
                await self._listen(data)
                if is_taken:
                    try:
                        await loop.sock_sendall(ours, data)
                    except OSError:
                        is_taken = False
                self._is_delivering = False
                self._end_if_answered(ours)
            self._is_over = True
        except OSError:
            pass
        except RumpelError as err:
            self._fail(err)
        finally:
            _tear_down(ours)

    async def _read(self) -> tuple[int, bytes] | None:
        """What `_next` says, with a turn for others in between."""
        if self._inline_bytes >= INLINE_BYTES:
            self._inline_bytes = 0
            await asyncio.sleep(0)
        item = await self._next()
        self._inline_bytes += max(PIECE_BYTES, len(item[1]) if item else 0)
        return item

    async def _next(self) -> tuple[int, bytes] | None:
        """Raises TimedOut when the server owes an answer and is silent for too long."""
        if self._idle_s is None or self._listener is None:
            return await self._stream.read()
        try:
            async with asyncio.timeout(None) as self._patience:
                if not self._listener.is_at_rest:
                    self._be_patient()
                return await self._stream.read()
        except TimeoutError as err:
            raise TimedOut(f"the pod said nothing for {self._idle_s:g} s") from err
        finally:
            self._patience = None

    def _expect(self, *, pack: bool) -> None:
        """From now on the server owes an answer."""
        if self._listener is not None:
            self._listener.expect(pack=pack)
        self._be_patient()

    def _be_patient(self) -> None:
        if self._patience is not None and self._idle_s is not None:
            with contextlib.suppress(RuntimeError):  # it has just run out
                self._patience.reschedule(asyncio.get_running_loop().time() + self._idle_s)

    async def _listen(self, data: bytes) -> None:
        if self._listener is not None and len(data) >= INLINE_BYTES:
            await threads.call(self._listener.feed, data)
        elif self._listener is not None:
            self._listener.feed(data)

    def _complain(self, data: bytes) -> None:
        self._stderr = (self._stderr + data)[-MAX_ERROR_BYTES:]
        self._stderr_bytes += len(data)
        if self._listener is not None and self._stderr_bytes > MAX_STDERR_BYTES:
            raise passed("tells more", MAX_STDERR_BYTES, "bytes of errors")

    @property
    def _is_reusable(self) -> bool:
        """An upload-pack of version 2 waits for the next request instead of ending."""
        return self._listener is not None and self._listener.is_version_2

    def _end_if_answered(self, ours: socket.socket) -> None:
        """Git's helper waits for the end of the answer, which such a server never ends itself."""
        in_pack = self._listener is not None and self._listener.in_pack
        is_over = self._is_asked_out and not in_pack and not self._is_delivering
        if is_over and self._is_reusable:
            _tear_down(ours)

    def _fail(self, err: RumpelError) -> None:
        """The first failure is the cause of the others."""
        self._failure = self._failure or err


def _tear_down(ours: socket.socket) -> None:
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)

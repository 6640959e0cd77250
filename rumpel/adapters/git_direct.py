"""The everyday import, a few new commits: we ask the pod's server ourselves, git checks the pack.

`git fetch` takes four processes one after the other (fetch, remote-fd, index-pack, rev-list).
Here refs and pack are asked for in two requests of protocol version 2, and the pack goes into one
`git index-pack` with the same checks, started before there is anything to import. Whether the
histories are complete is for the caller to prove. Whatever is not everyday is left to git fetch:
nothing was taken then, and the server waits for its next request or has to be left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from rumpel.adapters import git_files, git_odb, proc, threads
from rumpel.adapters.git_limits import Limits, restrict
from rumpel.adapters.git_pkt import PACKFILE, SHALLOW
from rumpel.adapters.git_quarantine import HEADS, LEVELS, Quarantine
from rumpel.adapters.git_wire import FetchReport, Server
from rumpel.errors import Bug, TimedOut

MAX_WANTS = 32
MAX_HAVES = 64
DELIMITER, END = b"0001", b"0000"
EARLY = 128
"""The exit code of git for everything that is fatal."""
HUNG_UP = "fatal: the pod hung up"


async def fetch(server: Server, quarantine: Quarantine, limits: Limits) -> FetchReport | None:
    """All branches; None when it takes git fetch. Raises TimedOut, HostUnreachable, Refused.

    The objects of a report without a code lie in the quarantine as one checked pack, if any. The
    time is counted from when the server may be asked, also if it has not greeted yet.
    """
    if quarantine.is_split or quarantine.is_shallow or quarantine.oid_bytes != 20:
        return None
    try:
        async with asyncio.timeout(None) as patience, contextlib.AsyncExitStack() as stack:
            clock = asyncio.ensure_future(_count(server, patience, limits.seconds))
            stack.callback(clock.cancel)
            return await _fetch(server, quarantine, limits, stack)
    except TimeoutError as err:
        raise TimedOut(f"the import did not end within {limits.seconds:g} s") from err


async def _count(server: Server, patience: asyncio.Timeout, seconds: float) -> None:
    await server.may_be_asked()
    patience.reschedule(asyncio.get_running_loop().time() + seconds)


async def _fetch(
    server: Server, quarantine: Quarantine, limits: Limits, stack: contextlib.AsyncExitStack
) -> FetchReport | None:
    if not await server.greet(limits):
        return None
    indexer = Indexer(quarantine, limits)
    if server.is_held:
        await stack.enter_async_context(indexer.running())
    heard = await server.ask(refs_request())
    if heard is None or heard.is_odd:
        return None  # a branch that is not understood must not look like one that was deleted
    held = await threads.call(_held, quarantine, server.claims)
    wants = wanted(held, server.claims)
    if not wants:
        return server.report(0, "", held)
    if len(wants) > MAX_WANTS:
        return None
    if not indexer.is_running:
        await stack.enter_async_context(indexer.running())
    old = {ref: quarantine.haves[ref] for ref in wants if quarantine.haves.get(ref) in held}
    common = [*dict.fromkeys([*old.values(), *sorted(held)])][:MAX_HAVES]
    done = await _packed(server, wants, old, common, indexer)
    return None if done is None else server.report(*done, held)


def _held(quarantine: Quarantine, claims: Mapping[bytes, str]) -> frozenset[str]:
    """Of what both may share: what the host still has, for it may have gone since. Blocking."""
    shared = [*dict.fromkeys(quarantine.haves.values())]
    asked = {*shared[:MAX_HAVES], *set(shared).intersection(claims.values())}
    asked.update(quarantine.haves.get(HEADS + os.fsdecode(raw), "") for raw in claims)
    return frozenset(git_odb.present(quarantine.lender, asked - {""}))


def wanted(held: frozenset[str], claims: Mapping[bytes, str]) -> dict[str, str]:
    """Ref -> oid of branches that moved to commits that are not at hand; bad names are not."""
    return {
        HEADS + os.fsdecode(raw): oid
        for raw, oid in claims.items()
        if oid not in held and oid.strip("0") and git_files.is_branch_name(raw)
    }


async def _packed(
    server: Server,
    wants: Mapping[str, str],
    old: Mapping[str, str],
    common: Sequence[str],
    indexer: Indexer,
) -> tuple[int, str] | None:
    """Exit code and complaints of git; None when it takes more talk than this."""
    heard = await server.ask(pack_request(wants.values(), common), indexer.take)
    is_moved = len(old) == len(wants)  # else git knows better what else both sides may have
    if heard is not None and not heard.marks and is_moved and heard.acked.issuperset(old.values()):
        again = sorted(heard.acked.intersection(common))
        request = pack_request(wants.values(), again, is_done=True)
        heard = await server.ask(request, indexer.take)
    if heard is None:
        return EARLY, HUNG_UP
    if SHALLOW in heard.marks or PACKFILE not in heard.marks:
        return None
    done = await indexer.ended()
    return EARLY if done.code > 0 else done.code, done.error_text  # 1 is harmless of git fetch


def refs_request() -> bytes:
    return _request("ls-refs", [f"ref-prefix {HEADS}"])


def pack_request(wants: Iterable[str], haves: Iterable[str], *, is_done: bool = False) -> bytes:
    """Not `done`: a server that knows too few of `haves` shall not send a whole history."""
    words = ["thin-pack", "no-progress", "ofs-delta"]
    words += [f"want {oid}" for oid in sorted(set(wants))]
    words += [f"have {oid}" for oid in haves]
    return _request("fetch", [*words, "done"] if is_done else words)


def _request(command: str, arguments: Sequence[str]) -> bytes:
    lines = b"".join(_packet(word) for word in arguments)
    return _packet(f"command={command}") + DELIMITER + lines + END


def _packet(line: str) -> bytes:
    data = f"{line}\n".encode()
    return f"{len(data) + 4:04x}".encode() + data


class Indexer:
    """One `git index-pack`, which may be started before it has anything to do."""

    def __init__(self, quarantine: Quarantine, limits: Limits) -> None:
        self._quarantine, self._limits = quarantine, limits
        self._child: proc.Child | None = None
        self._ours: socket.socket | None = None

    @property
    def is_running(self) -> bool:
        return self._child is not None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It is ended at the end, whatever it does. Raises RumpelError."""
        self._ours, theirs = socket.socketpair()
        with self._ours, theirs:
            self._ours.setblocking(False)
            child = proc.Child(
                argv(self._quarantine), env=self._quarantine.env(), stdin=theirs.fileno()
            )
            async with child:
                theirs.close()
                restrict(child, self._limits)
                self._child = child
                yield

    async def take(self, data: bytearray) -> bool:
        """False when it wants no more: it has ended."""
        if self._ours is None:
            raise Bug("git index-pack was not started")
        try:
            await asyncio.get_running_loop().sock_sendall(self._ours, data)
        except OSError:
            return False
        return True

    async def ended(self) -> proc.Completed:
        if self._child is None or self._ours is None:
            raise Bug("git index-pack was not started")
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)
        return await self._child.ended(self._limits.seconds)


def argv(quarantine: Quarantine) -> list[str]:
    """As git fetch calls it."""
    return [
        *("git", f"--git-dir={quarantine.path}", "index-pack", "--stdin", "--fix-thin"),
        "--strict=" + ",".join(f"{name}={level}" for name, level in LEVELS.items()),
    ]

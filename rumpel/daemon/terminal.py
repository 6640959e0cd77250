"""A client at the stream of a process in a pod: handed over to it, then watched from here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from dataclasses import dataclass
from typing import Literal

from rumpel import protocol
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_stream import DockerStream
from rumpel.daemon.client import Client
from rumpel.errors import HostUnreachable, NotFound, RumpelError, TimedOut
from rumpel.tasks import shell

log = logging.getLogger(__name__)

EXIT_WAIT_S = 3.0
"""The engine learns of an end a moment after the stream's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One exec of the user: where it is, and how to find its processes again."""

    host: DockerHost
    where: shell.Where
    exec_id: str
    token: str
    losses: int
    """Of the host, when it began."""
    has_terminal: bool

    @property
    def is_lost(self) -> bool:
        """Whether its stream ended because the way to the host did."""
        return self.host.losses != self.losses


async def hand_over(
    client: Client, host: DockerHost, where: shell.Where, stream: DockerStream, token: str
) -> Session:
    """From here on the client reads and writes the stream itself."""
    args = client.request.args
    if client.request.tty and args["rows"] and args["cols"]:
        await host.resize(stream.exec_id, args["rows"], args["cols"])
    client.tell_warnings()
    sock, prefix = stream.take_socket()
    try:
        encoded = base64.b64encode(prefix).decode()
        message = protocol.attach(stream.exec_id, tty=client.request.tty, prefix=encoded)
        client.connection.send(message, fd=sock.fileno())
        await client.connection.drain()
    finally:
        sock.close()
    return Session(
        host=host,
        where=where,
        exec_id=stream.exec_id,
        token=token,
        losses=host.losses,
        has_terminal=client.request.tty,
    )


async def follow(client: Client, session: Session, *, grace_s: float = 0.0) -> int:
    """Until the client saw the end of the stream, or is gone (then its processes are ended).

    `grace_s`: for what ends by itself when its input ends, and cleans up then. Raises
    HostUnreachable when the stream was lost, and what ran did not end with it.
    """
    exited = asyncio.ensure_future(client.wants_exit.wait())
    gone = asyncio.ensure_future(client.gone.wait())
    cancelled = asyncio.ensure_future(client.cancelled.wait())
    resizer = asyncio.ensure_future(_resize(client, session))
    signalled = asyncio.ensure_future(client.signalled.wait())
    ended = asyncio.ensure_future(_ended(session, exited))
    try:
        waits = {ended, gone, cancelled, signalled}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return ended.result()
        if grace_s:
            with contextlib.suppress(RumpelError):
                await session.host.exec_exit_code(session.exec_id, grace_s)
                return 130
        await _kill(session)
        return 130
    except NotFound:
        client.warn("the pod's container was removed while the command ran")
        return 137
    finally:
        for future in (exited, gone, cancelled, signalled, resizer, ended):
            future.cancel()


async def _ended(session: Session, exited: asyncio.Task[Literal[True]]) -> int:
    """Its code. What closed its output ends the stream, too, and goes on as long as it likes."""
    await exited
    while True:
        try:
            return await session.host.exec_exit_code(session.exec_id, EXIT_WAIT_S)
        except TimedOut:
            if session.is_lost or not session.host.is_near:
                raise await _lost(session) from None


async def _lost(session: Session) -> HostUnreachable:
    """A terminal that nobody sees any more is of no use; a command may be."""
    if session.has_terminal:
        await _kill(session)
    what = "was ended" if session.has_terminal else "may go on in the pod"
    return HostUnreachable(
        f"the connection to {session.where.host} was lost; what ran {what}",
        hint="rumpel list",
    )


async def _kill(session: Session) -> None:
    where = session.where
    await session.host.kill_tree(where.container_id, session.token, user=where.user)


async def _resize(client: Client, session: Session) -> None:
    while True:
        rows, cols = await client.resizes.get()
        try:
            await session.host.resize(session.exec_id, rows, cols)
        except RumpelError as error:
            log.info("resize: %s", error.message)

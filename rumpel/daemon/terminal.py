"""A client at the stream of a process in a pod: handed over to it, then watched from here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from dataclasses import dataclass

from rumpel import protocol
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_stream import DockerStream
from rumpel.daemon.client import Client
from rumpel.errors import NotFound, RumpelError
from rumpel.tasks import shell

log = logging.getLogger(__name__)

EXIT_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One exec of the user: where it is, and how to find its processes again."""

    host: DockerHost
    where: shell.Where
    exec_id: str
    token: str


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
    return Session(host=host, where=where, exec_id=stream.exec_id, token=token)


async def follow(client: Client, session: Session, *, grace_s: float = 0.0) -> int:
    """Until the client saw the end of the stream, or is gone (then its processes are ended).

    `grace_s`: for what ends by itself when its input ends, and cleans up then.
    """
    exited = asyncio.ensure_future(client.wants_exit.wait())
    gone = asyncio.ensure_future(client.gone.wait())
    cancelled = asyncio.ensure_future(client.cancelled.wait())
    resizer = asyncio.ensure_future(_resize(client, session))
    signalled = asyncio.ensure_future(client.signalled.wait())
    try:
        waits = {exited, gone, cancelled, signalled}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not exited.done():
            if grace_s:
                with contextlib.suppress(RumpelError):
                    await session.host.exec_exit_code(session.exec_id, grace_s)
                    return 130
            await session.host.kill_tree(
                session.where.container_id, session.token, user=session.where.user
            )
            return 130
        async with asyncio.timeout(EXIT_WAIT_S):
            return await session.host.exec_exit_code(session.exec_id)
    except NotFound:
        client.warn("the pod's container was removed while the command ran")
        return 137
    finally:
        for future in (exited, gone, cancelled, signalled, resizer):
            future.cancel()


async def _resize(client: Client, session: Session) -> None:
    while True:
        rows, cols = await client.resizes.get()
        try:
            await session.host.resize(session.exec_id, rows, cols)
        except RumpelError as error:
            log.info("resize: %s", error.message)

"""One SSH connection to a machine, and its Docker socket at a socket of ours.

The user's own ssh configuration, keys, agent and known hosts count. A host key is never taken on
trust: a new or another one is refused with what to type. Where sshd forbids to forward sockets,
`docker system dial-stdio` carries the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import asyncssh

from rumpel import text
from rumpel.adapters import ssh_config
from rumpel.adapters.ssh_errors import Asked, NoDocker, refusal
from rumpel.adapters.ssh_name import SshName
from rumpel.errors import RumpelError

log = logging.getLogger(__name__)
asyncssh.set_log_level(logging.WARNING)  # it tells of each channel

SOCKET = "/var/run/docker.sock"
CONNECT_TIMEOUT_S = 10.0
LOOK_TIMEOUT_S = 10.0
KEEPALIVE_S, KEEPALIVE_COUNT = 5.0, 2
"""A connection whose other end is gone without a word is given up after three of these."""
DIAL = "docker system dial-stdio"
PING = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
MAX_JUMPS = 4
PIECE_BYTES = 65_536
MAX_TEXT = 500
LOOK = (
    "sh -c '"
    'for s in "$XDG_RUNTIME_DIR/docker.sock" "/run/user/$(id -u)/docker.sock" '
    '"/run/user/$(id -u)/podman/podman.sock" /var/run/docker.sock /run/podman/podman.sock; do '
    'test -S "$s" || continue; '
    'if test -r "$s" && test -w "$s"; then echo "open $s"; else echo "shut $s"; fi; done; '
    "command -v docker >/dev/null 2>&1 && echo cli; echo end'"
)
"""Sockets of engines there, whether this user may use them, and whether there is a `docker`."""


class SshLink:
    """While `is_open` the socket leads to the engine. `close` it."""

    def __init__(self, name: SshName, path: Path, asked: Asked) -> None:
        self._name, self._path, self._asked = name, path, asked
        self._connections: list[asyncssh.SSHClientConnection] = []
        self._jumps: list[asyncssh.SSHClientConnection] = []
        self._server: asyncio.Server | None = None
        self._carried: set[asyncio.Task[None]] = set()
        self._dialing = asyncio.Lock()
        self._ways: dict[asyncssh.SSHClientConnection, list[asyncssh.SSHClientConnection]] = {}
        """Each connection's own jump hosts."""
        self._streams: dict[asyncssh.SSHClientConnection, int] = {}
        self._hastened: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return bool(self._connections) and not self._connections[0].is_closed()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in (*self._carried, *filter(None, [self._hastened])):
            task.cancel()
        connections = [*self._connections, *reversed(self._jumps)]
        for connection in connections:
            connection.abort()
        for connection in connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await connection.wait_closed()
        self._path.unlink(missing_ok=True)

    async def open(self) -> None:
        """Raises HostUnreachable."""
        connection = await self._connect()
        self._path.unlink(missing_ok=True)  # of a connection that was lost, or of a killed daemon
        remote = SOCKET
        if not await _leads(connection, remote):
            found = await self._look(connection)
            usable = [line[5:] for line in found if line.startswith("open ")]
            for remote in usable:
                if remote != SOCKET and await _leads(connection, remote):
                    break
            else:
                await self._dial_instead(connection, found)
                return
        await connection.forward_local_path(str(self._path), remote)
        self._hastened = asyncio.ensure_future(_hasten(connection))

    async def _connect(self) -> asyncssh.SSHClientConnection:
        before = len(self._jumps)
        made = await self._reach(self._asked)
        self._connections.append(made)
        self._ways[made] = self._jumps[before:]
        return made

    async def _reach(self, asked: Asked, left: int = MAX_JUMPS) -> asyncssh.SSHClientConnection:
        """By its jump hosts, each with its own configuration, and its own key to be known."""
        tunnel: asyncssh.SSHClientConnection | None = None
        for jump in asked.jumps:
            further = await ssh_config.read(jump)
            if tunnel is None and left:
                tunnel = await self._reach(further, left - 1)
            else:  # the nearest one decides how it is reached
                tunnel = await _connected(further, tunnel)
            self._jumps.append(tunnel)
        return await _connected(asked, tunnel)

    async def _look(self, connection: asyncssh.SSHClientConnection) -> list[str]:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                done = await connection.run(LOOK, encoding=None, stdin=asyncssh.DEVNULL)
        except (asyncssh.Error, OSError) as error:
            raise refusal(self._asked, error, LOOK_TIMEOUT_S) from error
        lines = _text(done.stdout).splitlines()
        if "end" not in lines:
            said = _said(done.stderr)
            raise NoDocker(
                f"no commands can be run at {self._name.url}: {said}",
                hint=f"{self._name.command} docker info",
            )
        return lines

    async def _dial_instead(
        self, connection: asyncssh.SSHClientConnection, found: list[str]
    ) -> None:
        """Raises NoDocker, with what is missing there."""
        name = self._name
        shut = [line[5:] for line in found if line.startswith("shut ")]
        is_usable = any(line.startswith("open ") for line in found)
        if not is_usable and shut:
            raise NoDocker(
                f"no permission to use Docker at {name.url} ({text.safe(shut[0])})",
                hint=f"{name.command} 'sudo usermod -aG docker $USER'",
            )
        if "cli" not in found:
            if is_usable:
                raise NoDocker(
                    f"sshd at {name.url} forbids to forward Docker's socket, "
                    "and there is no docker command",
                    hint="set AllowStreamLocalForwarding yes in its sshd_config",
                )
            raise NoDocker(f"there is no Docker at {name.url}", hint=f"{name.command} docker info")
        await self._check_dial(connection)
        log.info("%s forbids to forward sockets: %s carries them", name.url, DIAL)
        self._server = await asyncio.start_unix_server(self._accept, str(self._path))

    async def _check_dial(self, connection: asyncssh.SSHClientConnection) -> None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                done = await connection.run(DIAL, input=PING, encoding=None)
        except (asyncssh.Error, OSError) as error:
            raise refusal(self._asked, error, LOOK_TIMEOUT_S) from error
        if not _text(done.stdout).startswith("HTTP/"):
            said = _said(done.stderr)
            raise NoDocker(
                f"Docker at {self._name.url} does not answer: {said or 'it said nothing'}",
                hint=f"{self._name.command} docker info",
            )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            connection, process = await self._dial()
            try:
                up = asyncio.ensure_future(_copy_up(reader, process))
                try:
                    await _copy_down(process, writer)
                finally:
                    up.cancel()
            finally:
                process.close()
                self._leave(connection)
        except (asyncssh.Error, OSError, RumpelError) as error:
            log.info("%s: %s", self._name.url, error)
        finally:
            writer.close()

    async def _dial(self) -> tuple[asyncssh.SSHClientConnection, Any]:
        """One process for each stream; sshd allows a connection ten, so there may be several.

        One after the other: who comes next takes a place at what was just opened.
        """
        async with self._dialing:
            try:
                connection, process = await self._dialed()
                self._streams[connection] = self._streams.get(connection, 0) + 1
                return connection, process
            finally:  # also for those that left meanwhile, when nothing came of it
                self._sweep()

    async def _dialed(self) -> tuple[asyncssh.SSHClientConnection, Any]:
        for connection in list(self._connections):
            if connection.is_closed() and connection is not self._connections[0]:
                self._forget(connection)
                continue
            with contextlib.suppress(asyncssh.ChannelOpenError):
                return connection, await connection.create_process(DIAL, encoding=None)
        connection = await self._connect()
        return connection, await connection.create_process(DIAL, encoding=None)

    def _leave(self, connection: asyncssh.SSHClientConnection) -> None:
        self._streams[connection] -= 1
        if not self._dialing.locked():  # else somebody may just take a place at it, and sweeps then
            self._sweep()

    def _sweep(self) -> None:
        """What was opened for more than ten streams goes with the last of its own."""
        for connection in self._connections[1:]:
            if not self._streams.get(connection):
                self._forget(connection)

    def _forget(self, connection: asyncssh.SSHClientConnection) -> None:
        self._streams.pop(connection, None)
        if connection in self._connections:
            self._connections.remove(connection)
        for one in (connection, *reversed(self._ways.pop(connection, []))):
            one.close()
            if one in self._jumps:
                self._jumps.remove(one)


async def connect(name: SshName, path: Path) -> SshLink:
    """Raises HostUnreachable; then nothing is left."""
    link = SshLink(name, path, await ssh_config.read(name))
    try:
        await link.open()
    except BaseException:
        await link.close()
        raise
    return link


async def _connected(
    asked: Asked, tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    """Raises HostUnreachable."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await asyncssh.connect(
                asked.name.host,
                tunnel=tunnel,
                config=asked.files,
                known_hosts=asked.known_hosts,
                client_factory=asked.client,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=KEEPALIVE_COUNT,
                **ssh_config.said(asked.name),
            )
    except (asyncssh.Error, OSError, ValueError) as error:
        raise refusal(asked, error, CONNECT_TIMEOUT_S) from error


async def _leads(connection: asyncssh.SSHClientConnection, remote: str) -> bool:
    """Whether something listens there, and we may be led to it."""
    try:
        _, writer = await connection.open_unix_connection(remote)
    except asyncssh.ChannelOpenError:
        return False
    writer.close()
    return True


async def _copy_up(reader: asyncio.StreamReader, process: Any) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE_BYTES):
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.write_eof()


async def _copy_down(process: Any, writer: asyncio.StreamWriter) -> None:
    while data := await process.stdout.read(PIECE_BYTES):
        writer.write(data)
        await writer.drain()


async def _hasten(connection: asyncssh.SSHClientConnection) -> None:
    """OpenSSH's server sends small answers at once only after a command was run.

    For forwarded sockets alone it leaves Nagle's algorithm on: 40 ms for a commit (58 ms, then 24).
    """
    with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            await connection.run(":", stdin=asyncssh.DEVNULL)


def _text(data: Any) -> str:
    return bytes(data or b"").decode("utf-8", "replace")


def _said(data: object) -> str:
    """What a command there wrote on stderr, in one line."""
    return text.safe(" ".join(_text(data).split()))[:MAX_TEXT]

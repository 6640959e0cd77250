"""The socket: who may connect, one task per request, one boundary for every failure."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from rumpel import paths, protocol
from rumpel.daemon import at_work, ending, loading, moved, replacing
from rumpel.daemon.app import App
from rumpel.daemon.background import Background
from rumpel.daemon.client import Client
from rumpel.daemon.connection import Connection
from rumpel.errors import Bug, ConfigError, RumpelError, TimedOut, UsageError
from rumpel.log import write_crash

log = logging.getLogger(__name__)

Verb = Callable[[App, Client], Awaitable[dict[str, object]]]

VERBS = {
    "adopt": "moved:run",
    "create": "create:run",
    "cp": "copying:run",
    "enter": "enter:run",
    "agent": "agents:run",
    "run": "headless:run",
    "batch": "batch:run",
    "seat": "builtin:run",
    "attach": "agents:attach",
    "send": "agents:send",
    "capture": "agents:capture",
    "wait": "waiting:run",
    "list": "system:list_pods",
    "fork": "fork:run",
    "ports": "forward:ports",
    "forward-port": "forward:run",
    "ssh-add": "ssh_add:run",
    "merge": "merge:run",
    "recreate": "recreate:run",
    "stop": "stop:stop",
    "delete": "stop:delete",
    "prune": "prune:run",
    "review": "review:run",
    "reviewed": "review:seen",
    "snapshot": "work:snapshot",
    "restore": "work:restore",
    "undelete": "undelete:undelete",
    "events": "events:run",
    "logs": "logs:run",
    "graph": "graph:run",
    "config": "system:config",
    "doctor": "doctor:run",
    "image": "image:run",
    "gc": "gc:run",
    "purge": "purge:run",
    "daemon-status": "system:status",
    "daemon-stop": "system:stop",
    "exec-exit": "enter:exit_code",
}
"""Module and function, loaded when first asked for: a `Verb`."""
BACKLOG = 128
FIRST_GIVEN_FD = 3
"""As sd_listen_fds has it."""
FIRST_LINE_TIMEOUT_S = 10.0
SAID = frozenset({"argv", "prompt", "text", "key", "passphrase"})
"""Arguments that hold a person's own words or secrets, or a command with whatever is in it."""
ACCEPT_PAUSE_S = 0.2


def listen(path: str) -> socket.socket:
    """Bind the socket in our own 0700 folder; the lock says no other daemon lives.

    Raises ConfigError when the folder is not ours.
    """
    paths.ensure_private(os.path.dirname(path))  # noqa: PTH120 - paths.py works on strings
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            raise ConfigError(f"{path} is in the way: not a socket")
        Path(path).unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(old)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def is_given() -> bool:
    """Whether a service manager listens, and started this process for who has come."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def given(path: str) -> socket.socket:
    """The socket that it listens on: it stays when this daemon ends. Raises ConfigError."""
    count = os.environ.pop("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if count != "1":
        raise ConfigError(f"the service manager gave {count or 'no'} sockets instead of one")
    os.set_inheritable(FIRST_GIVEN_FD, False)
    sock = socket.socket(fileno=FIRST_GIVEN_FD)
    is_right = (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
    if not is_right or sock.getsockname() != path:
        raise ConfigError("the service manager gave another socket", hint="rumpel system-install")
    sock.listen(BACKLOG)  # and from now on those who connect see who answers
    sock.setblocking(False)
    return sock


def _close(sock: socket.socket) -> None:
    path = Path(sock.getsockname())
    sock.close()
    path.unlink(missing_ok=True)


async def serve(app: App, sock: socket.socket, *, is_kept: bool = False) -> None:
    """Accept until asked to stop; requests that still run are then cancelled.

    `is_kept`: somebody else goes on listening on the socket.
    """
    async with Background() as requests:
        accepting = requests.spawn(_accept(app, sock, requests), "accept")
        await app.stopping.wait()
        ending.bound(asyncio.get_running_loop())
        accepting.cancel()
        await asyncio.sleep(0)
        # Before anybody is told to come again: they must find the next daemon, not this one.
        if is_kept:
            sock.close()
        else:
            _close(sock)


async def _accept(app: App, sock: socket.socket, requests: Background) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            peer, _ = await loop.sock_accept(sock)
        except OSError as error:  # e.g. no descriptor is left; a deaf daemon helps nobody
            log.warning("a connection could not be accepted: %s", error)
            await asyncio.sleep(ACCEPT_PAUSE_S)
            continue
        connection = Connection(peer)
        if connection.peer_uid() not in (None, os.getuid()):
            connection.close()
            continue
        requests.spawn(_serve_one(app, connection), "request")


async def _serve_one(app: App, connection: Connection) -> None:
    async with Background() as helpers:
        pump = helpers.spawn(connection.pump(), "send")
        try:
            await _answer(app, connection, helpers)
            await connection.drain()
        except UsageError as error:
            connection.send(protocol.failure(error.to_json()))
            await connection.drain()
        finally:
            pump.cancel()
            connection.close()


async def _answer(app: App, connection: Connection, helpers: Background) -> None:
    try:
        async with asyncio.timeout(FIRST_LINE_TIMEOUT_S):
            first = await connection.receive()
    except TimeoutError:
        return
    if first is None:
        return
    if protocol.negotiate(protocol.proto_range(first)) is None:
        await _send_away(app, connection)
        return
    client = Client(connection, protocol.Request(first), app.places)
    helpers.spawn(client.controls(), "controls")
    try:
        connection.send(await _run(app, client))
    except loading.Replaced:
        await _send_away(app, connection)


async def _send_away(app: App, connection: Connection) -> None:
    """Who needs another daemon gets one at once when nothing runs: this one ends."""
    is_busy = app.runner.active > 0 or bool(at_work.pods(app))
    connection.send(protocol.outdated(is_busy=is_busy))
    await connection.drain()
    if not is_busy and not app.runner.active:
        app.stopping.set()
        await asyncio.Event().wait()  # they come again as soon as the connection is closed


def _shareable(client: Client) -> dict[str, object]:
    """The request for a crash file, which is for others to read: without what was said in it."""
    args = client.request.args
    return {name: "..." if name in SAID and value else value for name, value in args.items()}


def _tell_of_engine(client: Client) -> None:
    """The daemon keeps to the Docker engine it was started with."""
    wanted, own = client.request.env.get("DOCKER_HOST"), os.environ.get("DOCKER_HOST")
    if wanted and wanted != own and client.request.verb in moved.ABOUT_A_REPOSITORY:
        kept = own or "the default engine"
        client.warn(f"DOCKER_HOST is ignored: the daemon uses {kept} (rumpel daemon restart)")


async def _run(app: App, client: Client) -> dict[str, object]:
    """The error boundary: whatever a verb raises becomes the last line of the request."""
    try:
        await app.until_known()
        _tell_of_engine(client)
        await moved.settle(app, client)
        await replacing.turn(app, client.request)
        verb: Verb = loading.function(VERBS[client.request.verb])
        return await verb(app, client)
    except loading.Replaced:
        raise
    except RumpelError as error:
        failed: RumpelError = error
    except TimeoutError:
        failed = TimedOut(f"{client.request.verb} took too long")
    except Exception as error:  # the one boundary: a bug becomes a crash file, not silence
        log.exception("request %s failed", client.request.verb)
        path = write_crash(error, {"verb": client.request.verb, "args": _shareable(client)})
        failed = Bug(
            f"{client.request.verb} failed because of a bug in rumpel: {type(error).__name__}",
            hint=f"the details are in {path}",
        )
    return protocol.failure(failed.to_json(), warnings=client.warnings)

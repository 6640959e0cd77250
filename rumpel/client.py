"""A connection to the daemon: connect (starting it when none answers), send, receive."""

from __future__ import annotations

import os
import select

from rumpel import paths, protocol
from rumpel.errors import Conflict, HostUnreachable, RumpelError
from rumpel.lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CHUNK_BYTES = 1 << 16
MAX_PASSED_FDS = 4
CONNECT_LIMIT_S = 10.0


class DaemonGone(RumpelError):
    """The daemon closed the connection in the middle of a request."""

    code = "daemon-gone"


class NotRunning(RumpelError):
    """No daemon answers, and none was to be started."""

    code = "not-running"
    exit_code = 3


class Connection:
    """One request's connection. Use as a context manager."""

    __slots__ = ("_lines", "_ready", "descriptors", "path", "sock")

    def __init__(self, sock: socket.socket, path: str) -> None:
        self.sock = sock
        self.path = path
        self.descriptors: list[int] = []
        self._lines = protocol.Lines()
        self._ready: list[dict[str, Any]] = []

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, message: dict[str, object]) -> None:
        try:
            self.sock.sendall(protocol.encode(message))
        except OSError as err:
            raise gone(self.path) from err

    def receive(self) -> dict[str, Any]:
        """The next message, waiting for it. Raises DaemonGone at the end of the stream."""
        while not self._ready:
            self._read()
        return self._ready.pop(0)

    def has_message(self) -> bool:
        """Has a message been read that nobody has received yet?"""
        return bool(self._ready)

    def poll(self, timeout_s: float | None, *others: int, output: int | None = None) -> list[int]:
        """Wait for a message or for one of `others` (descriptors); the descriptors that woke.

        A message that is already here counts as the connection's own descriptor. `output` wakes
        when nobody reads any more what is written there.
        """
        if self._ready:
            return [self.sock.fileno()]
        poller = select.poll()
        for descriptor in (self.sock.fileno(), *others):
            poller.register(descriptor, select.POLLIN)
        if output is not None:
            poller.register(output, 0)
        timeout_ms = None if timeout_s is None else max(0, round(timeout_s * 1000))
        return [descriptor for descriptor, _ in poller.poll(timeout_ms)]

    def peer_pid(self) -> int | None:
        """The daemon's process, as the kernel says; None where it does not say."""
        return _credentials(self.sock)[0]

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()
        self.sock.close()

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self.sock.recvmsg(
                CHUNK_BYTES, socket.CMSG_SPACE(4 * MAX_PASSED_FDS)
            )
        except OSError as err:
            raise gone(self.path) from err
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = len(payload) - len(payload) % 4
                self.descriptors += memoryview(payload[:whole]).cast("i")
        if not data:
            raise gone(self.path)
        self._ready += self._lines.feed(data)


def gone(path: str) -> DaemonGone:
    return DaemonGone(
        "the rumpel daemon stopped while this command waited for it",
        hint="rumpel daemon logs",
        details={"socket": path},
    )


def connect(*, start: bool = True, say: Callable[[str], None] | None = None) -> Connection:
    """A connection to the daemon of this state folder.

    `start`: spawn one when none answers; `say` is told what a longer wait is for.
    Raises NotRunning, HostUnreachable, Conflict (the socket is somebody else's).
    """
    path = paths.socket_path()
    sock = try_connect(path)
    if sock is None:
        if not start:
            raise NotRunning("the rumpel daemon is not running", details={"socket": path})
        from rumpel import autostart

        sock = autostart.start(path, say or (lambda text: None))
    return Connection(sock, path)


def try_connect(path: str) -> socket.socket | None:
    """A connected socket whose other side is ours, or None when nobody listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A hanging daemon with a full backlog must not hang us too.
    sock.settimeout(CONNECT_LIMIT_S)
    try:
        sock.connect(path)
        sock.settimeout(None)
        _check_peer(sock, path)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        sock.close()
        return None
    except PermissionError as err:
        sock.close()
        raise Conflict(
            f"the daemon's socket {path} belongs to somebody else",
            hint="unset RUMPEL_SOCKET and XDG_RUNTIME_DIR, or set them to folders of yours",
        ) from err
    except OSError as err:
        sock.close()
        reason = err.strerror or "it does not answer"
        raise HostUnreachable(f"cannot connect to the daemon at {path}: {reason}") from err
    except RumpelError:
        sock.close()
        raise
    return sock


def _check_peer(sock: socket.socket, path: str) -> None:
    """Requests carry the environment: never send them to another user's process."""
    uid = _credentials(sock)[1]
    if uid not in (None, os.getuid()):
        raise Conflict(f"the process at {path} runs as user {uid}, not as you")


def _credentials(sock: socket.socket) -> tuple[int, int] | tuple[None, None]:
    """Process and user of the other side; none on macOS, where the folder's mode has to do."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None, None
    found = memoryview(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)).cast("i")
    return found[0], found[1]

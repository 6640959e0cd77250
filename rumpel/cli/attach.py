"""Relays a terminal or pipes to a process in a pod, over the stream the daemon passed to us.

The stream is Docker's own: raw bytes with a tty; without one, output comes in frames of an
8-byte header (stream, 0, 0, 0, length as big endian) and payload. Nothing here needs the daemon
until the exit code: the session survives its death.
"""

from __future__ import annotations

import os
import select
import sys

from rumpel import client, protocol, ui
from rumpel.cli.rawmode import RawMode, size
from rumpel.cli.signals import Signals
from rumpel.lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHUNK_BYTES = 1 << 18
MAX_VECTORS = 512
STDIN, STDOUT, STDERR = 0, 1, 2


def attach(connection: client.Connection, message: dict[str, Any]) -> dict[str, Any]:
    """Relay until the process in the pod ends; the daemon's last message with its exit code."""
    stream = socket.socket(fileno=connection.descriptors.pop(0))
    relay = _Relay(connection, stream, has_tty=bool(message.get("tty")))
    try:
        with Signals() as signals, RawMode(STDIN if relay.has_tty else None) as raw:
            relay.output(decoded(message.get("prefix") or ""))
            relay.run(signals, raw)
            if relay.is_cut_off:
                raw.reset_screen()
    finally:
        stream.close()
    return relay.ending(str(message.get("exec") or ""))


class _Relay:
    def __init__(
        self, connection: client.Connection, stream: socket.socket, *, has_tty: bool
    ) -> None:
        self.control: client.Connection | None = connection
        self.stream = stream
        self.has_tty = has_tty
        self.last: dict[str, Any] | None = None
        self.is_cut_off = False
        """Did the daemon go away in the middle?"""
        self._notices: list[str] = []
        self._to_pod = b""
        self._stdin_open = True
        self._frames = Frames()
        self._size = size()

    def run(self, signals: Signals, raw: RawMode) -> None:
        """Until the stream ends. Reads stdin only when the pod took what was read before."""
        while True:
            woke = self._wait(signals)
            if signals.fileno() in woke:
                self._on_signals(signals, raw)
            if self.control is not None and self.control.fileno() in woke:
                self._on_control(self.control)
            if self._to_pod:
                self._send()
            elif STDIN in woke:
                self._read_stdin()
            if self.stream.fileno() in woke and not self._receive():
                return

    def output(self, data: bytes) -> None:
        """Bytes of the stream to where they belong."""
        if not data:
            return
        if self.has_tty:
            _write_all(STDOUT, [memoryview(data)])
            return
        for target, parts in self._frames.feed(data):
            _write_all(target, parts)

    def ending(self, exec_id: str) -> dict[str, Any]:
        """Ask for the exit code; by a new connection when the daemon went away meanwhile."""
        for text in self._notices:
            ui.notice(text)
        if self.last is not None:
            return self.last
        return exit_of(self.control, exec_id)

    def _wait(self, signals: Signals) -> set[int]:
        poller = select.poll()
        poller.register(signals.fileno(), select.POLLIN)
        wanted = select.POLLIN | (select.POLLOUT if self._to_pod else 0)
        poller.register(self.stream.fileno(), wanted)
        if self.control is not None:
            if self.control.has_message():
                return {self.control.fileno()}
            poller.register(self.control.fileno(), select.POLLIN)
        if self._stdin_open and not self._to_pod:
            poller.register(STDIN, select.POLLIN)
        # POLLOUT alone is no reason to receive: that would block.
        ready = ~select.POLLOUT
        return {fd for fd, events in poller.poll() if events & ready}

    def _receive(self) -> bool:
        """False at the end of the stream."""
        try:
            data = self.stream.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self.output(data)
        return bool(data)

    def _read_stdin(self) -> None:
        try:
            self._to_pod = os.read(STDIN, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the terminal went away (EIO), or stdin is write-only
            self._to_pod = b""
        if self._to_pod:
            self._send()
        else:
            self._stdin_open = False
            self._half_close()

    def _send(self) -> None:
        try:
            sent = self.stream.send(self._to_pod, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:  # the process closed its input; its output may still come
            self._stdin_open = False
            self._to_pod = b""
            return
        self._to_pod = self._to_pod[sent:]

    def _half_close(self) -> None:
        try:
            self.stream.shutdown(socket.SHUT_WR)
        except OSError:
            return  # closed from the other side already

    def _on_signals(self, signals: Signals, raw: RawMode) -> None:
        taken = signals.take()
        if taken.continued:
            raw.again()
        if self.has_tty and (taken.resized or taken.continued) and (now := size()) != self._size:
            self._size = now
            if now is not None:
                self._tell({"do": "resize", "rows": now[0], "cols": now[1]})
        for _ in range(taken.interrupts):
            self._tell({"do": "signal", "signal": "INT"})

    def _on_control(self, control: client.Connection) -> None:
        try:
            message = control.receive()
        except client.DaemonGone:
            self.control = None
            self.is_cut_off = True
            return
        if message.get("event") == "notice":
            self._notices.append(str(message.get("text")))  # the screen belongs to the pod now
        elif "event" not in message:
            self.last = message
            self.control = None

    def _tell(self, message: dict[str, object]) -> None:
        if self.control is None:
            return
        try:
            self.control.send(message)
        except client.DaemonGone:
            self.control = None


class Frames:
    """Takes Docker's multiplexed output apart, however it is cut."""

    __slots__ = ("_header", "_left", "_target")

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._target = STDOUT

    def feed(self, data: bytes) -> list[tuple[int, list[memoryview]]]:
        """(descriptor, payloads) in order; neighbours of one descriptor together."""
        view, at, out = memoryview(data), 0, list[tuple[int, list[memoryview]]]()
        while at < len(view):
            if not self._left:
                need = 8 - len(self._header)
                self._header += view[at : at + need]
                at += need
                if len(self._header) < 8:
                    break
                self._target = STDERR if self._header[0] == 2 else STDOUT
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""
                continue
            part = view[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            if out and out[-1][0] == self._target:
                out[-1][1].append(part)
            else:
                out.append((self._target, [part]))
        return out


def decoded(prefix: str) -> bytes:
    """The output that the daemon had read already; mostly none."""
    if not prefix:
        return b""
    from binascii import a2b_base64

    return a2b_base64(prefix)


def exit_of(control: client.Connection | None, exec_id: str) -> dict[str, Any]:
    """The daemon's last message, with the exit code; from a new one when it went away meanwhile."""
    if control is not None:
        try:
            return _asked(control)
        except client.DaemonGone:
            if not exec_id:
                raise
    with client.connect() as connection:
        args = {"exec": exec_id}
        connection.send(protocol.request("exec-exit", args, cwd="/", env={}))
        return _last_of(connection)


def _asked(control: client.Connection) -> dict[str, Any]:
    try:
        control.send({"do": "exit"})
    except client.DaemonGone:
        return _last_of(control)  # it may have been said before the other end was closed
    return _last_of(control)


def _last_of(connection: client.Connection) -> dict[str, Any]:
    while True:
        message = connection.receive()
        if "event" not in message:
            return message
        if message["event"] == "notice":
            ui.notice(str(message.get("text")))


def _write_all(target: int, parts: list[memoryview]) -> None:
    """All of it, whatever the descriptor's mode is (a parent may have made it non-blocking)."""
    sys.stdout.flush() if target == STDOUT else sys.stderr.flush()
    while parts:
        try:
            written = os.writev(target, parts[:MAX_VECTORS])
        except BlockingIOError:
            select.select([], [target], [])
            continue
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts and written:
            parts[0] = parts[0][written:]

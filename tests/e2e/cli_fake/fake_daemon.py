"""A small daemon that speaks the protocol and does what a test scripts, on a real socket."""

from __future__ import annotations

import array
import base64
import contextlib
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rumpel import protocol
from rumpel.errors import RumpelError

Handler = Callable[["Talk"], None]
LIMIT_S = 20.0


class Talk:
    """One client's request, and the means to answer it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(LIMIT_S)
        self._lines = protocol.Lines()
        self._ready: list[dict[str, Any]] = []
        self.raw = self.receive()
        self.request = protocol.Request(self.raw)

    def receive(self) -> dict[str, Any]:
        """The client's next message. Raises EOFError when it left."""
        while not self._ready:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError
            self._ready += self._lines.feed(data)
        return self._ready.pop(0)

    def has_left(self, within_s: float = LIMIT_S) -> bool:
        """Did the client close the connection without another word?"""
        self.sock.settimeout(within_s)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False

    def send(self, message: dict[str, Any]) -> None:
        self.sock.sendall(protocol.encode(message))

    def node(self, node_id: str, state: str, **more: Any) -> None:
        self.send(protocol.node(node_id, state, title=more.pop("title", node_id), **more))

    def result(self, data: object, **more: Any) -> None:
        self.send(protocol.result(data, **more))

    def fail(self, error: RumpelError, data: object = None) -> None:
        self.send(protocol.failure(error.to_json(), data=data))

    def attach(self, stream: socket.socket, *, tty: bool, prefix: bytes = b"") -> None:
        """Pass `stream` to the client and forget it."""
        line = protocol.attach("e1", tty=tty, prefix=base64.b64encode(prefix).decode())
        rights = array.array("i", [stream.fileno()])
        self.sock.sendmsg([protocol.encode(line)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        stream.close()

    def exec_plain(self, argv: Sequence[str]) -> list[dict[str, Any]]:
        """Run argv as Docker would without a tty; the messages the client sent meanwhile."""
        ours, theirs = socket.socketpair()
        self.attach(theirs, tty=False)
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        messages: list[dict[str, Any]] = []
        pumps = [
            threading.Thread(target=_pump_out, args=(ours, 1, process.stdout)),
            threading.Thread(target=_pump_out, args=(ours, 2, process.stderr)),
        ]
        stdin = threading.Thread(target=_pump_in, args=(ours, process.stdin), daemon=True)
        for thread in (*pumps, stdin):
            thread.start()
        for thread in pumps:
            thread.join(LIMIT_S)
        code = process.wait(LIMIT_S)
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)
        stdin.join(LIMIT_S)
        ours.close()
        while not messages or messages[-1]["do"] != "exit":
            messages.append(self.receive())
        self.result({"exit_code": code})
        return messages

    def exec_tty(self, argv: Sequence[str]) -> list[dict[str, Any]]:
        """Run argv on a pseudo terminal behind a raw stream."""
        import pty

        ours, theirs = socket.socketpair()
        pid, master = pty.fork()
        if pid == 0:
            os.execvp(argv[0], list(argv))
        self.attach(theirs, tty=True)
        try:
            messages = _relay_tty(self, ours, master)
        finally:
            ours.close()
            os.close(master)  # hangs up on what still runs
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        while not messages or messages[-1]["do"] != "exit":
            messages.append(self.receive())
        self.result({"exit_code": code})
        return messages


class FakeDaemon:
    """Serves `handlers[verb]` in threads until it is left. Errors of handlers fail the test."""

    def __init__(self, path: Path, **handlers: Handler) -> None:
        self.path = path
        self.handlers = {name.replace("_", "-"): handler for name, handler in handlers.items()}
        self.requests: list[dict[str, Any]] = []
        self.problems: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(50)
        self._stop_r, self._stop_w = os.pipe()
        self._acceptor = threading.Thread(target=self._accept)

    def __enter__(self) -> FakeDaemon:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
        if kind is None and self.problems:
            raise self.problems[0]

    def close(self) -> None:
        """Idempotent."""
        if self._server.fileno() < 0:
            return
        os.write(self._stop_w, b"!")
        self._acceptor.join()
        self._server.close()
        self.path.unlink(missing_ok=True)
        for thread in self._threads:
            thread.join(LIMIT_S)
        os.close(self._stop_r)
        os.close(self._stop_w)

    def _accept(self) -> None:
        while True:
            ready = select.select([self._server.fileno(), self._stop_r], [], [])[0]
            if self._stop_r in ready:
                return
            sock, _ = self._server.accept()
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                talk = Talk(sock)
                self.requests.append(talk.raw)
                self.handlers[talk.request.verb](talk)
            except EOFError:
                return
            except BaseException as err:  # noqa: BLE001 - shown by the test that owns us
                self.problems.append(err)


def _pump_out(stream: socket.socket, kind: int, pipe: Any) -> None:
    with pipe, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client left
        while data := pipe.read1(1 << 15):
            stream.sendall(bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)


def _pump_in(stream: socket.socket, pipe: Any) -> None:
    try:
        with pipe:
            while data := stream.recv(1 << 16):
                pipe.write(data)
                pipe.flush()
    except OSError:
        return


def _relay_tty(talk: Talk, stream: socket.socket, master: int) -> list[dict[str, Any]]:
    """Until the process on the terminal ends (EIO). Raises EOFError when the client left."""
    messages: list[dict[str, Any]] = []
    while True:
        sources = [stream.fileno(), master, talk.sock.fileno()]
        for ready in select.select(sources, [], [], LIMIT_S)[0]:
            if ready == stream.fileno():
                data = stream.recv(1 << 16)
                if not data:
                    raise EOFError
                os.write(master, data)
            elif ready == talk.sock.fileno():
                messages.append(talk.receive())
            else:
                try:
                    data = os.read(master, 1 << 16)
                except OSError:
                    return messages
                stream.sendall(data)

"""A real engine behind a socket of ours that tells the truth until it is told to lie."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.far_engine import FarEngine

Lie = Callable[[], Iterator[bytes]]
"""All that is answered, without an end or with one; then the connection is closed."""
HEAD_BYTES = 65_536


class LyingEngine:
    """`folder` and `engine` as a `FarEngine` has them, so that an `Sshd` can lead to it."""

    def __init__(self, truth: FarEngine) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rf-", dir="/tmp"))
        self.engine = truth.engine
        self.told = 0
        """How often it lied."""
        self._truth = truth
        self._lie: tuple[re.Pattern[str], Lie] | None = None
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.folder / "docker.sock"))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def lies(self, request: str, lie: Lie) -> Iterator[None]:
        """To requests whose first line has `request` in it (a regular expression)."""
        self.told, self._lie = 0, (re.compile(request), lie)
        try:
            yield
        finally:
            self._lie = None

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(HEAD_BYTES)
                if not piece:
                    return
                head += piece
            line = head.partition(b"\r\n")[0].decode("latin-1")
            if self._lie is not None and self._lie[0].search(line):
                self.told += 1
                for piece in self._lie[1]():
                    client.sendall(piece)
                return
            if b"\r\nUpgrade:" not in head:  # so that there is one request to a connection
                head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(str(self._truth.socket))
                engine.sendall(head)
                up = threading.Thread(target=_pass, args=(client, engine), daemon=True)
                up.start()
                _pass(engine, client)
                client.shutdown(socket.SHUT_RDWR)
                up.join()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

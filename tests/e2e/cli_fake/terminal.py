"""A person at a terminal: rumpel on a pseudo terminal, what they type and what they see."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pexpect
import pyte

from tests.support.home import Home, program

LIMIT_S = 15


class Terminal:
    """Screen of 24 x 80. `expect` waits for text; `screen` is what is visible now."""

    def __init__(
        self, home: Home, *args: str, cwd: Path, argv: list[str] | None = None, **env: str
    ) -> None:
        command, *rest = argv if argv is not None else [*program(), *args]
        self.child: Any = pexpect.spawn(
            command,
            rest,
            cwd=str(cwd),
            env=home.environment({"TERM": "xterm-256color", "NO_COLOR": None, **env}),
            dimensions=(24, 80),
            timeout=LIMIT_S,
        )
        home.terminals.append(self.child)
        self.raw = b""
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)

    def read(self, for_s: float) -> None:
        """Take in what is printed during `for_s`."""
        deadline = time.monotonic() + for_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._take(self.child.read_nonblocking(4096, timeout=left))
            except pexpect.TIMEOUT:
                return
            except pexpect.EOF:
                return

    def wait_for(self, words: str) -> None:
        """Until `words` are on the screen. Raises AssertionError with the screen."""
        deadline = time.monotonic() + LIMIT_S
        while words not in self.screen:
            if time.monotonic() > deadline or not self._read_some():
                if words in self.screen:
                    return
                raise AssertionError(f"{words!r} is not on the screen:\n{self.screen}")

    def end(self) -> int:
        """Wait for the end; the exit code (128 + signal for a killed one)."""
        while self._read_some():
            pass
        self.child.close()
        code: int | None = self.child.exitstatus
        return 128 + self.child.signalstatus if code is None else code

    def type(self, keys: str) -> None:
        self.child.send(keys)

    @property
    def screen(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def _read_some(self) -> bool:
        try:
            self._take(self.child.read_nonblocking(4096, timeout=LIMIT_S))
        except (pexpect.EOF, pexpect.TIMEOUT):
            return False
        return True

    def _take(self, data: bytes) -> None:
        self.raw += data
        self._stream.feed(data)

"""Signals that wait: while a message is sent or taken, Ctrl-C and the alarm tear nothing apart."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

HELD = (signal.SIGALRM, signal.SIGINT)


class Held:
    """A context manager: a signal that came while it was entered counts when it is left, as if it
    came then, unless something is raised already. `fileno` is readable once one has come.
    """

    def __init__(self) -> None:
        self.came: list[int] = []
        self._before: dict[int, Any] = {}
        self._read_fd = self._write_fd = -1

    def __enter__(self) -> Held:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        os.set_blocking(self._read_fd, False)
        for number in HELD:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as below nohup
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        finally:
            os.close(self._read_fd)
            os.close(self._write_fd)
        for number in HELD:
            if number in self.came and raised is None:
                signal.raise_signal(number)

    def fileno(self) -> int:
        return self._read_fd

    def drain(self) -> None:
        """`fileno` is readable again at the next one."""
        try:
            os.read(self._read_fd, 64)
        except BlockingIOError:
            return

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came.append(number)
        try:
            os.write(self._write_fd, b"!")
        except BlockingIOError:
            return

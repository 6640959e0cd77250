"""Signals during an attached session, as a descriptor that can be polled."""

from __future__ import annotations

import os

from rumpel.errors import Interrupted
from rumpel.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

LEAVE_AFTER_INTERRUPTS = 2
"""Ctrl-C goes to the command in the pod; one that ignores it must not keep us."""


class Taken:
    __slots__ = ("continued", "interrupts", "resized")

    def __init__(self) -> None:
        self.resized = self.continued = False
        self.interrupts = 0


class Signals:
    """Context manager. `take()` raises Interrupted for TERM, HUP and the second Ctrl-C."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._interrupts = 0
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        wanted = (signal.SIGWINCH, signal.SIGCONT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._note) for number in wanted}

    def __enter__(self) -> Signals:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def fileno(self) -> int:
        return self._read_fd

    def take(self) -> Taken:
        self._drain()
        numbers, self._numbers = self._numbers, []
        taken = Taken()
        for number in numbers:
            if number == signal.SIGWINCH:
                taken.resized = True
            elif number == signal.SIGCONT:
                taken.continued = True
            elif number == signal.SIGINT:
                taken.interrupts += 1
            else:
                raise _ended(number)
        self._interrupts += taken.interrupts
        if self._interrupts >= LEAVE_AFTER_INTERRUPTS:
            raise _ended(signal.SIGINT)
        return taken

    def _drain(self) -> None:
        try:
            os.read(self._read_fd, 4096)
        except BlockingIOError:
            return

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._numbers.append(number)
        try:
            os.write(self._write_fd, b"!")
        except BlockingIOError:
            return  # full: the loop wakes anyway


def _ended(number: int) -> Interrupted:
    problem = Interrupted(f"ended by signal {number}")
    problem.exit_code = 128 + number
    return problem

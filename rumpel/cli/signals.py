"""Signals during an attached session, as a descriptor that can be polled."""

from __future__ import annotations

import os

from rumpel.errors import Interrupted
from rumpel.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

LEAVE_AFTER_INTERRUPTS = 2
"""Ctrl-C goes to the command in the pod; one that ignores it must not keep us."""


class Noted:
    """Signals are noted instead of acted on; `fileno` is readable once one has come. `close` it."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.came: list[int] = []
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._before = {number: signal.signal(number, self._note) for number in numbers}

    def fileno(self) -> int:
        return self._read_fd

    def drain(self) -> None:
        """`fileno` is readable again at the next one."""
        try:
            os.read(self._read_fd, 4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """From here on they do what they did before."""
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        finally:
            for descriptor in (self._read_fd, self._write_fd):
                os.close(descriptor)
            self._write_fd = -1

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came.append(number)
        try:
            os.write(self._write_fd, b"!")
        except OSError:
            return  # full: the loop wakes anyway; or closed this moment


class Taken:
    __slots__ = ("continued", "interrupts", "resized")

    def __init__(self) -> None:
        self.resized = self.continued = False
        self.interrupts = 0


class Signals(Noted):
    """Context manager. `take()` raises Interrupted for TERM, HUP and the second Ctrl-C."""

    def __init__(self) -> None:
        self._interrupts = 0
        super().__init__(
            (signal.SIGWINCH, signal.SIGCONT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        )

    def __enter__(self) -> Signals:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> Taken:
        self.drain()
        numbers, self.came = self.came, []
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


def _ended(number: int) -> Interrupted:
    problem = Interrupted(f"ended by signal {number}")
    problem.exit_code = 128 + number
    return problem

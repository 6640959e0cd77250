"""Ctrl-C while the daemon works: once leaves the work to it, twice cancels and rolls back."""

from __future__ import annotations

import os
import time

from rumpel.errors import Interrupted
from rumpel.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from rumpel.cli.progress import Progress
    from rumpel.client import Connection

SECOND_PRESS_S = 2.0
"""How long after the first Ctrl-C a second one still cancels."""


class Interrupts:
    """Counts Ctrl-C and turns it into messages, once it is activated (until then Ctrl-C just
    ends us). A context manager: restores the handlers."""

    def __init__(self, look: str, *, cancels: bool = False) -> None:
        """`cancels`: the first one does already, and so does a polite request to end: what runs
        here is one command's, as it looks to who started it.
        """
        self.look = look
        self.cancels = cancels
        self.presses = 0
        self.ended_by: int | None = None
        self._acted = 0
        self._leave_at: float | None = None
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._before: dict[int, Any] = {}

    def activate(self) -> None:
        """From now on there is work that can be left or cancelled."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._note)

    def suspend(self) -> None:
        """Signals do again what they did before, e.g. while a question is asked."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __enter__(self) -> Interrupts:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the signals back for good, e.g. to a terminal session. Idempotent."""
        self.suspend()
        for descriptor in (self._read_fd, self._write_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._read_fd = self._write_fd = -1

    def fileno(self) -> int:
        return self._read_fd

    def shorten(self, timeout_s: float | None) -> float | None:
        """A waiting time that does not pass the moment of leaving."""
        if self._leave_at is None:
            return timeout_s
        left = max(0.0, self._leave_at - time.monotonic())
        return left if timeout_s is None else min(left, timeout_s)

    def act(self, connection: Connection, shown: Callable[[], Progress]) -> None:
        """Do what the presses so far ask for. Raises Interrupted when it is time to leave."""
        self._drain()
        if self.ended_by is not None:
            connection.send({"do": "detach"})
            problem = Interrupted(f"stopped by signal {self.ended_by}; the work goes on")
            problem.exit_code = 128 + self.ended_by
            raise problem
        while self._acted < self.presses:
            self._acted += 1
            self._press(self._acted + self.cancels, connection, shown())
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            connection.send({"do": "detach"})
            raise Interrupted("left; the work goes on in the background", hint=self.look)

    def _press(self, number: int, connection: Connection, progress: Progress) -> None:
        if number == 1:
            self._leave_at = time.monotonic() + SECOND_PRESS_S
            progress.say(
                "leaving this to the background; press Ctrl-C again now to cancel and roll back"
            )
        elif number == 2:
            self._leave_at = None
            connection.send({"do": "cancel"})
            what = "ending the agent" if self.cancels else "cancelling and rolling back"
            progress.say(f"{what}; press Ctrl-C again to not wait for it")
        else:
            raise Interrupted("left while the daemon rolls back", hint=self.look)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT or (number == signal.SIGTERM and self.cancels):
            self.presses += 1
        else:
            self.ended_by = number
        try:
            os.write(self._write_fd, b"!")
        except BlockingIOError:
            return  # full: the loop wakes anyway

    def _drain(self) -> None:
        import select

        if select.select([self._read_fd], [], [], 0)[0]:
            os.read(self._read_fd, 4096)

"""Signals that wait: while a message is sent or taken, Ctrl-C and the alarm tear nothing apart."""

from __future__ import annotations

from rumpel.cli.signals import Noted
from rumpel.lean import signal

HELD = (signal.SIGINT, signal.SIGALRM)


class Held(Noted):
    """A context manager: a signal that came while it was entered counts when it is left, as if it
    came then, unless something is raised already.
    """

    def __init__(self) -> None:
        # What is ignored, as below nohup, stays so.
        super().__init__(one for one in HELD if signal.getsignal(one) != signal.SIG_IGN)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        self.close()
        for number in reversed(HELD):  # the time being over goes before Ctrl-C
            if number in self.came and raised is None:
                signal.raise_signal(number)

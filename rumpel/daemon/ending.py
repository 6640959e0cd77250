"""A daemon that was told to end has ended within a minute and a half, whatever it waits for.

Its lock keeps the next one out until then. What was under way is in the journal, so that an end
by force costs the undo, and who runs for it on this machine is told to end; where it hung is in a
crash file.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import io
import os
import signal
import tempfile
import threading
import traceback
from typing import NoReturn

from rumpel.adapters import proc
from rumpel.log import write_crash

END_S = 85.0
"""Undoing fifty creates takes ten seconds, and to renew a sign-in, which must not be cut between
question and answer, most of this at worst. systemd waits for 90 s."""
LAST_S = 3.0
"""For the crash file, and for who was told to end."""
EXIT_CODE = 70
"""EX_SOFTWARE: a service manager sees that it was no clean end."""


class NotEnded(Exception):
    """Never raised: for the crash file."""


def bound(loop: asyncio.AbstractEventLoop, within_s: float = END_S) -> None:
    """Call it when the end begins. A thread of its own: the loop may be what hangs.

    Where even that thread gets nowhere, a timer that needs nothing of Python's ends the process.
    """
    with contextlib.suppress(RuntimeError, OSError, ValueError):  # no stderr to write to
        faulthandler.dump_traceback_later(within_s + LAST_S, exit=True)
    timer = threading.Timer(within_s, _give_up, (loop, within_s))
    timer.daemon = True
    timer.start()


def _give_up(loop: asyncio.AbstractEventLoop, within_s: float) -> NoReturn:
    try:
        proc.tell_all(signal.SIGTERM)
        error = NotEnded(f"the daemon did not end within {within_s:g} s")
        error.add_note(f"{_tasks(loop)}\n{_threads()}")
        write_crash(error, {"what": "an end by force"})
    finally:
        os._exit(EXIT_CODE)


def _tasks(loop: asyncio.AbstractEventLoop) -> str:
    told = io.StringIO()
    try:
        for task in asyncio.all_tasks(loop):
            task.print_stack(file=told)
    except RuntimeError:  # the loop may go on meanwhile
        traceback.print_exc(file=told)
    return told.getvalue()


def _threads() -> str:
    """faulthandler writes to descriptors only, and a pipe that nobody reads has an end."""
    with tempfile.TemporaryFile() as told:
        faulthandler.dump_traceback(told.fileno(), all_threads=True)
        told.seek(0)
        return told.read().decode("utf-8", "replace")

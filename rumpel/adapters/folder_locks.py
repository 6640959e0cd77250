"""Locks that are folders, as `proper-lockfile` makes them, by whose rules agents' programs go.

Who holds one sets its time anew; one that is too old was left, and anybody takes it. So a holder
asks before a step that must not be done twice whether the locks are still theirs, and removes none
that is not.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rumpel.errors import ConfigError, TimedOut

WAIT_S = 30.0
STALE_S = 60.0
"""So old a lock was left by one that is gone; it is younger than that as long as it is held."""
TOUCH_S = 5.0
POLL_S = 0.2


class Held:
    """Locks that were made here; they are kept young until they are let go."""

    def __init__(self) -> None:
        self._marks: dict[Path, tuple[int, int]] = {}
        self._mutex = threading.Lock()

    def add(self, path: Path) -> None:
        with self._mutex:
            self._marks[path] = _mark(path)

    def is_ours(self) -> bool:
        with self._mutex:
            return all(self._is_same(path) for path in self._marks)

    def touch(self) -> None:
        with self._mutex:
            for path in self._marks:
                with contextlib.suppress(OSError):
                    if self._is_same(path):
                        os.utime(path)
                        self._marks[path] = _mark(path)

    def remove(self) -> None:
        with self._mutex:
            for path in reversed(self._marks):
                with contextlib.suppress(OSError):
                    if self._is_same(path):
                        path.rmdir()

    def _is_same(self, path: Path) -> bool:
        try:
            return _mark(path) == self._marks[path]
        except OSError:
            return False


def _mark(path: Path) -> tuple[int, int]:
    info = path.lstat()
    return info.st_ino, info.st_mtime_ns  # an inode alone may be that of the next one


@contextlib.contextmanager
def taken(locks: list[str], wait_s: float = WAIT_S, stale_s: float = STALE_S) -> Iterator[Held]:
    """All of them, in turn; the first has to be had, the others where they can be made.

    Raises ConfigError, or TimedOut when somebody holds one.
    """
    held, is_done = Held(), threading.Event()
    deadline = time.monotonic() + wait_s

    def keep() -> None:
        while not is_done.wait(TOUCH_S):
            held.touch()

    keeper = threading.Thread(target=keep, name="locks of a sign-in", daemon=True)
    keeper.start()
    try:
        for number, path in enumerate(map(Path, locks)):
            if _taken(path, deadline, stale_s, is_needed=number == 0):
                held.add(path)
        yield held
    finally:
        is_done.set()
        keeper.join()
        held.remove()


def _taken(path: Path, deadline: float, stale_s: float, *, is_needed: bool) -> bool:
    while True:
        try:
            path.mkdir(0o700)
        except FileExistsError:
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > stale_s:
                    path.rmdir()
                    continue
        except OSError as error:
            if is_needed:
                raise ConfigError(f"{path} cannot be made: {error.strerror}") from error
            return False
        else:
            return True
        if time.monotonic() > deadline:
            raise TimedOut(f"somebody else renews this sign-in, by {path}")
        time.sleep(POLL_S)

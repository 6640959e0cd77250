"""Tells when files below some folders change: inotify on Linux, a look each second elsewhere.

Hints only: several changes come as one, and a watcher that cannot keep up says "changed".
Source: inotify(7).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from rumpel.adapters import threads

IN_CLOEXEC, IN_NONBLOCK = 0o2000000, 0o4000
IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF = 0x100, 0x200, 0x400, 0x800
MASK = IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF
MASK |= IN_MODIFY

SETTLE_S = 0.02
"""Git writes several files for one change: a moment's wait turns them into one event."""
POLL_S = 1.0
MAX_FOLDERS = 2000
"""A repository with more branch folders than this is looked at each second instead."""


class Watcher:
    """Owns one inotify descriptor. `roots` are watched with their subfolders, `flat` without.

    To make one is blocking.
    """

    def __init__(self, *, roots: Iterable[str], flat: Iterable[str] = ()) -> None:
        self._roots, self._flat = tuple(roots), tuple(flat)
        self._fd = _inotify_init()
        self._is_complete = self._fd >= 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._add_all()

    async def changes(self, look_every_s: float) -> AsyncIterator[bool]:
        """Yields after each settled change (True), and after `look_every_s` without one (False)."""
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        if self._fd >= 0:
            self._loop = loop
            loop.add_reader(self._fd, self._read, woken.set)
        try:
            while True:
                wait_s = look_every_s if self._is_complete else POLL_S
                try:
                    async with asyncio.timeout(wait_s):
                        await woken.wait()
                except TimeoutError:
                    yield False
                    continue
                await asyncio.sleep(SETTLE_S)
                woken.clear()
                await threads.call(self._add_all)
                yield True
        finally:
            self._forget()

    def close(self) -> None:
        """Also while somebody is at an event of `changes`, which then is never resumed."""
        self._forget()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _forget(self) -> None:
        """The loop takes a closed descriptor for the next one of that number, and never looks."""
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
            self._loop = None

    def _read(self, wake: Callable[[], None]) -> None:
        try:
            os.read(self._fd, 64 << 10)
        except BlockingIOError:
            return
        wake()

    def _add_all(self) -> None:
        """Adding a folder twice is free: the kernel keeps one watch per folder."""
        if self._fd < 0:
            return
        folders = [*self._flat]
        for root in self._roots:
            folders += [str(root), *_subfolders(Path(root))]
        self._is_complete = len(folders) <= MAX_FOLDERS
        for folder in folders[:MAX_FOLDERS]:
            if _inotify_add(self._fd, folder) < 0 and Path(folder).exists():
                self._is_complete = False


def _subfolders(root: Path) -> list[str]:
    return [
        os.path.join(folder, name)  # noqa: PTH118 - os.walk gives strings
        for folder, names, _ in os.walk(root)
        for name in names
    ][: MAX_FOLDERS + 1]


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _inotify_init() -> int:
    libc = _libc()
    return -1 if libc is None else int(libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK))


def _inotify_add(fd: int, folder: str) -> int:
    libc = _libc()
    return -1 if libc is None else int(libc.inotify_add_watch(fd, os.fsencode(folder), MASK))

"""Which processes a test left behind: those whose environment or command names its folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    command: str


def running() -> frozenset[int]:
    """Ids of all processes (Linux only: empty elsewhere)."""
    try:
        names = os.listdir(PROC)  # noqa: PTH208 - three times a test: paths of 300 take 9 ms
    except FileNotFoundError:
        return frozenset()
    return frozenset(int(name) for name in names if name.isdigit())


def mentioning(folder: Path, *, older: frozenset[int] = frozenset()) -> list[Process]:
    """Living processes started with `folder` in their environment or arguments.

    The folder's name is unique to a test, so this finds a daemon, its children and stray
    clients without trusting any of them to say where they are. `older` are not looked at: they
    ran before the folder was made (reading 200 environments takes 5 ms).
    """
    needle = os.fsencode(folder)
    found = []
    for pid in running() - older - {os.getpid()}:
        try:
            command = (PROC / f"{pid}/cmdline").read_bytes()
            text = command + (PROC / f"{pid}/environ").read_bytes()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        # A zombie has neither; it is its parent's to reap.
        if needle in text:
            found.append(Process(pid, _readable(command)))
    return found


def wait_until_gone(folder: Path, older: frozenset[int], timeout_s: float) -> list[Process]:
    """Those of `mentioning` still there when `timeout_s` is over."""
    deadline = time.monotonic() + timeout_s
    while (left := mentioning(folder, older=older)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def kill(processes: Iterable[Process]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def listens(path: Path) -> bool:
    """Does anybody, a dying process included, accept connections there?"""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def rss_bytes(pid: int) -> int:
    """Resident memory, for tests of what an idle daemon costs."""
    pages = int((PROC / f"{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _readable(command: bytes) -> str:
    return command.replace(b"\0", b" ").decode(errors="replace").strip()[:200]

"""How much disk and memory an engine's machine has left, as far as it can be known.

On this machine the kernel is asked. Elsewhere a container of ours there is: its root lies on the
disk of the images and containers, and its /proc/meminfo is the machine's. Engine API: `/info` has
only how much memory there is in all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rumpel.adapters import threads
from rumpel.errors import RumpelError

if TYPE_CHECKING:
    from rumpel.adapters.docker_api import DockerHost

LOOK = "df -Pk / && grep MemAvailable /proc/meminfo"
TIMEOUT_S = 10.0
MAX_BYTES = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes; None where nobody could tell."""

    disk: int | None = None
    memory: int | None = None


async def of(host: DockerHost, container: str | None) -> Room:
    """`container`: a running one of ours there, to look from. Never raises for what it says."""
    here = await threads.call(_here, host.info.root_dir, host.info.memory_bytes)
    if here is not None and host.url.startswith("unix:"):
        return here
    if container is None:
        return Room()
    try:
        done = await host.exec_run(
            container, ["sh", "-c", LOOK], timeout_s=TIMEOUT_S, max_output_bytes=MAX_BYTES
        )
    except RumpelError:
        return Room()
    return parsed(done.stdout.decode("utf-8", "replace"))


def parsed(text: str) -> Room:
    """What LOOK prints."""
    disk = memory = None
    for words in (line.split() for line in text.splitlines()):
        if len(words) >= 6 and words[5] == "/" and words[3].isdigit():
            disk = int(words[3]) << 10
        if len(words) == 3 and words[0] == "MemAvailable:" and words[1].isdigit():
            memory = int(words[1]) << 10
    return Room(disk=disk, memory=memory)


def _here(root: str, memory_bytes: int) -> Room | None:
    """None when that engine is another machine's: its socket may be here all the same."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            said = {words[0]: int(words[1]) << 10 for words in map(str.split, lines)}
        disk = os.statvfs(root or "/nowhere")
    except (OSError, ValueError, IndexError):
        return None
    if said.get("MemTotal:") != memory_bytes:
        return None
    return Room(disk=disk.f_bavail * disk.f_frsize, memory=said.get("MemAvailable:"))

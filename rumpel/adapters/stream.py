"""A two-way byte stream to a process somewhere else: an exec, an attached container, a local child.

What carries git, terminals and the control link of a pod. Output comes tagged with the file
descriptor it was written to, because Docker multiplexes both over one connection.
"""

from __future__ import annotations

from typing import Final, Protocol

STDOUT: Final = 1
STDERR: Final = 2


class Stream(Protocol):
    """One reader and one writer at a time."""

    async def read(self) -> tuple[int, bytes] | None:
        """The next output and where it was written (STDOUT or STDERR); None at the end."""
        ...

    async def write(self, data: bytes, /) -> None:
        """Give `data` to the process; returns when more may be written."""
        ...

    async def write_eof(self) -> None:
        """End the process's input; its output can still be read."""
        ...

    async def close(self) -> None:
        """Let go of the stream, both ways; safe to call twice."""
        ...

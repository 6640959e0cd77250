"""The way to a Docker engine over SSH: one connection a host, made when somebody needs it.

Who talks to the engine dials a unix socket of ours; before each dial the way is looked at and
made again where it was lost (`Endpoint.ready`). So a host that is away costs those who ask for it,
and nobody else. asyncssh takes a fifth of a second to load: only with the first host.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rumpel.adapters import threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_wire import Endpoint
from rumpel.adapters.ssh_name import SshName, parse
from rumpel.errors import HostUnreachable

if TYPE_CHECKING:
    from rumpel.adapters.ssh_link import SshLink

LINK = "rumpel.adapters.ssh_link"
ATTEMPT_S = 60.0
"""By way of some jump hosts."""


def socket_path(folder: Path, name: str, owner: str) -> Path:
    """Short, no longer than the daemon's own; `owner` tells daemons that share a folder apart."""
    mark = hashlib.blake2b(f"{owner}\0{name}".encode(), digest_size=4).hexdigest()
    return folder / f"h{mark}"


async def open_host(name: str, path: Path) -> DockerHost:
    """Connect; the socket will be at `path`, in a folder of ours. Raises HostUnreachable."""
    way = SshWay(parse(name), path)
    try:
        return await DockerHost.open(endpoint=way.endpoint, on_close=way.close)
    except BaseException:
        await way.close()
        raise


class SshWay:
    """At most one link at a time, and at most one attempt to make one."""

    def __init__(self, name: SshName, path: Path) -> None:
        self.name, self.path = name, path
        self.endpoint = Endpoint(name.url, path=str(path), ready=self.ready, losses=self.losses)
        self._link: SshLink | None = None
        self._made = 0
        self._attempt: asyncio.Task[None] | None = None
        self._is_closed = False

    async def ready(self) -> None:
        """Return when the socket leads to the engine. Raises HostUnreachable with the reason.

        A caller that gives up leaves the attempt to the others.
        """
        if self._is_closed:
            raise HostUnreachable(f"the way to {self.name.url} is closed")
        if self._link is not None and self._link.is_open:
            return
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.ensure_future(self._connect())
            self._attempt.add_done_callback(_seen)
        await asyncio.shield(self._attempt)

    def losses(self) -> int:
        is_open = self._link is not None and self._link.is_open
        return self._made - is_open

    async def close(self) -> None:
        self._is_closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait({self._attempt})
        if self._link is not None:
            await self._link.close()

    async def _connect(self) -> None:
        """The link is kept here: whoever asked for it may have given up."""
        old, self._link = self._link, None
        if old is not None:
            await old.close()
        library: Any = await threads.call(importlib.import_module, LINK)
        try:
            async with asyncio.timeout(ATTEMPT_S):
                self._link = await library.connect(self.name, self.path)
                self._made += 1
        except TimeoutError as error:
            raise HostUnreachable(
                f"{self.name.url} did not answer within {ATTEMPT_S:g} s", hint="try ssh by hand"
            ) from error


def _seen(attempt: asyncio.Task[None]) -> None:
    """That it failed is no news when everybody has given up waiting."""
    if not attempt.cancelled():
        attempt.exception()

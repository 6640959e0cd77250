"""The Docker hosts of the daemon: opened when somebody asks, each on its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from rumpel import paths
from rumpel.adapters import docker_context, docker_tls, ssh_host, ssh_name, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_snapshot import HostSnapshot
from rumpel.daemon import background
from rumpel.daemon.background import Background
from rumpel.errors import Conflict, HostUnreachable, RumpelError, UsageError

LOCAL = "local"
LIVE_TIMEOUT_S, BUSY_TIMEOUT_S = 1.5, 30.0
"""Of an engine that says nothing; of one that answers, with much to tell or much to do."""
SSH_LIVE_TIMEOUT_S, SSH_BACKOFF_S = 5.0, 30.0
FIRST_LOOK_S = 1.0
"""How long `list` waits for a host that was never reached yet."""
OnChange = Callable[[str, str, str], None]
"""Host, container id, action."""


class Hosts:
    """`open` and `views` are filled here, and read by everybody."""

    def __init__(self, label: str, background: Background, on_change: OnChange) -> None:
        self.open: dict[str, DockerHost] = {}
        self.views: dict[str, HostSnapshot] = {}
        self.errors: dict[str, RumpelError] = {}
        """Why a host could not be opened, when it was tried last."""
        self._label, self._background, self._on_change = label, background, on_change
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._is_closed = False
        self._viewing: list[asyncio.Task[None]] = []

    async def get(self, name: str) -> DockerHost:
        """The connected host. Raises HostUnreachable with what to do."""
        view = self.views.get(name)
        if view is not None and view.state == "live":
            return view.host
        if view is None:
            await asyncio.shield(self._attempt(name))
            view = self.views[name]
        is_far = ssh_name.is_ssh(view.host.url)
        timeout_s = SSH_LIVE_TIMEOUT_S if is_far else LIVE_TIMEOUT_S
        await view.wait_live(timeout_s, busy_s=BUSY_TIMEOUT_S)
        return view.host

    async def glance(self, names: Iterable[str]) -> None:
        """Reach for those that nobody has tried yet; who is known to be away is not waited for."""
        fresh = [name for name in names if name not in self.views and name not in self.errors]
        if fresh:
            await asyncio.wait([self._attempt(name) for name in fresh], timeout=FIRST_LOOK_S)
            for name in fresh:
                if name not in self.views and name not in self.errors:
                    self.errors[name] = HostUnreachable(f"{name} has not answered yet")
                elif name in self.views:
                    with contextlib.suppress(RumpelError):
                        await self.views[name].wait_live(FIRST_LOOK_S)

    def why(self, name: str) -> str:
        """What keeps a host from being reached; empty when nothing does."""
        view = self.views.get(name)
        if view is None:
            error = self.errors.get(name)
            return f"no connection to {name}" if error is None else error.message
        if view.state == "live":
            return ""
        return view.error.message if view.error else f"no connection to {name}"

    async def close(self) -> None:
        """The views first: one whose connection is closed connects again."""
        self._is_closed = True
        await background.end([*self._opening.values(), *self._viewing])
        for host in self.open.values():
            await host.close()

    def _attempt(self, name: str) -> asyncio.Task[None]:
        """One for all who wait; one that gives up leaves it to the others."""
        found = self._opening.get(name)
        if found is None or found.done():
            found = self._opening[name] = asyncio.ensure_future(self._open(name))
            found.add_done_callback(functools.partial(self._tried, name))
        return found

    def _tried(self, name: str, attempt: asyncio.Task[None]) -> None:
        if attempt.cancelled():
            return
        error = attempt.exception()
        if isinstance(error, RumpelError):
            self.errors[name] = error
        elif error is None:
            self.errors.pop(name, None)

    async def _open(self, name: str) -> None:
        if name in self.views:
            return
        if self._is_closed:
            raise HostUnreachable(f"no connection to {name}: the daemon ends")
        address = docker_context.Address(name, name) if name != LOCAL else await _local()
        url, folder, owner = address.url, Path(paths.runtime_dir()), paths.socket_path()
        if ssh_name.is_ssh(url):
            try:
                ssh_name.parse(url)
            except UsageError as error:  # of DOCKER_HOST or a context, which may be put right
                raise HostUnreachable(error.message, hint=error.hint) from error
            host = await ssh_host.open_host(url, ssh_host.socket_path(folder, url, owner))
        elif address.tls is not None:
            host = await docker_tls.open_host(address, ssh_host.socket_path(folder, url, owner))
        else:
            host = await DockerHost.open()
        other = next((key for key, one in self.open.items() if one.engine_id == host.engine_id), "")
        if other and host.engine_id:
            await host.close()
            raise Conflict(
                f"{name} is the same Docker engine as {other}", hint=f"say --host {other}"
            )
        backoff = {"backoff_s": SSH_BACKOFF_S} if ssh_name.is_ssh(url) else {}
        view = HostSnapshot(host, self._label, **backoff)
        view.on_change(functools.partial(self._on_change, name))
        self.open[name], self.views[name] = host, view
        self._viewing.append(self._background.spawn(view.run(), f"view of {name}"))


async def _local() -> docker_context.Address:
    """The engine that `docker` would use here; that may be far away, too."""
    return await threads.call(docker_context.resolve, os.environ)

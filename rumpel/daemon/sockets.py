"""Sockets in pods that are answered here: the ssh agent, git's questions for passwords.

Each is there only for as long as somebody asked for it and its pod runs; what runs in the pod is
an exec that ends with its stream, so nothing outlives the daemon.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rumpel.adapters import pod_socket
from rumpel.adapters.pod_socket import Carrier, Conversation
from rumpel.errors import HostUnreachable, NotFound, RumpelError
from rumpel.tasks.world import Access

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.pods import Pod

log = logging.getLogger(__name__)

FIRST_RETRY_S, RETRY_MAX_S = 0.5, 60.0
CALM_S = 30.0
"""One that lasted so long has worked: the next failure is the first one again."""

Make = Callable[[], Conversation]


class Socket:
    """One, while it is wanted."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.container_id = ""
        self.path: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.fail(HostUnreachable("the pod was stopped, or replaced, meanwhile"))

    def fail(self, error: RumpelError) -> None:
        """Who waits for it hears why: to be cancelled is for those who were."""
        if not self.path.done():
            self.path.set_exception(error)
            self.path.exception()  # seen, also when nobody waits any more


class Sockets:
    """Of all pods."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._wanted: dict[tuple[str, str], Socket] = {}

    async def serve(self, pod: Pod, name: str, make: Make) -> str:
        """Its path in the pod, once it listens. Raises RumpelError when it cannot be had."""
        access = self._app.access_if_running(pod)
        if access is None:
            raise HostUnreachable(
                f"pod {pod.name!r} does not run", hint=f"rumpel enter {pod.name}   makes it run"
            )
        key = pod.pod_id, name
        socket = self._wanted.get(key)
        if socket is None or socket.container_id != access.container_id:
            if socket is not None:
                socket.end()
            socket = self._wanted[key] = Socket(make)
            self._begin(pod, name, socket, access)
        try:
            return await asyncio.shield(socket.path)
        except RumpelError:
            self._drop(key, socket)
            raise

    def follow(self, pod: Pod, access: Access) -> None:
        """It runs again, perhaps in another container: what was wanted is there, too."""
        for (pod_id, name), socket in list(self._wanted.items()):
            if pod_id == pod.pod_id and socket.container_id != access.container_id:
                socket.end()
                fresh = self._wanted[pod_id, name] = Socket(socket.make)
                self._begin(pod, name, fresh, access)

    def ended(self, container_id: str) -> None:
        """Its container does not run; the next one gets it again."""
        for socket in self._wanted.values():
            if socket.container_id == container_id:
                socket.end()
                socket.container_id = ""

    def end(self, pod_id: str, name: str) -> None:
        socket = self._wanted.pop((pod_id, name), None)
        if socket is not None:
            socket.end()

    def path(self, pod_id: str, name: str) -> str | None:
        """Where it listens now."""
        socket = self._wanted.get((pod_id, name))
        if socket is None or not socket.path.done():
            return None
        return None if socket.path.exception() else socket.path.result()

    def _drop(self, key: tuple[str, str], socket: Socket) -> None:
        socket.end()
        if self._wanted.get(key) is socket:
            del self._wanted[key]

    def _begin(self, pod: Pod, name: str, socket: Socket, access: Access) -> None:
        socket.container_id = access.container_id
        socket.task = self._app.background.spawn(
            self._keep(pod, name, socket, access), f"{name} of {pod.name}"
        )

    async def _keep(self, pod: Pod, name: str, socket: Socket, access: Access) -> None:
        """Again and again, the more rarely the more often it fails: a pod may end it at will."""
        wait_s = FIRST_RETRY_S
        while True:
            began = time.monotonic()
            try:
                await self._once(pod, name, socket, access)
            except NotFound as error:  # no program for it, or no container: none will come
                socket.fail(error)
                return
            except (RumpelError, OSError) as error:
                log.info("%s of pod %s: %s", name, pod.name, error)
                if isinstance(error, RumpelError):
                    socket.fail(error)
            if time.monotonic() - began > CALM_S:
                wait_s = FIRST_RETRY_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _once(self, pod: Pod, name: str, socket: Socket, access: Access) -> None:
        stream = await self._app.world.host(pod.spec.host).exec_stream(
            access.container_id,
            pod_socket.command(name),
            user=access.user,
            cwd="/",
            env={"LC_ALL": "C"},
        )
        uid = await pod_socket.ready(stream)
        if not socket.path.done():
            socket.path.set_result(pod_socket.path(name, uid))
        await Carrier(stream, socket.make).run()

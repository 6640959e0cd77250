"""Local ports of pods: a listener on 127.0.0.1 for each, and a relay for every connection.

Which local port belongs to which port of a pod is written down before anybody is told, and kept
as long as the pod: it is the same after a restart of the pod, of its container or of the daemon.
Implements `tasks.world.Ports`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.port_relay import Carried
from rumpel.cache.store import Store
from rumpel.daemon.background import Background
from rumpel.daemon.relays import Relays
from rumpel.errors import Conflict, RumpelError
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec, PortSpec
from rumpel.tasks.world import Access, Opened, PodAddress

log = logging.getLogger(__name__)

PORTS = "ports"
"""`ports/<pod id>` in the store: key of a port -> its local port."""
LOOPBACK = "127.0.0.1"
ANY = 0
FIRST_FREE = 1024
FROM_LOW = 8000
"""80 appears as 8080, 443 as 8443."""
NEXT = 10
"""So many numbers are tried before any free one is taken."""
MAX_PORT = 65_535
BACKLOG = 128
MAX_CONNECTIONS = 256
"""Of one pod at a time; others wait."""
PATIENCE_S, PAUSE_S = 1.0, 0.05
"""For a port that was ours: an old daemon may be about to end."""


@dataclass(slots=True, kw_only=True)
class Listener:
    """One local port."""

    port: PortSpec
    local: int
    sock: socket.socket
    task: asyncio.Task[None]
    note: str | None
    failure: str | None = None
    """What the last connection failed of."""

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        self.sock.close()  # not before: the event loop still watches it


class PodPorts:
    """What the daemon holds for one running pod."""

    def __init__(self, pod: PodAddress, relays: Relays) -> None:
        self.pod, self.relays = pod, relays
        self.listeners: dict[str, Listener] = {}
        self.connections: set[asyncio.Task[None]] = set()
        self.room = asyncio.Semaphore(MAX_CONNECTIONS)


class PortKeeper:
    """Of all pods."""

    def __init__(
        self,
        *,
        store: Store,
        background: Background,
        idle: asyncio.Event,
        host: Callable[[str], DockerHost],
        image_of: Callable[[str, str], str],
        pod_name: Callable[[str], str | None],
    ) -> None:
        """`image_of`: of a container of a host; `pod_name`: None for an id that is not known."""
        self._store, self._background, self._idle = store, background, idle
        self._host, self._image_of, self._pod_name = host, image_of, pod_name
        self._pods: dict[str, PodPorts] = {}
        self._kinds: dict[str, str] = {}
        self._choosing = asyncio.Lock()
        self._failed: dict[tuple[str, str], str] = {}
        """Why a port of a pod that runs is not open."""

    def local(self, pod_id: str, key: str, container_id: str) -> int | None:
        """Where the port is now; None when it is not open for this container."""
        found = self._pods.get(pod_id)
        if found is None or found.relays.container_id != container_id:
            return None
        listener = found.listeners.get(key)
        return None if listener is None else listener.local

    async def open(self, pod: PodAddress, access: Access, port: PortSpec) -> Opened:
        """Idempotent. Raises Conflict when the local port that has to be had is taken."""
        async with self._choosing:
            state = await self._state(pod, access)
            known = state.listeners.get(port.key)
            if known is not None and port.local in (None, ANY, known.local):
                known.port = port
                return Opened(local=known.local, note=known.note)
            sock, note = await self._bind(pod, port)
            local = int(sock.getsockname()[1])
            try:
                await self._remember(pod.pod_id, {**self.remembered(pod.pod_id), port.key: local})
            except BaseException:
                sock.close()
                raise
            if known is not None:
                await known.close()
            task = self._background.spawn(
                self._accept(state, port.key, sock), f"port {port.key} of {pod.pod}"
            )
            state.listeners[port.key] = Listener(
                port=port, local=local, sock=sock, task=task, note=note
            )
            self._failed.pop((pod.pod_id, port.key), None)
            state.relays.fill()
            return Opened(local=local, note=note)

    async def follow(self, spec: PodSpec, access: Access) -> None:
        """A pod that runs already: all its ports, each for itself."""
        for port in spec.open_ports:
            try:
                opened = await self.open(address(spec), access, port)
            except RumpelError as error:
                self._failed[spec.pod_id, port.key] = error.message
                log.warning("%s", error.message)
                continue
            if opened.note is not None:
                log.warning("%s", opened.note)

    async def retain(self, spec: PodSpec) -> None:
        """What is open for the pod and not wanted any more is closed and forgotten."""
        wanted = {port.key for port in spec.open_ports}
        for key in self.remembered(spec.pod_id):
            if key not in wanted:
                await self._drop(spec.pod_id, key)
                await self._store.forget([f"{node_id('port', spec)}/{key}"])

    async def close(self, pod_id: str) -> None:
        """The pod does not run: nobody is let in, and connections end."""
        state = self._pods.pop(pod_id, None)
        if state is None:
            return
        for listener in state.listeners.values():
            await listener.close()
        for task in state.connections:
            task.cancel()
        await state.relays.close()

    async def _drop(self, pod_id: str, key: str) -> None:
        state = self._pods.get(pod_id)
        if state is not None and key in state.listeners:
            await state.listeners.pop(key).close()
        left = {name: local for name, local in self.remembered(pod_id).items() if name != key}
        await self._remember(pod_id, left)
        if state is not None and not state.listeners:
            await self.close(pod_id)

    async def ended(self, container_id: str) -> None:
        for pod_id, state in list(self._pods.items()):
            if state.relays.container_id == container_id:
                await self.close(pod_id)

    async def close_all(self) -> None:
        for pod_id in list(self._pods):
            await self.close(pod_id)

    def remembered(self, pod_id: str) -> dict[str, int]:
        found: Mapping[str, int] = self._store.kv_get(f"{PORTS}/{pod_id}", {})
        return dict(found)

    def listener(self, pod_id: str, key: str) -> Listener | None:
        state = self._pods.get(pod_id)
        return None if state is None else state.listeners.get(key)

    def why(self, pod_id: str, key: str) -> str | None:
        """Why it is not at the local port one would expect, or at none."""
        listener = self.listener(pod_id, key)
        return self._failed.get((pod_id, key)) if listener is None else listener.note

    def problem(self, pod_id: str) -> str | None:
        """Why nothing gets through to this pod."""
        state = self._pods.get(pod_id)
        return None if state is None else state.relays.problem

    def failure(self, pod_id: str, key: str) -> str | None:
        """What the last connection to it failed of."""
        listener = self.listener(pod_id, key)
        return None if listener is None else listener.failure

    async def ready(self, pod_id: str) -> str | None:
        """Wait until a connection would get through; answers why none does."""
        state = self._pods.get(pod_id)
        return None if state is None else await state.relays.ready()

    # How it works.

    async def _remember(self, pod_id: str, ports: dict[str, int]) -> None:
        if ports != self.remembered(pod_id):
            await self._store.kv_set(f"{PORTS}/{pod_id}", ports or None)

    async def _state(self, pod: PodAddress, access: Access) -> PodPorts:
        state = self._pods.get(pod.pod_id)
        if state is not None and state.relays.container_id != access.container_id:
            await self.close(pod.pod_id)
            state = None
        if state is None:
            relays = Relays(
                background=self._background,
                idle=self._idle,
                host=self._host(pod.host),
                container_id=access.container_id,
                user=access.user,
                image_id=self._image_of(pod.host, access.container_id),
                kinds=self._kinds,
            )
            state = self._pods[pod.pod_id] = PodPorts(pod, relays)
        return state

    async def _bind(self, pod: PodAddress, port: PortSpec) -> tuple[socket.socket, str | None]:
        """A listening socket, and why it is not where one would look for it.

        That pods side by side have different ports is as it should be: nothing to tell.
        """
        ours = self.remembered(pod.pod_id).get(port.key)
        others = self._taken_by_pods(pod.pod_id, port.key)
        why: str | None = None
        is_usual = False
        for number in _candidates(port, ours):
            if number in others:
                is_usual = is_usual or why is None
                why = why or f"local port {number} belongs to {others[number]}"
                continue
            try:
                sock = await _listen(number, patience_s=PATIENCE_S if number == ours else 0.0)
            except OSError as error:
                why = why or f"local port {number} {_reason(error)}"
                continue
            is_told = why is not None and not is_usual
            return sock, f"{why}; {_told(pod, port, sock)}" if is_told else None
        raise Conflict(
            f"port {port.key} of pod {pod.pod!r} cannot be forwarded: {why}",
            hint=f"rumpel forward-port {pod.pod}:{port.key} 0   takes any free local port",
        )

    def _taken_by_pods(self, pod_id: str, key: str) -> dict[int, str]:
        """Local port -> whose it is, also while that pod does not run."""
        found = {}
        for name, ports in self._store.kv.items():
            kind, _, owner = name.partition("/")
            pod = self._pod_name(owner) if kind == PORTS else None
            for other, local in ports.items() if pod is not None else ():
                if (owner, other) != (pod_id, key):
                    found[local] = f"port {other} of pod {pod!r}"
        return found

    async def _accept(self, state: PodPorts, key: str, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await state.room.acquire()
            try:
                conn, _ = await loop.sock_accept(sock)
            except BaseException as error:
                state.room.release()
                if not isinstance(error, OSError) or sock.fileno() < 0:
                    raise
                log.warning("port %s of %s: %s", key, state.pod.pod, error)
                await asyncio.sleep(PAUSE_S)
                continue
            task = self._background.spawn(self._carry(state, key, conn), f"connection to {key}")
            state.connections.add(task)
            task.add_done_callback(state.connections.discard)
            task.add_done_callback(lambda _: state.room.release())

    async def _carry(self, state: PodPorts, key: str, conn: socket.socket) -> None:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener = state.listeners[key]
        try:
            relay = await state.relays.take()
        except BaseException as error:
            conn.close()
            if not isinstance(error, RumpelError):
                raise
            listener.failure = error.message
            return
        carried = Carried(relay, conn)
        try:
            await carried.run(listener.port.host, listener.port.port, state.relays.exit_code)
        finally:
            listener.failure = carried.failure
            await state.relays.put_away(relay)


def _candidates(port: PortSpec, ours: int | None) -> Iterator[int]:
    """Local ports in the order of preference; 0 is any."""
    if port.local:
        yield port.local
        return
    if ours is not None:
        yield ours
    if port.local == ANY:
        yield ANY
        return
    first = port.wish or port.port
    if first < FIRST_FREE and not port.may_be_low:
        first += FROM_LOW
    for number in range(first, min(first + NEXT, MAX_PORT + 1)):
        if number == first or number >= FIRST_FREE:
            yield number
    yield ANY


async def _listen(number: int, *, patience_s: float) -> socket.socket:
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((LOOPBACK, number))
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            is_late = asyncio.get_running_loop().time() >= deadline
            if error.errno != errno.EADDRINUSE or is_late:
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            return sock


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is taken by another program"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "needs more rights than rumpel has"
    return str(error.strerror)


def _told(pod: PodAddress, port: PortSpec, sock: socket.socket) -> str:
    return f"port {port.key} of pod {pod.pod!r} is at {LOOPBACK}:{sock.getsockname()[1]}"

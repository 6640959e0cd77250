"""Relays into one container, a few of them parked: only starting one costs an exec."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import MutableMapping

from rumpel.adapters import port_relay
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_exec import TOKEN_ENV
from rumpel.adapters.port_relay import Relay
from rumpel.daemon.background import Background
from rumpel.errors import HostUnreachable, NotFound, RumpelError, TimedOut

log = logging.getLogger(__name__)

FEWEST, MOST = 2, 8
"""Parked ones: while nobody comes, and after many came at once."""
STARTING = 4
"""At the same time; more would only wait for the engine."""
REST_S = 10.0
"""Without a connection for so long, only a few stay parked."""
LIVELY_S = 60.0
"""So long after a connection parking does not wait for graphs."""
FIRST_RETRY_S, RETRY_MAX_S = 0.5, 60.0
END_WITHIN_S = 2.0
READY_WITHIN_S = 10.0
INSTALL = "install one of perl, python3, socat, nc or bash in the image"


class Relays:
    """Of the container with this id, as its workspace's user."""

    def __init__(
        self,
        *,
        background: Background,
        idle: asyncio.Event,
        host: DockerHost,
        container_id: str,
        user: str,
        image_id: str,
        kinds: MutableMapping[str, str],
    ) -> None:
        """`kinds`: the best program of each image, as far as it is known; added to."""
        self._background, self._idle, self._host = background, idle, host
        self.container_id, self._user = container_id, user
        self._image_id, self._kinds = image_id, kinds
        self._parked: dict[int, tuple[Relay, asyncio.Task[None]]] = {}
        self._wanted = FEWEST
        self._starting = asyncio.Semaphore(STARTING)
        self._filler: asyncio.Task[None] | None = None
        self._used_at = float("-inf")
        self._is_closed = False
        self._is_known = asyncio.Event()
        """Whether there can be any."""
        self.problem: str | None = None
        """Why there can be none."""

    def fill(self) -> None:
        """Park what is missing, in the background."""
        if not self._is_closed and (self._filler is None or self._filler.done()):
            self._filler = self._background.spawn(self._fill(), "park relays")

    async def take(self) -> Relay:
        """A parked one, or one that is started now. Raises RumpelError."""
        self._used_at = time.monotonic()
        while self._parked:
            relay, watch = self._parked.pop(next(iter(self._parked)))
            watch.cancel()
            await asyncio.wait({watch})
            if not relay.has_ended:
                self.fill()
                return relay
            await relay.close()
        self._wanted = min(2 * self._wanted, MOST)
        self.fill()
        async with self._starting:
            return await self._start()

    async def ready(self) -> str | None:
        """Wait a while for a parked one; answers why there is none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_S):
                await self._is_known.wait()
        return self.problem

    async def put_away(self, relay: Relay) -> None:
        """After its connection: nothing of it may stay in the pod."""
        await relay.close()
        if not relay.has_ended and not self._is_closed:
            self._background.spawn(self._make_sure(relay), "end of a relay")

    async def exit_code(self, exec_id: str) -> int:
        return await self._host.exec_exit_code(exec_id, END_WITHIN_S)

    async def close(self) -> None:
        self._is_closed = True
        if self._filler is not None:
            self._filler.cancel()
        await self._shrink(0)

    async def _start(self) -> Relay:
        known = self._kinds.get(self._image_id, "")
        try:
            relay = await self._open(known)
        except HostUnreachable:
            if not known:
                raise
            relay = await self._open("")  # the program that was there is not any more
        self._is_known.set()
        if relay.kind == port_relay.NONE:
            await relay.close()
            self.problem = f"the image has no program that can relay: {INSTALL}"
            raise NotFound(self.problem)
        self.problem = None
        self._kinds[self._image_id] = relay.kind
        return relay

    async def _open(self, kind: str) -> Relay:
        token = secrets.token_hex(8)
        stream = await self._host.exec_stream(
            self.container_id,
            port_relay.command(kind),
            user=self._user,
            cwd="/",
            env={TOKEN_ENV: token, "LC_ALL": "C"},
        )
        return await port_relay.ready(stream, token)

    async def _fill(self) -> None:
        pause_s = FIRST_RETRY_S
        while True:
            if time.monotonic() - self._used_at > LIVELY_S:
                await self._idle.wait()
            if len(self._parked) >= self._wanted:
                if self._wanted == FEWEST:
                    return
                await asyncio.sleep(REST_S)
                if time.monotonic() - self._used_at >= REST_S:
                    self._wanted = FEWEST
                    await self._shrink(FEWEST)
                continue
            try:
                async with self._starting:
                    self._park(await self._start())
                pause_s = FIRST_RETRY_S
            except RumpelError as error:
                log.info("no relay into %s: %s", self.container_id[:12], error.message)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)

    def _park(self, relay: Relay) -> None:
        watch = self._background.spawn(self._watch(relay), "parked relay")
        self._parked[id(relay)] = relay, watch

    async def _watch(self, relay: Relay) -> None:
        """One that ends while it waits is replaced, but not at once: something is wrong there."""
        await relay.wait_ended()
        self._parked.pop(id(relay), None)
        await relay.close()
        await asyncio.sleep(FIRST_RETRY_S)
        self.fill()

    async def _shrink(self, count: int) -> None:
        while len(self._parked) > count:
            relay, watch = self._parked.popitem()[1]
            watch.cancel()
            await relay.close()

    async def _make_sure(self, relay: Relay) -> None:
        """An exec outlives its stream: it was told to end, and is ended if it does not."""
        try:
            await self.exit_code(relay.stream.exec_id)
        except TimedOut:
            await self._host.kill_tree(self.container_id, relay.token, user=self._user)
        except NotFound:
            pass  # with its container

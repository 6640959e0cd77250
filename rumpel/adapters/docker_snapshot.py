"""The warm view of one engine: what probes, plans and `list` read without any API call.

Filled by listing, kept fresh by the engine's event stream. An event is only a hint that an
object changed; what changed is asked (level-triggered), so a lost, repeated or reordered event
does no harm. When the engine is gone the last view stays readable and `state` says `down`: a
reader must answer "unknown" then, never "gone".
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from rumpel.adapters import docker_containers, docker_identity, docker_images, task_group
from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_api import DockerHost
from rumpel.errors import HostUnreachable, RumpelError

State = Literal["connecting", "live", "down"]
OnChange = Callable[[str, str], None]
"""`(container id, action)`: its state in the view differs from before. The action is the engine's
last word on it, or `sync` when it was found by looking; `destroy` when it is gone. With an empty
id it is the engine's own state that changed: `live` or `down`.
"""

HEARTBEAT_S = 10.0
HEARTBEAT_TIMEOUT_S = 5.0
"""A stopped engine keeps its connections open: only silence tells."""
PING_S = 0.4
BACKOFF_S = (0.1, 5.0)
SHORT_STREAM_S = 0.5
"""An event stream that has ended sooner is no stream."""
CREATED_PAUSE_S = 0.3
"""A container is mostly started right after it was created: one look is enough for both."""
RELIST_PAUSE_S = 0.05
"""Between two listings of images or volumes, so that a foreign pull cannot keep us busy."""
OVERLAP_NS = 2 * 10**9
"""Events are asked from a little before now: the engine subscribes after it has answered."""

_CONTAINER_EVENTS = ("create", "start", "die", "destroy", "pause", "unpause", "rename")
_IMAGE_EVENTS = ("tag", "untag", "delete", "pull", "import", "load", "prune", "build", "commit")
_NETWORK_EVENTS = ("connect", "disconnect")
_IMAGES, _VOLUMES = "images", "volumes"


class _Ended(Exception):
    """The event stream is over, and no error said so."""


class HostSnapshot:
    """Owned by whoever runs `run()` in a task group; everything else is free to read it."""

    def __init__(self, host: DockerHost, label: str, *, backoff_s: float = BACKOFF_S[1]) -> None:
        """`label` (`key=value`) is on every container and volume that is ours.

        `backoff_s`: the longest pause between attempts to reach an engine that is away.
        """
        self.host = host
        self.ends_events = host.info.kind == "podman"
        """Its event stream ends now and then, and it is there all the same."""
        self.state: State = "connecting"
        self.error: RumpelError | None = None
        """Why it is down."""
        self.epoch = 0
        """Counts how often the engine was (re)connected."""
        self._label, self._backoff_s = label, backoff_s
        self._key, _, self._value = label.partition("=")
        self._containers: dict[str, types.ContainerState] = {}
        self._images: dict[str, tuple[str, ...]] = {}
        self._tags: dict[str, str] = {}
        self._volumes: dict[str, types.VolumeInfo] = {}
        self._listeners: list[OnChange] = []
        self._changes: list[asyncio.Future[None]] = []
        self._versions: dict[str, int] = {}
        self._actions: dict[str, str] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._hurry = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def containers(self) -> Mapping[str, types.ContainerState]:
        """Ours, by id."""
        return MappingProxyType(self._containers)

    @property
    def images(self) -> Mapping[str, tuple[str, ...]]:
        """All images of the engine: id -> tags."""
        return MappingProxyType(self._images)

    @property
    def volumes(self) -> Mapping[str, types.VolumeInfo]:
        """Ours, by name."""
        return MappingProxyType(self._volumes)

    def image_id(self, ref: str) -> str | None:
        """The id behind a tag or an id; None when it is not there."""
        if ref in self._images:
            return ref
        name = ref if ":" in ref.rpartition("/")[2] else f"{ref}:latest"
        found = self._tags.get(name)
        if (
            found is None and self.host.info.kind == "podman"
        ):  # so it calls what was loaded or built
            found = self._tags.get(f"localhost/{name}")
        return found

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` after each change; it must be quick and must not raise."""
        self._listeners.append(listener)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return once `is_so`, which is asked now and after each change."""
        while not is_so():
            answer = asyncio.get_running_loop().create_future()
            self._changes.append(answer)
            await answer

    async def wait_live(self, timeout_s: float, *, busy_s: float = 0.0) -> None:
        """Return at once when it is live; else try now, whatever the pause, and say how it went.

        Raises HostUnreachable as soon as that one attempt has failed, or after `timeout_s`. One
        that is only slow to tell what there is, and answers a ping, has `busy_s` instead.
        """
        if self.state == "live":
            return
        try:
            await self._attempt(timeout_s)
        except TimeoutError:
            if not busy_s or self.error is not None or not await self.host.ping(PING_S):
                raise self._silent(timeout_s) from None
            try:
                await self._attempt(busy_s)
            except TimeoutError:
                raise self._silent(timeout_s + busy_s) from None

    def _silent(self, waited_s: float) -> RumpelError:
        text = f"Docker at {self.host.url} did not answer within {waited_s:g} s"
        return self.error or HostUnreachable(text)

    async def _attempt(self, timeout_s: float) -> None:
        """Raises TimeoutError, or the HostUnreachable that it ended with."""
        if self.state == "live":
            return
        answer = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                await answer
        finally:
            self._waiting.discard(answer)

    def note(self, detail: types.ContainerDetail) -> None:
        """Take in an inspect that was made anyway: an effect is then seen by the next probe."""
        self._versions[detail.id] = self._versions.get(detail.id, 0) + 1
        self._store(detail.id, detail.state)

    async def refresh(self, container: str) -> types.ContainerState | None:
        """Look at one container now; None when it is gone or not ours."""
        self._versions[container] = self._versions.get(container, 0) + 1
        await self._look(container)
        return self._containers.get(container)

    async def started(self, container: str) -> types.ContainerState | None:
        """What a container is right after a start of ours.

        The event of the start mostly came first, and its look is under way: one inspect, not two.
        """
        look = self._looks.get(container)
        if look is not None:
            await asyncio.wait({look})
            state = self._containers.get(container)
            if state is not None and state.status == "running":
                return state
        return await self.refresh(container)

    async def refresh_images(self) -> None:
        """After a build or a pull of ours: an untagged image makes no event."""
        self._images = await docker_images.images(self.host.http)
        self._tags = {tag: image for image, tags in self._images.items() for tag in tags}

    async def refresh_volumes(self) -> None:
        found = await self.host.volumes(self._label)
        self._volumes = {volume.name: volume for volume in found}

    async def run(self) -> None:
        """Follow the engine until cancelled; reconnects for ever."""
        pause_s = BACKOFF_S[0]
        while True:
            try:
                await self._follow()
            except* RumpelError as group:
                if self.state == "live":
                    pause_s = BACKOFF_S[0]
                self._lost(_first(group))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter
                    await self._hurry.wait()
            pause_s = min(pause_s * 2, self._backoff_s)

    def _lost(self, error: RumpelError) -> None:
        self.error = error
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(error)
        if self.state != "down":
            self.state = "down"
            self._tell("", "down")

    async def _follow(self) -> None:
        """Until it fails. Podman ends its event stream now and then, and is there all the same."""
        self._hurry.clear()
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self._listen_once()
            except* _Ended:
                # Docker's ends with its connection: who asks now has to wait for the next one.
                if not self.ends_events or loop.time() - begun < SHORT_STREAM_S:
                    text = f"Docker at {self.host.url} ended its event stream"
                    raise HostUnreachable(text) from None

    async def _listen_once(self) -> None:
        """One connection. Raises _Ended, or what it failed with, in a group."""
        query = await self._events_query()
        async with task_group.opened() as group:
            async with self.host.http.stream("GET", "/events", query=query) as pieces:
                await self._list_all()
                if self.state != "live":
                    self._begin()
                group.create_task(self._heartbeat())
                await self._listen(pieces, group)
            raise _Ended

    def _begin(self) -> None:
        self.state, self.error = "live", None
        self.epoch += 1
        for answer in self._waiting:
            if not answer.done():
                answer.set_result(None)
        self._tell("", "live")

    async def _events_query(self) -> Mapping[str, object]:
        answer = await self.host.http.request("GET", "/info", timeout_s=HEARTBEAT_TIMEOUT_S)
        info = types.mapping(answer.json(), "engine information")
        found = await docker_identity.ask(self.host.http, self.host.info.kind, info)
        if found != self.host.engine_id:
            raise HostUnreachable(
                f"another Docker engine answers at {self.host.url}",
                details={"expected": self.host.engine_id, "found": found},
            )
        filters = {"type": ["container", "image", "volume"]}
        if self.host.info.kind == "docker":  # podman filters by its own words
            filters["type"].append("network")
            filters["event"] = sorted({*_CONTAINER_EVENTS, *_IMAGE_EVENTS, *_NETWORK_EVENTS})
        since_ns = _nanoseconds(types.text(info, "SystemTime", 64)) - OVERLAP_NS
        since = f"{since_ns // 10**9}.{since_ns % 10**9:09d}"
        return {"filters": filters, "since": since if since_ns > 0 else None}

    async def _list_all(self) -> None:
        found, _, _ = await asyncio.gather(
            docker_containers.states(self.host.http, [self._label]),
            self.refresh_images(),
            self.refresh_volumes(),
        )
        self._versions.clear()
        self._actions.clear()
        for container in self._containers.keys() - {one.id for one in found}:
            self._store(container, None)
        for state in found:
            self._store(state.id, state)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self.host.http.request("GET", "/_ping", timeout_s=HEARTBEAT_TIMEOUT_S)

    async def _listen(self, pieces: AsyncIterator[bytes], group: task_group.TaskGroup) -> None:
        async for message in docker_images.messages(pieces):
            event = types.event(message)
            if event.type == "container":
                if event.id in self._containers or self._is_ours(event.attributes):
                    if event.action == "create":
                        group.create_task(self._look_later(group, event.id))
                    else:
                        self._mark(group, event.id, event.action)
            elif event.type == "network":
                self._network(group, event)
            elif event.type == "image":
                self._mark(group, _IMAGES, event.action)
            elif event.type == "volume" and event.action in ("create", "destroy", "remove"):
                self._mark(group, _VOLUMES, event.action)

    def _network(self, group: task_group.TaskGroup, event: types.Event) -> None:
        """By hand only: each start and stop tells of its networks too, and is looked at anyway."""
        container = event.attributes.get("container", "")
        state = self._containers.get(container)
        if state is None or state.status != "running":
            return
        was_in = event.attributes.get("name") in state.networks
        if was_in == (event.action == "disconnect"):
            # One that ends leaves its networks: then that it ended is the news.
            self._mark(group, container, self._actions.get(container, event.action))

    def _is_ours(self, labels: Mapping[str, str]) -> bool:
        return labels.get(self._key) == self._value

    def _mark(self, group: task_group.TaskGroup, key: str, action: str) -> None:
        """Something happened to `key`: look at it, unless a look is under way and will repeat."""
        self._versions[key] = self._versions.get(key, 0) + 1
        self._actions[key] = action
        if key not in self._looks:
            self._looks[key] = group.create_task(self._settle(key))

    async def _look_later(self, group: task_group.TaskGroup, container: str) -> None:
        await asyncio.sleep(CREATED_PAUSE_S)
        if container not in self._containers:
            self._mark(group, container, "create")

    async def _settle(self, key: str) -> None:
        try:
            if key == _IMAGES:
                await self._relist(key, self.refresh_images)
            elif key == _VOLUMES:
                await self._relist(key, self.refresh_volumes)
            else:
                await self._look(key)
        finally:
            self._looks.pop(key, None)
            self._actions.pop(key, None)

    async def _relist(self, key: str, listing: Callable[[], Awaitable[None]]) -> None:
        seen = -1
        while seen != self._versions.get(key, 0):
            seen = self._versions.get(key, 0)
            await listing()
            await asyncio.sleep(RELIST_PAUSE_S)

    async def _look(self, container: str) -> None:
        """Inspect until nothing happened meanwhile, so that the newest state is the one kept."""
        seen = -1
        while seen != self._versions.get(container, 0):
            seen = self._versions.get(container, 0)
            before = self._containers.get(container)
            started_at = before.started_at if before is not None else ""
            state = await docker_containers.look(self.host.http, container, started_at)
            if state is None:
                self._versions.pop(container, None)
                self._store(container, None)
                return
            self._store(container, state)

    def _store(self, container: str, state: types.ContainerState | None) -> None:
        """Put one state into the view, None for gone, and tell when that changes anything."""
        if state is not None and not self._is_ours(state.labels):
            return
        if self._containers.get(container) == state:
            return
        if state is None:
            del self._containers[container]
            self._tell(container, "destroy")
        else:
            self._containers[container] = state
            self._tell(container, self._actions.get(container, "sync"))

    def _tell(self, container: str, action: str) -> None:
        for listener in self._listeners:
            listener(container, action)
        changes, self._changes = self._changes, []
        for answer in changes:
            if not answer.done():
                answer.set_result(None)


def _first(group: BaseExceptionGroup[RumpelError]) -> RumpelError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")


def _nanoseconds(time: str) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1e9)
    except ValueError:
        return 0

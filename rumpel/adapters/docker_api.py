"""One Docker engine: `DockerHost`, the door through which everything else talks to it.

All calls are coroutines with a deadline, run on the event loop that opened the host, and raise
only RumpelError. Nothing is cached here: the warm view is `docker_snapshot`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rumpel.adapters import (
    docker_buildkit,
    docker_containers,
    docker_context,
    docker_exec,
    docker_identity,
    docker_images,
    docker_networks,
    podman_archive,
    threads,
)
from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_errors import ProtocolError
from rumpel.adapters.docker_http import HttpClient
from rumpel.adapters.docker_images import BuildOptions, OnLine
from rumpel.adapters.docker_stream import DockerStream
from rumpel.adapters.docker_wire import Endpoint, parse_endpoint
from rumpel.errors import Conflict

Json = types.Json

NEWEST_API = (1, 44)
"""Newest version whose answers were read while this was written; engines >= 29 want 1.44."""
OPEN_TIMEOUT_S = 10.0
ENDED = ("exited", "stopped", "dead")
OnClose = Callable[[], Awaitable[None]]


class DockerHost:
    """One engine. `async with await DockerHost.open(url)`, or `close` it."""

    def __init__(
        self, http: HttpClient, info: types.EngineInfo, on_close: OnClose | None = None
    ) -> None:
        self.http = http
        self.info = info
        self._on_close = on_close
        self._probing = asyncio.Lock()
        self._builder: tuple[docker_buildkit.Builder | None] | None = None
        """Looked for once, at the first build."""

    @classmethod
    async def open(
        cls,
        url: str | None = None,
        *,
        endpoint: Endpoint | None = None,
        on_close: OnClose | None = None,
    ) -> Self:
        """Reach the engine and agree on a version; None is the one `docker` itself would use."""
        if url is None and endpoint is None:
            url = (await threads.call(docker_context.resolve, os.environ)).url
        http = HttpClient(endpoint or parse_endpoint(str(url)))
        try:
            version = await http.request("GET", "/version", timeout_s=OPEN_TIMEOUT_S)
            found = types.mapping(version.json(), "a version")
            http.prefix = f"/v{agreed_version(types.text(found, 'ApiVersion', 20))}"
            info = await http.request("GET", "/info", timeout_s=OPEN_TIMEOUT_S)
            data = types.mapping(info.json(), "engine information")
            known = types.engine_info(found, data)
            engine_id = await docker_identity.ask(http, known.kind, data)
            return cls(http, dataclasses.replace(known, engine_id=engine_id), on_close)
        except BaseException:
            await http.close()
            raise

    @property
    def url(self) -> str:
        return self.http.endpoint.url

    @property
    def engine_id(self) -> str:
        return self.info.engine_id

    @property
    def version(self) -> str:
        return self.info.version

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self.http.close()
        if self._on_close is not None:
            await self._on_close()

    async def ping(self, timeout_s: float = 5.0) -> bool:
        """Whether it answers."""
        return await docker_containers.ping(self.http, timeout_s)

    # containers

    async def create_container(
        self, name: str | None, body: Mapping[str, Json], platform: str | None = None
    ) -> str:
        """`body` is the Engine API's. NotFound: no image; NameTaken: the name is used."""
        return await docker_containers.create(self.http, name, body, platform)

    async def start(self, container: str) -> None:
        await docker_containers.start(self.http, container)

    async def stop(self, container: str, grace_s: int | None = None) -> None:
        """None: as long as the container's own `StopTimeout` says, else 10 s."""
        await docker_containers.stop(self.http, container, grace_s)

    async def kill(self, container: str, signal: str = "KILL") -> None:
        await docker_containers.kill(self.http, container, signal)

    async def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> bool:
        """`volumes`: its anonymous ones too. False when there was no such container."""
        return await docker_containers.remove(self.http, container, force=force, volumes=volumes)

    async def inspect(self, container: str) -> types.ContainerDetail:
        """By id or name. Raises NotFound."""
        return await docker_containers.inspect(self.http, container)

    async def find(self, container: str) -> types.ContainerDetail | None:
        return await docker_containers.inspect_or_none(self.http, container)

    async def rename(self, container: str, name: str) -> None:
        await docker_containers.rename(self.http, container, name)

    async def connect(
        self, container: str, network: str, endpoint: Mapping[str, Json] | None = None
    ) -> None:
        """Into a network. NotFound: there is no such network."""
        await docker_containers.connect(self.http, container, network, endpoint or {})

    async def pause(self, container: str) -> None:
        await docker_containers.pause(self.http, container, is_on=True)

    async def unpause(self, container: str) -> None:
        await docker_containers.pause(self.http, container, is_on=False)

    async def wait(self, container: str, timeout_s: float) -> int:
        """Until it stops; its exit code."""
        return await docker_containers.wait(self.http, container, timeout_s)

    async def logs(self, container: str, tail_lines: int = 50) -> bytes:
        return await docker_containers.logs(self.http, container, tail_lines)

    def read_log(
        self, container: str, tail_lines: int | None, *, follows: bool, is_tty: bool
    ) -> AsyncIterator[bytes]:
        """`tail_lines`: None for all that is kept."""
        return docker_containers.read_log(
            self.http, container, tail_lines, follows=follows, is_tty=is_tty
        )

    async def containers(self, label: str | Sequence[str]) -> list[types.ContainerState]:
        """Every container, running or not, that carries the label(s) (`key` or `key=value`)."""
        return await docker_containers.states(self.http, _list(label))

    def get_archive(
        self, container: str, path: str
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """What lies at `path` of a container that does not run, as a tar."""
        if self.info.kind == "podman":
            get = functools.partial(docker_containers.get_archive, self.http, container)
            return podman_archive.read(get, path)
        return docker_containers.get_archive(self.http, container, path)

    async def put_archive(
        self,
        container: str,
        path: str,
        tar: bytes | Path | AsyncIterator[bytes],
        *,
        overwrite: bool = False,
    ) -> None:
        """Unpack a tar into the folder `path` of a container that was never started."""
        await docker_containers.put_archive(self.http, container, path, tar, overwrite=overwrite)

    # streams and processes

    async def attach(self, container: str, *, tty: bool = False) -> DockerStream:
        """The main process's stdin and output from now on; before its first start, too.

        Raises Conflict where that is over: Podman would make the container anew, as `created`.
        """
        if self.info.kind == "podman" and (await self.inspect(container)).state.status in ENDED:
            raise Conflict(f"container {container[:12]} is not running")
        return await docker_containers.attach(self.http, container, is_tty=tty)

    async def exec_stream(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str = "",
        env: docker_exec.Environment | None = None,
        cwd: str = "",
        tty: bool = False,
        stdin: bool = True,
    ) -> DockerStream:
        return await docker_exec.open_stream(
            self.http, container, argv, user=user, env=env, cwd=cwd, tty=tty, stdin=stdin
        )

    async def exec_run(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str = "",
        env: docker_exec.Environment | None = None,
        cwd: str = "",
        input: docker_exec.Input | None = None,
        timeout_s: float = 60.0,
        max_output_bytes: int = 16 << 20,
        on_output: docker_exec.Output | None = None,
        token: str | None = None,
    ) -> types.Completed:
        """Run to the end; a timeout or a cancelled caller ends the process and its children."""
        return await docker_exec.run(
            self.http,
            container,
            argv,
            user=user,
            env=env,
            cwd=cwd,
            input=input,
            timeout_s=timeout_s,
            max_output_bytes=max_output_bytes,
            on_output=on_output,
            token=token,
        )

    @property
    def is_near(self) -> bool:
        """Whether nothing lies between that could be lost while the engine goes on."""
        return self.http.endpoint.is_near

    @property
    def losses(self) -> int:
        """How often the way there was lost, with every stream that was open."""
        return self.http.endpoint.losses()

    async def exec_exit_code(self, exec_id: str, timeout_s: float = 10.0) -> int:
        """Of an exec whose stream has ended. NotFound: its container is gone."""
        return await docker_exec.exit_code(self.http, exec_id, timeout_s)

    async def resize(self, exec_id: str, rows: int, cols: int) -> None:
        await docker_exec.resize(self.http, exec_id, rows, cols)

    async def kill_tree(self, container: str, token: str, *, user: str = "") -> bool:
        """End all processes with RUMPEL_EXEC=`token` in their environment."""
        return await docker_exec.kill_tree(self.http, container, token, user=user)

    # images

    async def image(self, ref: str) -> types.ImageInfo | None:
        return await docker_images.image(self.http, ref)

    async def images(self, label: str | Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
        """Image id -> tags."""
        return await docker_images.images(self.http, _list(label))

    async def pull(
        self, ref: str, on_line: OnLine | None = None, *, platform: str | None = None
    ) -> types.ImageInfo:
        return await docker_images.pull(self.http, ref, platform=platform, on_line=on_line)

    async def build(
        self, context: Path, options: BuildOptions, on_line: OnLine | None = None
    ) -> str:
        """Build a context tar (see `build_context`); the image id. CommandFailed has the tail."""
        return await docker_images.build(self.http, context, options, on_line)

    async def build_tree(
        self,
        root: str | Path,
        dockerfile: str | Path,
        options: BuildOptions,
        on_line: OnLine | None = None,
    ) -> str:
        """Build a folder: by BuildKit where a docker client speaks it, else by the engine.

        `options.dockerfile` does not count here. A failing build raises CommandFailed either way.
        """
        builder = await self._buildkit() if docker_buildkit.flags(options) else None
        if builder is not None:
            tree = Path(root), Path(dockerfile)
            return await docker_buildkit.build(
                builder, self.http.endpoint.docker_url, tree, options, on_line
            )
        async with docker_images.context_tar(root, dockerfile) as (tar, name):
            inside = dataclasses.replace(options, dockerfile=name)
            return await docker_images.build(self.http, tar, inside, on_line)

    async def _buildkit(self) -> docker_buildkit.Builder | None:
        async with self._probing:
            if self._builder is None and self.info.kind == "docker":
                self._builder = (await docker_buildkit.find(),)
        return self._builder[0] if self._builder else None

    async def tag(self, image_id: str, ref: str) -> None:
        await docker_images.tag(self.http, image_id, ref)

    async def commit(self, container: str, ref: str, config: Mapping[str, Json]) -> str:
        """An image of what a container wrote (see docker_images.commit)."""
        is_podman = self.info.kind == "podman"
        return await docker_images.commit(self.http, container, ref, config, is_podman=is_podman)

    async def remove_image(self, ref: str, *, force: bool = False) -> bool:
        return await docker_images.remove(self.http, ref, force=force)

    # volumes

    async def create_volume(
        self,
        name: str,
        labels: Mapping[str, str],
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
    ) -> types.VolumeInfo:
        """Make it, or return the one of that name: compare its labels."""
        return await docker_containers.create_volume(self.http, name, labels, driver, options or {})

    async def volume(self, name: str) -> types.VolumeInfo | None:
        return await docker_containers.inspect_volume(self.http, name)

    async def volumes(self, label: str | Sequence[str]) -> list[types.VolumeInfo]:
        return await docker_containers.volumes(self.http, _list(label))

    async def remove_volume(self, name: str, *, force: bool = False) -> bool:
        return await docker_containers.remove_volume(self.http, name, force=force)

    # networks

    async def networks(self, label: str | Sequence[str]) -> list[docker_networks.NetworkInfo]:
        return await docker_networks.networks(self.http, _list(label))

    async def create_network(
        self, name: str, labels: Mapping[str, str], settings: Mapping[str, Json]
    ) -> None:
        """`settings`: more of the API's body, such as Driver."""
        await docker_networks.create(self.http, name, labels, settings)

    async def remove_network(self, name: str) -> bool:
        """By name or id. False when there was none."""
        return await docker_networks.remove(self.http, name)

    async def disconnect(self, container: str, network: str) -> None:
        """Out of a network; nothing happens when it is not in it."""
        await docker_networks.leave(self.http, container, network)

    # events

    async def events(
        self, filters: Mapping[str, Sequence[str]], *, since_ns: int = 0
    ) -> AsyncIterator[types.Event]:
        """From `since_ns` (or now) on, until the connection ends: then HostUnreachable."""
        since = f"{since_ns // 10**9}.{since_ns % 10**9:09d}" if since_ns else None
        query = {"filters": {key: list(value) for key, value in filters.items()}, "since": since}
        async with self.http.stream("GET", "/events", query=query) as pieces:
            async for message in docker_images.messages(pieces):
                yield types.event(message)


def agreed_version(offered: str) -> str:
    """The newest API version that both sides know. Raises ProtocolError."""
    major, _, minor = offered.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise ProtocolError(f"Docker offers the API version {offered!r}, which is none")
    best = min((int(major), int(minor)), NEWEST_API)
    return f"{best[0]}.{best[1]}"


def _list(label: str | Sequence[str]) -> list[str]:
    return [label] if isinstance(label, str) else list(label)

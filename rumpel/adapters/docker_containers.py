"""Containers and volumes of one engine: create, start, stop, remove, list, archive.

Paths and rules: Docker Engine API 1.41, "Containers" and "Volumes". Whatever ends a container is
idempotent: what is already so is not an error, because a rerun after a crash asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_errors import ProtocolError
from rumpel.adapters.docker_http import HttpClient, Query, Source, segment
from rumpel.adapters.docker_stream import DockerStream, frames, payloads
from rumpel.adapters.pool_file import PoolFile
from rumpel.errors import Conflict, HostUnreachable, NotFound, RumpelError, TimedOut

Json = types.Json

CREATE_TIMEOUT_S = 60.0
MOST_GRACE_S = 600.0
"""Longer than any container should be made to be waited for (`StopTimeout`)."""
START_TIMEOUT_S = 120.0
REMOVE_TIMEOUT_S = 120.0
LOOK_TIMEOUT_S = 5.0
ARCHIVE_TIMEOUT_S = 600.0
LIST_TRIES = 10
FILE_CHUNK_BYTES = 1 << 20


async def create(
    http: HttpClient, name: str | None, body: Mapping[str, Json], platform: str | None = None
) -> str:
    """Create, not start; returns the id. NotFound: no such image; NameTaken: the name is used."""
    answer = await http.request(
        "POST",
        "/containers/create",
        query={"name": name, "platform": platform},
        body=body,
        timeout_s=CREATE_TIMEOUT_S,
    )
    return types.container_id(types.mapping(answer.json(), "a new container").get("Id"))


async def start(http: HttpClient, container: str) -> None:
    """Nothing happens to one that runs. A runtime that refuses is a RumpelError with its text."""
    path = f"/containers/{segment(container)}/start"
    await http.request("POST", path, timeout_s=START_TIMEOUT_S, what=_named(container))


async def stop(http: HttpClient, container: str, grace_s: int | None) -> None:
    """The stop signal, then KILL after `grace_s`; None: what the container was made with, or 10.

    Raises NotFound when there is no such container.
    """
    path = f"/containers/{segment(container)}/stop"
    query: Query = {} if grace_s is None else {"t": grace_s}
    timeout_s = 60.0 + (MOST_GRACE_S if grace_s is None else grace_s)
    await http.request("POST", path, query=query, timeout_s=timeout_s, what=_named(container))


async def kill(http: HttpClient, container: str, signal: str) -> None:
    """Send a signal; nothing happens when it does not run. NotFound when there is none."""
    path = f"/containers/{segment(container)}/kill"
    try:
        await http.request("POST", path, query={"signal": signal}, what=_named(container))
    except Conflict:  # "is not running"
        return


async def remove(http: HttpClient, container: str, *, force: bool, volumes: bool) -> bool:
    """Remove it and wait until it is gone. Returns False when there was none."""
    path = f"/containers/{segment(container)}"
    query: Query = {"force": force, "v": volumes}
    try:
        await http.request(
            "DELETE", path, query=query, timeout_s=REMOVE_TIMEOUT_S, what=_named(container)
        )
    except NotFound:
        return False
    except Conflict as err:
        if "already in progress" not in err.message:
            raise
        await _until_gone(http, container)
    return True


async def _until_gone(http: HttpClient, container: str) -> None:
    for _ in range(int(REMOVE_TIMEOUT_S / 0.1)):
        try:
            await inspect(http, container)
        except NotFound:
            return
        await asyncio.sleep(0.1)
    raise TimedOut(f"{_named(container)} was not removed within {REMOVE_TIMEOUT_S:g} s")


async def inspect(http: HttpClient, container: str) -> types.ContainerDetail:
    path = f"/containers/{segment(container)}/json"
    answer = await http.request("GET", path, what=_named(container))
    return types.container_detail(answer.json())


async def rename(http: HttpClient, container: str, name: str) -> None:
    path = f"/containers/{segment(container)}/rename"
    await http.request("POST", path, query={"name": name}, what=_named(container))


async def connect(
    http: HttpClient, container: str, network: str, endpoint: Mapping[str, Json]
) -> None:
    """Into a network, whose settings for it are `endpoint`. NotFound when one of them is gone."""
    await http.request(
        "POST",
        f"/networks/{segment(network)}/connect",
        body={"Container": container, "EndpointConfig": dict(endpoint)},
        what=f"network {network}",
    )


async def pause(http: HttpClient, container: str, *, is_on: bool) -> None:
    path = f"/containers/{segment(container)}/{'pause' if is_on else 'unpause'}"
    await http.request("POST", path, what=_named(container))


async def wait(http: HttpClient, container: str, timeout_s: float) -> int:
    """Wait until it stops; its exit code. Raises TimedOut."""
    path = f"/containers/{segment(container)}/wait"
    try:
        async with asyncio.timeout(timeout_s):
            answer = await http.request(
                "POST", path, timeout_s=timeout_s + 30.0, what=_named(container)
            )
    except TimeoutError as err:
        raise TimedOut(f"{_named(container)} did not stop within {timeout_s:g} s") from err
    return types.number(types.mapping(answer.json(), "an exit"), "StatusCode")


async def logs(http: HttpClient, container: str, tail_lines: int) -> bytes:
    """The last lines of the log of a container without a terminal, both streams as written."""
    path = f"/containers/{segment(container)}/logs"
    query: Query = {"stdout": True, "stderr": True, "tail": tail_lines}
    answer = await http.request("GET", path, query=query, what=_named(container))
    return b"".join(payload for _, payload in frames(answer.body))


async def read_log(
    http: HttpClient, container: str, tail_lines: int | None, *, follows: bool, is_tty: bool
) -> AsyncIterator[bytes]:
    """The same piece by piece; `follows`: until the container ends. Close it to hang up."""
    path = f"/containers/{segment(container)}/logs"
    tail = "all" if tail_lines is None else tail_lines
    query: Query = {"stdout": True, "stderr": True, "tail": tail, "follow": follows}
    async with http.stream("GET", path, query=query, what=_named(container)) as pieces:
        async for piece in pieces if is_tty else payloads(pieces):
            yield piece


async def states(http: HttpClient, labels: Sequence[str]) -> list[types.ContainerState]:
    """All containers, running or not, that carry every one of `labels` (`key` or `key=value`).

    A list answer has no start time, so each is inspected; one that goes meanwhile is left out.
    """
    rows = await _rows(http, {"label": list(labels)})
    found = [row for row in rows if types.carries(row, labels)]
    states = await asyncio.gather(*(look(http, types.container_id(row.get("Id"))) for row in found))
    return [state for state in states if state is not None and types.has(state.labels, labels)]


async def look(
    http: HttpClient, container: str, started_at: str = ""
) -> types.ContainerState | None:
    """Its state now, None when it is gone; `started_at` is what was known before.

    An inspect waits for the container's lock, which a start or an exec that hangs never gives
    back (seen on 20.10: paused while an exec was starting). A list does not: one stuck container
    must not make the whole engine look dead.
    """
    try:
        path = f"/containers/{segment(container)}/json"
        answer = await http.request("GET", path, timeout_s=LOOK_TIMEOUT_S)
        return types.container_detail(answer.json()).state
    except NotFound:
        return None
    except ProtocolError:
        raise
    except HostUnreachable:
        found = await _rows(http, {"id": [container]})
    return types.listed_state(found[0], started_at) if found else None


async def _rows(http: HttpClient, filters: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    query: Query = {"all": True, "filters": filters}
    for left in reversed(range(LIST_TRIES)):
        try:
            answer = await http.request("GET", "/containers/json", query=query)
        except NotFound:  # Podman, when one goes while it lists them
            if not left:
                raise
        else:
            break
    return types.rows(answer.json(), "a list of containers")


async def inspect_or_none(http: HttpClient, container: str) -> types.ContainerDetail | None:
    try:
        return await inspect(http, container)
    except NotFound:
        return None


@contextlib.asynccontextmanager
async def get_archive(
    http: HttpClient,
    container: str,
    path: str,
    on_head: Callable[[Mapping[str, str]], None] | None = None,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """What lies at `path`, in volumes too, as a tar in lexical order; mtimes in whole seconds.

    Of a container that does not run: what runs in it could lead the engine elsewhere
    (notes/reliability.md C2). NotFound: no container, or nothing at that path.
    """
    async with http.stream(
        "GET",
        f"/containers/{segment(container)}/archive",
        query={"path": path},
        head_timeout_s=ARCHIVE_TIMEOUT_S,
        what=f"{path} in {_named(container)}",
        on_head=on_head,
    ) as pieces:
        yield pieces


async def put_archive(
    http: HttpClient,
    container: str,
    path: str,
    tar: bytes | Path | AsyncIterator[bytes],
    *,
    overwrite: bool = False,
) -> None:
    """Unpack an uncompressed tar into the folder `path`, in volumes too; owners as in the tar.

    Only before the first start: on a container that ran, its own files decide where the engine
    writes (notes/reliability.md C2). `overwrite`: a folder may become a file, and back.
    The tar has nothing behind its end: Podman reads no further, and fails when it is sent more.
    Not with copyUIDGID: that gives all to the image's user, whom the engine looks up on its own
    machine, and fails when there is none of that name.
    """
    source: Source = file_chunks(tar) if isinstance(tar, Path) else tar
    await http.request(
        "PUT",
        f"/containers/{segment(container)}/archive",
        query={"path": path, "noOverwriteDirNonDir": not overwrite},
        source=source,
        timeout_s=ARCHIVE_TIMEOUT_S,
        what=_named(container),
    )


async def file_chunks(path: Path) -> AsyncIterator[bytes]:
    with contextlib.closing(PoolFile(path)) as file:
        while data := await file.read(FILE_CHUNK_BYTES):
            yield data


async def attach(http: HttpClient, container: str, *, is_tty: bool) -> DockerStream:
    """stdin, stdout and stderr of the main process, from now on; before its start too."""
    path = f"/containers/{segment(container)}/attach"
    query: Query = {"stream": True, "stdin": True, "stdout": True, "stderr": True}
    wire, head = await http.take_over(path, query=query, what=_named(container))
    return DockerStream(wire, head, is_tty=is_tty, name=_named(container), url=http.endpoint.url)


async def create_volume(
    http: HttpClient, name: str, labels: Mapping[str, str], driver: str, options: Mapping[str, str]
) -> types.VolumeInfo:
    """Make it, or return the one of that name: engines do not tell the two apart."""
    body = {"Name": name, "Labels": dict(labels), "Driver": driver, "DriverOpts": dict(options)}
    what = f"volume {name}"
    try:
        answer = await http.request("POST", "/volumes/create", body=body, what=what)
    except RumpelError as error:
        # Podman, of two that ask at once: by now it is there, and the same again gives it.
        if "volume already exists" not in error.message:
            raise
        answer = await http.request("POST", "/volumes/create", body=body, what=what)
    return types.volume_info(answer.json())


async def remove_volume(http: HttpClient, name: str, *, force: bool) -> bool:
    """Returns False when there was none; Conflict when a container uses it."""
    path = f"/volumes/{segment(name)}"
    try:
        await http.request("DELETE", path, query={"force": force}, what=f"volume {name}")
    except NotFound:
        return False
    return True


async def volumes(http: HttpClient, labels: Sequence[str]) -> list[types.VolumeInfo]:
    query: Query = {"filters": {"label": list(labels)}} if labels else {}
    answer = await http.request("GET", "/volumes", query=query)
    top: Any = types.mapping(answer.json(), "volumes")
    found = types.rows(top.get("Volumes"), "Volumes")
    return [types.volume_info(row) for row in found if types.carries(row, labels)]


async def inspect_volume(http: HttpClient, name: str) -> types.VolumeInfo | None:
    try:
        answer = await http.request("GET", f"/volumes/{segment(name)}", what=f"volume {name}")
    except NotFound:
        return None
    return types.volume_info(answer.json())


def _named(container: str) -> str:
    return f"container {container[:12] if len(container) == 64 else container}"


async def ping(http: HttpClient, timeout_s: float) -> bool:
    try:
        await http.request("GET", "/_ping", timeout_s=timeout_s)
    except HostUnreachable:
        return False
    return True

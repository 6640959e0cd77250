"""Images of one engine: inspect, pull, build with the classic API builder, tag, remove."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rumpel.adapters import build_context, docker_registry, threads
from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_containers import file_chunks
from rumpel.adapters.docker_errors import MAX_MESSAGE, ProtocolError
from rumpel.adapters.docker_http import MAX_PIECES, HttpClient, Query, decode_json, segment
from rumpel.errors import CommandFailed, NotFound, RumpelError, TimedOut

Json = types.Json
OnLine = Callable[[str], None]

MAX_LINE_BYTES = 1 << 20
"""One JSON message of a pull or a build."""
TAIL_LINES = 40
CREDENTIALS_TIMEOUT_S = 60.0
PULL_TIMEOUT_S = 1_800.0
BUILD_TIMEOUT_S = 3_600.0
COMMIT_TIMEOUT_S = 900.0
LIST_TRIES, LIST_PAUSE_S = 10, 0.02


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(slots=True)
class BuildLog:
    """The output of a build or a pull, line by line, with its end kept for the error."""

    on_line: OnLine | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _open: list[str] = field(default_factory=list)
    """The line that has no end yet: it may come in crumbs."""
    _size: int = 0

    def feed(self, text: str) -> None:
        if "\n" in text:
            *lines, text = "".join((*self._open, text)).split("\n")
            self._open, self._size = [], 0
            for line in lines:
                self.line(line)
        self._open.append(text)
        self._size += len(text)
        if self._size > MAX_LINE_BYTES or len(self._open) > MAX_PIECES:
            self.flush()

    def line(self, text: str) -> None:
        text = _COLOUR.sub("", text.rstrip("\r"))  # the builder paints stderr red
        self.tail.append(text[:MAX_MESSAGE])
        if self.on_line is not None:
            self.on_line(text)

    def flush(self) -> None:
        text, self._open, self._size = "".join(self._open), [], 0
        if text:
            self.line(text)


async def image(http: HttpClient, ref: str) -> types.ImageInfo | None:
    """What `ref` (name, tag or id) is here; None when it is not here."""
    try:
        answer = await http.request("GET", f"/images/{segment(ref)}/json", what=f"image {ref}")
    except NotFound:
        return None
    return types.image_info(answer.json())


async def images(http: HttpClient, labels: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """The ids of all images and the tags of each."""
    # By one label, then by all: Podman finds none that has two.
    query: Query = {"filters": {"label": list(labels[:1])}} if labels else {}
    rows = await listed(http, query)
    found = [row for row in rows if types.carries(row, labels)]
    return {types.image_id(row.get("Id")): types.image_tags(row) for row in found}


async def listed(
    http: HttpClient, query: Query | None = None, *, timeout_s: float = 30.0
) -> list[Mapping[str, Json]]:
    """Rows of all images. Podman fails when one goes meanwhile, in words of its storage."""
    for left in reversed(range(LIST_TRIES)):
        try:
            answer = await http.request("GET", "/images/json", query=query, timeout_s=timeout_s)
            return types.rows(answer.json(), "images")
        except RumpelError as error:
            if error.details.get("status") != 500 or not left:
                raise
            await asyncio.sleep(LIST_PAUSE_S)
    raise AssertionError("the last try returns or raises")


async def tag(http: HttpClient, image_id: str, ref: str) -> None:
    repository, _, name = ref.rpartition(":")
    if not repository or "/" in name:
        repository, name = ref, "latest"
    path = f"/images/{segment(image_id)}/tag"
    await http.request(
        "POST", path, query={"repo": repository, "tag": name}, what=f"image {image_id}"
    )


async def commit(
    http: HttpClient, container: str, ref: str, config: Mapping[str, Json], *, is_podman: bool
) -> str:
    """An image of what a container wrote, tagged `ref` unless that is empty; returns its id.

    What `config` leaves empty comes from the container: its environment, user, labels. What lies
    in volumes and on tmpfs is not in it, and times are cut to seconds.
    """
    repository, _, name = ref.rpartition(":")
    query: Query = {"container": container, "repo": repository, "tag": name, "pause": False}
    answer = await http.request(
        "POST",
        "/commit",
        query={**query, "changes": _instructions(config)} if is_podman else query,
        body=config,
        timeout_s=COMMIT_TIMEOUT_S,
        what=f"container {container[:12]}",
    )
    return types.image_id(types.mapping(answer.json(), "a new image").get("Id"))


def _instructions(config: Mapping[str, Json]) -> str:
    """Podman reads nothing but these: of a configuration it would take what is the container's.

    It takes a label to the end of its line, with all quotes and backslashes.
    """
    labels: Mapping[str, str] = config.get("Labels", {})
    lines = [f"LABEL {key}={value}" for key, value in labels.items()]
    lists = [key for key in ("Entrypoint", "Cmd") if key in config]
    return "\n".join([*lines, *(f"{key.upper()} {json.dumps(config[key])}" for key in lists)])


async def remove(http: HttpClient, ref: str, *, force: bool, prune: bool = True) -> bool:
    """Returns False when there was none; Conflict when a container uses it."""
    path, query = f"/images/{segment(ref)}", {"force": force, "noprune": not prune}
    try:
        await http.request("DELETE", path, query=query, timeout_s=120.0, what=f"image {ref}")
    except NotFound:
        return False
    return True


async def pull(
    http: HttpClient, ref: str, *, platform: str | None, on_line: OnLine | None
) -> types.ImageInfo:
    """Fetch from its registry, with the credentials of the user's docker configuration."""
    headers = await _credentials(docker_registry.pull_headers, ref)
    name = ref if "@" in ref or ":" in ref.rpartition("/")[2] else f"{ref}:latest"
    query: Query = {"fromImage": name, "platform": platform}
    log = BuildLog(on_line)
    try:
        async with (
            asyncio.timeout(PULL_TIMEOUT_S),
            http.stream(
                "POST", "/images/create", query=query, headers=headers, what=f"image {ref}"
            ) as pieces,
        ):
            async for message in messages(pieces):
                _pull_message(message, log, ref)
    except TimeoutError as err:
        raise TimedOut(f"pulling {ref} did not end within {PULL_TIMEOUT_S:g} s") from err
    found = await image(http, ref)
    if found is None:
        raise NotFound(f"image {ref} was pulled, yet it is not here")
    return found


async def _credentials(ask: Callable[..., Mapping[str, str]], *args: str) -> Mapping[str, str]:
    """What a credential helper says; it may wait for a person, though not for ever."""
    try:
        async with asyncio.timeout(CREDENTIALS_TIMEOUT_S):
            return await threads.call(ask, *args)
    except TimeoutError as err:
        raise TimedOut(
            f"docker's credential helper did not answer within {CREDENTIALS_TIMEOUT_S:g} s",
            hint="docker login",
        ) from err


def _pull_message(message: Mapping[str, Json], log: BuildLog, ref: str) -> None:
    if error := types.text(message, "error", 1 << 20):
        error = error[:MAX_MESSAGE]
        raise RumpelError(f"cannot pull {ref}: {error}", details={"engine": error})
    # A layer's progress comes many times a second: only what has no progress is a line.
    if not message.get("progressDetail") and (state := types.text(message, "status")):
        layer = types.text(message, "id")
        log.line(f"{layer}: {state}" if layer else state)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the Dockerfile is built with; paths are inside the context."""

    dockerfile: str = "Dockerfile"
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    cache_from: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""
    platform: str = ""
    network: str = ""
    extra_hosts: tuple[str, ...] = ()
    is_nocache: bool = False
    is_pull: bool = False
    extra: Mapping[str, Json] = field(default_factory=dict)
    """More parameters of `POST /build`; lists and maps add to those above, the rest wins."""

    def query(self) -> dict[str, Json]:
        query = self._own_query()
        for name, value in self.extra.items():
            own = query.get(name)
            if isinstance(own, dict) and isinstance(value, dict):
                query[name] = {**own, **value}
            elif isinstance(own, list) and isinstance(value, list):
                query[name] = [*own, *value]
            else:
                query[name] = value
        if isinstance(hosts := query.get("extrahosts"), list):
            query["extrahosts"] = tuple(hosts)  # the one parameter that is repeated, not JSON
        return query

    def _own_query(self) -> dict[str, Json]:
        return {
            "dockerfile": self.dockerfile,
            "buildargs": dict(self.args),
            "target": self.target or None,
            "cachefrom": list(self.cache_from) or None,
            "labels": dict(self.labels) or None,
            "t": self.tag or None,
            "platform": self.platform or None,
            "networkmode": self.network or None,
            "extrahosts": list(self.extra_hosts) or None,
            "nocache": self.is_nocache,
            "pull": self.is_pull or None,
            "rm": True,
            "forcerm": True,
        }


@contextlib.asynccontextmanager
async def context_tar(root: str | Path, dockerfile: str | Path) -> AsyncIterator[tuple[Path, str]]:
    """A temporary tar of a context, and its Dockerfile's path in it."""
    folder = await threads.call(tempfile.TemporaryDirectory, prefix="rumpel-build-")
    try:
        tar = Path(folder.name, "context.tar")
        name = await threads.call(build_context.write_tar, root, dockerfile, tar)
        yield tar, name
    finally:
        await threads.call(folder.cleanup)


async def build(
    http: HttpClient, context: Path, options: BuildOptions, on_line: OnLine | None
) -> str:
    """Build the tar file `context` with the engine's own builder; returns the image id.

    CommandFailed has the builder's message, its code and the last lines of its output. Leaving
    (a cancelled caller) hangs up, and the engine stops the build.
    """
    headers = await _credentials(docker_registry.build_headers)
    log = BuildLog(on_line)
    image_id = ""
    try:
        async with (
            asyncio.timeout(BUILD_TIMEOUT_S),
            http.stream(
                "POST",
                "/build",
                query=options.query(),
                source=file_chunks(context),
                headers=headers,
                head_timeout_s=BUILD_TIMEOUT_S,
                what=f"building {options.dockerfile}",
            ) as pieces,
        ):
            async for message in messages(pieces):
                image_id = _build_message(message, log, options) or image_id
    except TimeoutError as err:
        raise TimedOut(f"the build did not end within {BUILD_TIMEOUT_S:g} s") from err
    except RumpelError as err:
        if "status" not in err.details:
            raise
        # Refused before it began, such as a Dockerfile with a syntax error.
        raise build_failed(str(err.details["engine"]), 1, log, options.dockerfile) from err
    log.flush()
    return types.image_id(image_id)


def _build_message(message: Mapping[str, Json], log: BuildLog, options: BuildOptions) -> str:
    """Log one message; returns the image id when it says one. Raises CommandFailed."""
    if stream := types.text(message, "stream", MAX_LINE_BYTES):
        log.feed(stream)
    elif (state := types.text(message, "status")) and not message.get("progressDetail"):
        log.line(state)
    if "error" in message or "errorDetail" in message:
        log.flush()
        detail = types.table(message, "errorDetail")
        error = types.text(message, "error", MAX_LINE_BYTES) or types.text(detail, "message")
        raise build_failed(error, types.number(detail, "code"), log, options.dockerfile)
    aux = message.get("aux")
    return types.text(aux, "ID", 200) if isinstance(aux, dict) else ""


BUILD = ["docker", "build"]
"""`argv` in the details of a build that failed."""


def build_failed(error: str, code: int, log: BuildLog, dockerfile: str) -> CommandFailed:
    message = " ".join(error.split())[:MAX_MESSAGE]
    tail = [line for line in log.tail if line.removeprefix("ERROR: ") != message]
    return CommandFailed(
        f"building {dockerfile} failed: {message}",
        details={"argv": BUILD, "exit_code": code or 1, "tail": tail},
    )


async def messages(pieces: AsyncIterator[bytes]) -> AsyncIterator[Mapping[str, Json]]:
    """The JSON objects of a progress stream; Docker ends each with a newline."""
    buffer, crumbs = bytearray(), 0
    async for piece in pieces:
        buffer += piece
        crumbs += 1
        if b"\n" in piece:  # else who sends byte by byte has all of it looked through each time
            *lines, rest = bytes(buffer).split(b"\n")
            buffer, crumbs = bytearray(rest), 0
            for line in lines:
                if line.strip():
                    yield types.mapping(decode_json(line), "a message")
        if len(buffer) > MAX_LINE_BYTES or crumbs > MAX_PIECES:
            raise ProtocolError("Docker sent an endless message")
    if buffer.strip():
        yield types.mapping(decode_json(bytes(buffer)), "a message")

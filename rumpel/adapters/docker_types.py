"""What the Docker adapter returns: frozen values, checked when they come in.

An engine's answers are data from outside (notes/reliability.md D10): ids must be ids, texts must
be texts, or the whole answer is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast, get_args

from rumpel import names
from rumpel.adapters.docker_errors import ProtocolError

Json: TypeAlias = Any

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
STATUSES: frozenset[str] = frozenset(get_args(Status))

_ID = re.compile(r"[0-9a-f]{64}")
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """One engine: `engine_id` stays over restarts and tells engines apart."""

    engine_id: str
    version: str
    api_version: str
    os: str
    architecture: str
    cpus: int
    memory_bytes: int
    runtimes: tuple[str, ...]
    kind: Literal["docker", "podman"]
    root_dir: str = ""
    """Where it keeps images and containers, on its own machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    id: str
    tags: tuple[str, ...]
    user: str
    env: tuple[str, ...]
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    labels: Mapping[str, str]
    workdir: str
    architecture: str
    os: str
    volumes: tuple[str, ...]
    size_bytes: int
    created_at: str
    layers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """What the warm snapshot knows of a container."""

    id: str
    name: str
    labels: Mapping[str, str]
    status: Status
    image_id: str
    started_at: str
    """Differs after every start; empty when it never ran."""
    networks: Mapping[str, str]
    """Network name -> IPv4 address in it, empty when it has none."""
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDetail:
    """One `inspect`. `config` and `host_config` are the engine's own mappings."""

    state: ContainerState
    created_at: str
    finished_at: str
    error: str
    pid: int
    mounts: tuple[Mapping[str, Json], ...]
    health: str = ""
    """starting, healthy or unhealthy; empty where nothing checks it."""
    health_said: str = ""
    """What the last check printed, or its beginning: engines cut it, also within a word."""
    network_ids: Mapping[str, str] = field(default_factory=dict)
    """By name, of those it was in when it was last started."""
    config: Mapping[str, Json] = field(repr=False)
    host_config: Mapping[str, Json] = field(repr=False)

    @property
    def id(self) -> str:
        return self.state.id


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    name: str
    driver: str
    labels: Mapping[str, str]
    mountpoint: str
    """A path on the engine's machine: for people, never opened here."""
    created_at: str
    options: Mapping[str, str]
    """Of its driver, as it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message of the engine's event stream."""

    type: str
    action: str
    id: str
    attributes: Mapping[str, str]
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A finished exec. `is_cut` when output beyond the limit was dropped."""

    code: int
    stdout: bytes
    stderr: bytes
    is_cut: bool = False


def text(data: Mapping[str, Json], key: str, limit: int = 4_096) -> str:
    """`data[key]` as a string; empty when it is missing or null."""
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise ProtocolError(f"Docker sent a wrong value for {key}")
    return value


def number(data: Mapping[str, Json], key: str) -> int:
    value = data.get(key) or 0
    if not isinstance(value, int):
        raise ProtocolError(f"Docker sent a wrong value for {key}")
    return value


def table(data: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    value = data.get(key)
    if value is None:
        return {}
    return mapping(value, key)


def mapping(value: Json, what: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise ProtocolError(f"Docker sent a wrong value for {what}")
    return value


def rows(value: Json, what: str) -> list[Mapping[str, Json]]:
    """A list of objects; null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ProtocolError(f"Docker sent a wrong value for {what}")
    return value


def texts(data: Mapping[str, Json], key: str) -> tuple[str, ...]:
    """A list of strings. A lone string counts as one: engines write shell forms that way."""
    value = data.get(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ProtocolError(f"Docker sent a wrong value for {key}")
    return tuple(value)


def labels(data: Mapping[str, Json], key: str = "Labels") -> Mapping[str, str]:
    found = table(data, key)
    if not all(isinstance(value, str) for value in found.values()):
        raise ProtocolError(f"Docker sent a wrong value for {key}")
    return cast("Mapping[str, str]", found)  # checked above


def container_id(value: Json) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ProtocolError("Docker sent a container id that is none")
    return value


def image_id(value: Json) -> str:
    """`sha256:...`; podman leaves the prefix out."""
    if isinstance(value, str):
        full = value if value.startswith("sha256:") else f"sha256:{value}"
        if _IMAGE_ID.fullmatch(full):
            return full
    raise ProtocolError("Docker sent an image id that is none")


def image_tags(row: Mapping[str, Json]) -> tuple[str, ...]:
    """As Docker writes them: Podman puts the registry before those that name none."""
    found = [tag for tag in texts(row, "RepoTags") if tag != "<none>:<none>"]
    return tuple(tag.removeprefix("docker.io/").removeprefix("library/") for tag in found)


def carries(row: Mapping[str, Json], wanted: Sequence[str]) -> bool:
    """Whether a row of a list has every one of the labels (`key` or `key=value`).

    Docker filters for all that are asked for, Podman's volumes for any of them.
    """
    return has(labels(row), wanted)


def has(found: Mapping[str, str], wanted: Sequence[str]) -> bool:
    """The same of labels."""
    pairs = [label.partition("=") for label in wanted]
    return all(key in found and (not equals or found[key] == value) for key, equals, value in pairs)


def own_labels(
    config: Mapping[str, Json], mounts: Sequence[Mapping[str, Json]]
) -> Mapping[str, str]:
    """None for a copy of a pod: `docker commit` hands its labels on, and not what is mounted.

    It is whose made it: by its labels alone it would be stopped and removed as the pod.
    """
    found = labels(config)
    is_pod = found.get(names.LABEL_KIND) == names.POD
    has_repository = any(mount.get("Destination") == names.SEED_PATH for mount in mounts)
    return {} if is_pod and not has_repository else found


def engine_info(version: Mapping[str, Json], info: Mapping[str, Json]) -> EngineInfo:
    components = [text(row, "Name") for row in rows(version.get("Components"), "Components")]
    return EngineInfo(
        engine_id=text(info, "ID", 200),
        version=text(version, "Version", 200),
        api_version=text(version, "ApiVersion", 20),
        os=text(version, "Os", 50),
        architecture=text(version, "Arch", 50),
        cpus=number(info, "NCPU"),
        memory_bytes=number(info, "MemTotal"),
        runtimes=tuple(sorted(table(info, "Runtimes"))),
        kind="podman" if any("podman" in name.lower() for name in components) else "docker",
        root_dir=text(info, "DockerRootDir"),
    )


def image_info(data: Json) -> ImageInfo:
    top = mapping(data, "an image")
    config = table(top, "Config")
    return ImageInfo(
        id=image_id(top.get("Id")),
        tags=image_tags(top),
        user=text(config, "User"),
        env=texts(config, "Env"),
        entrypoint=texts(config, "Entrypoint"),
        cmd=texts(config, "Cmd"),
        labels=labels(config),
        workdir=text(config, "WorkingDir"),
        architecture=text(top, "Architecture", 50),
        os=text(top, "Os", 50),
        volumes=tuple(sorted(table(config, "Volumes"))),
        size_bytes=number(top, "Size"),
        created_at=text(top, "Created", 64),
        layers=len(texts(table(top, "RootFS"), "Layers")),
    )


def container_detail(data: Json) -> ContainerDetail:
    top = mapping(data, "a container")
    state, config = table(top, "State"), table(top, "Config")
    started_at, mounts = text(state, "StartedAt", 64), rows(top.get("Mounts"), "Mounts")
    health = table(state, "Health")
    checks = rows(health.get("Log"), "Log")
    return ContainerDetail(
        state=ContainerState(
            id=container_id(top.get("Id")),
            name=text(top, "Name", 512).removeprefix("/"),
            labels=own_labels(config, mounts),
            status=status(state.get("Status")),
            image_id=image_id(top.get("Image")),
            started_at="" if started_at == _NEVER else started_at,
            networks=_networks(table(top, "NetworkSettings")),
            exit_code=number(state, "ExitCode"),
        ),
        created_at=text(top, "Created", 64),
        finished_at=text(state, "FinishedAt", 64),
        error=text(state, "Error", 65_536),
        pid=number(state, "Pid"),
        mounts=tuple(mounts),
        health=text(health, "Status", 50).removeprefix("none"),
        health_said=text(checks[-1], "Output", 65_536) if checks else "",
        network_ids=_networks(table(top, "NetworkSettings"), "NetworkID", 512),
        config=config,
        host_config=table(top, "HostConfig"),
    )


def listed_state(data: Json, started_at: str) -> ContainerState:
    """The same from a list answer, which knows everything but when it was started."""
    row = mapping(data, "a container")
    called = texts(row, "Names")
    return ContainerState(
        id=container_id(row.get("Id")),
        name=called[0].removeprefix("/") if called else "",
        labels=labels(row),
        status=status(row.get("State")),
        image_id=image_id(row.get("ImageID")),
        started_at=started_at,
        networks=_networks(table(row, "NetworkSettings")),
    )


def status(value: Json) -> Status:
    """A container's status; podman's extra words are mapped to Docker's."""
    known = {"configured": "created", "initialized": "created", "stopped": "exited"}
    word = known.get(value, value) if isinstance(value, str) else ""
    if word == "stopping":
        word = "running"
    if word not in STATUSES:
        raise ProtocolError(f"Docker sent an unknown container status {value!r}")
    return cast("Status", word)  # checked above


def _networks(
    settings: Mapping[str, Json], member: str = "IPAddress", limit: int = 64
) -> Mapping[str, str]:
    found = table(settings, "Networks")
    return {name: text(mapping(row, name), member, limit) for name, row in found.items()}


def volume_info(data: Json) -> VolumeInfo:
    top = mapping(data, "a volume")
    return VolumeInfo(
        name=text(top, "Name", 512),
        driver=text(top, "Driver", 200),
        labels=labels(top),
        mountpoint=text(top, "Mountpoint"),
        created_at=text(top, "CreatedAt", 64),
        options={key: str(value) for key, value in table(top, "Options").items()},
    )


def event(data: Json) -> Event:
    top = mapping(data, "an event")
    actor = table(top, "Actor")
    return Event(
        type=text(top, "Type", 50),
        action=text(top, "Action", 4_096),
        id=text(actor, "ID", 512),
        attributes=labels(actor, "Attributes"),
        time_ns=number(top, "timeNano"),
    )

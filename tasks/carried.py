"""Bind mounts of this machine, for a pod on another one: copied once, into a volume of the pod.

No operation of its own: `container` and `replace` use it. A folder becomes a volume that outlives
the container, and has an empty one beside it as soon as it is whole; a file is put into each new
container. What is no folder or file here, as the engine's socket, or belongs to this machine's
kernel, means the other machine's.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rumpel import names, text
from rumpel.adapters import ssh_name, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.tar_stream import Entry, chunks
from rumpel.engine.operation import Context
from rumpel.errors import Conflict, NotFound, RumpelError
from rumpel.model import ContainerSpec
from rumpel.tasks.mountpoint import SYSTEM
from rumpel.tasks.world import PodAddress, World

log = logging.getLogger(__name__)

KIND = "carrier"
"""Of the container that volumes are filled by; it is gone when they are."""
WHOLE = "-whole"
MAX_BYTES, MAX_FILES = 2 << 30, 100_000
MAX_TEXT_BYTES = 1 << 20
OWN_TIMEOUT_S = 30.0
OWN = """
user=$1; shift
chown -h "$(id -u "$user" 2>/dev/null || echo "$user")" "$@"
"""
OF_THE_KERNEL = ("/proc", "/sys", "/dev")
"""What is in there is of no machine but its own, and has other sizes than it says."""


@dataclass(frozen=True, slots=True)
class Carried:
    source: Path
    target: str
    volume: str
    """Empty for a file."""
    is_read_only: bool = False


def is_carried(host: str, source: str) -> bool:
    """Whether `source` of this machine is what a pod on `host` gets. Blocking."""
    path = Path(source)
    if not ssh_name.is_ssh(host) or not path.is_absolute():
        return False
    real = Path(os.path.realpath(path))
    is_kernels = any(real.is_relative_to(place) for place in OF_THE_KERNEL)
    return not is_kernels and (path.is_dir() or path.is_file())


async def found(spec: ContainerSpec, pod_id: str, host: str) -> list[Carried]:
    """What a pod on `host` gets of this machine; nothing where that is this machine."""
    return await threads.call(_found, spec, pod_id, host) if ssh_name.is_ssh(host) else []


def _found(spec: ContainerSpec, pod_id: str, host: str) -> list[Carried]:
    """Blocking."""
    return [
        Carried(Path(source), target, _volume(pod_id, target) if is_dir else "", is_read_only)
        for source, target, is_read_only in _binds(spec)
        for is_dir in [Path(source).is_dir()]
        if is_carried(host, source)
    ]


def instead(body: dict[str, Any], found: list[Carried]) -> None:
    """Put their volumes in the place of the bind mounts; what is read-only there is so here."""
    config, targets = body["HostConfig"], {one.target for one in found}
    if binds := config.get("Binds"):
        config["Binds"] = [bind for bind in binds if _parts(bind)[1] not in targets]
    config["Mounts"] = [
        mount
        for mount in config["Mounts"]
        if mount.get("Type") != "bind" or _clean(mount["Target"]) not in targets
    ]
    config["Mounts"] += [
        _mount(one) | {"ReadOnly": one.is_read_only} for one in found if one.volume
    ]


def volumes(found: list[Carried]) -> list[str]:
    return [one.volume for one in found if one.volume]


def _mount(one: Carried) -> dict[str, Any]:
    """What the image has there is hidden, as by a bind mount."""
    options = {"NoCopy": True}
    return {
        "Type": "volume",
        "Source": one.volume,
        "Target": one.target,
        "VolumeOptions": options,
    }


async def fill(
    ctx: Context[World], pod: PodAddress, image: str, user: str, found: list[Carried]
) -> None:
    """The volumes that are not whole yet, by a container that is never started.

    Raises Conflict for what is too large, RumpelError for what cannot be read.
    """
    if not found:
        return
    host, labels = ctx.world.host(pod.host), _labels(ctx, pod)
    for state in await host.containers(ctx.world.label_filter(KIND, pod_id=pod.pod_id)):
        await host.remove(state.id, force=True, volumes=True)
    due = [one for one in found if one.volume and await host.volume(one.volume + WHOLE) is None]
    if not due:
        return
    body = {
        "Image": image,
        "Entrypoint": ["/bin/sh"],
        "Cmd": [],
        "Labels": labels(KIND),
        "HostConfig": {"NetworkMode": "none", "Mounts": [_mount(one) for one in due]},
    }
    carrier = await host.create_container(f"rumpel-{pod.pod_id}-{KIND}", body)
    try:
        for one in due:
            await _put(host, carrier, one, user)
            ctx.fault("carried")
            await host.create_volume(one.volume + WHOLE, labels("volume"))
    finally:
        await host.remove(carrier, force=True, volumes=True)


async def put_files(host: DockerHost, container_id: str, found: list[Carried], user: str) -> None:
    """Into a new container of the pod, before it is started."""
    for one in found:
        if not one.volume:
            await _put(host, container_id, one, user)


def _labels(ctx: Context[World], pod: PodAddress) -> Callable[[str], dict[str, str]]:
    own = {names.LABEL_POD: pod.pod, names.LABEL_POD_ID: pod.pod_id}
    return lambda kind: {**ctx.world.labels(kind, ctx.node_id, ctx.nonce), **own}


async def _put(host: DockerHost, container_id: str, one: Carried, user: str) -> None:
    uid, gid = await owner(host, container_id, user)
    entries = await threads.call(_entries, one, uid, gid)
    if not one.volume:
        await host.put_archive(container_id, "/", chunks(entries), overwrite=True)
        return
    # Docker leaves alone the folder that is asked for, and Podman finds no volume on the way.
    place = Entry(one.target.lstrip("/"), uid=uid, gid=gid)
    await host.put_archive(container_id, "/", chunks([place]), overwrite=True)
    await host.put_archive(container_id, one.target, chunks(entries), overwrite=True)


async def settle(host: DockerHost, container_id: str, found: list[Carried], user: str) -> None:
    """Podman again: a place itself is the user's only once it runs. What fails is logged."""
    places = [one.target for one in found if one.volume and not one.is_read_only]
    if not places or host.info.kind != "podman" or user in ("root", "0"):
        return
    argv = ["/bin/sh", "-c", OWN, "sh", user, *places]
    done = await host.exec_run(
        container_id, argv, user="0", env=SYSTEM, cwd="/", timeout_s=OWN_TIMEOUT_S
    )
    if done.code:
        log.warning("%s are not given to %s: %s", text.listing(places), user, done.stderr[-500:])


async def owner(host: DockerHost, container_id: str, user: str) -> tuple[int, int]:
    """Ids of a user of the image, whose container does not run; root's of one it does not know."""
    name, _, group = user.partition(":")
    uid, gid = (int(name) if name.isdecimal() else 0), 0
    for line in (await _text(host, container_id, "/etc/passwd")).splitlines():
        row = line.split(":")
        if len(row) > 3 and name in (row[0], row[2]) and row[2].isdecimal() and row[3].isdecimal():
            uid, gid = int(row[2]), int(row[3])
            break
    return uid, int(group) if group.isdecimal() else gid


async def _text(host: DockerHost, container_id: str, path: str) -> str:
    """Of a small file; empty where there is none."""
    data = b""
    try:
        async with host.get_archive(container_id, path) as pieces:
            async for piece in pieces:
                data += piece
                if len(data) > MAX_TEXT_BYTES:
                    break
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            file = tar.extractfile(tar.getmembers()[0])
            return "" if file is None else file.read().decode("utf-8", "replace")
    except (NotFound, tarfile.TarError, IndexError, KeyError, OSError):
        return ""


def _binds(spec: ContainerSpec) -> Iterator[tuple[str, str, bool]]:
    for bind in spec.host_config.get("Binds", ()):
        source, target = _parts(bind)
        if source.startswith("/") and target:
            options = bind.split(":")[2:]
            yield source, target, any("ro" in option.split(",") for option in options)
    for mount in (*spec.mounts, *spec.host_config.get("Mounts", ())):
        if mount.get("Type") == "bind":
            yield str(mount["Source"]), _clean(str(mount["Target"])), bool(mount.get("ReadOnly"))


def _parts(bind: str) -> tuple[str, str]:
    source, _, rest = bind.partition(":")
    return source, _clean(rest.partition(":")[0])


def _clean(target: str) -> str:
    return posixpath.normpath(target) if target else ""


def _volume(pod_id: str, target: str) -> str:
    digest = hashlib.blake2b(target.encode(), digest_size=4).hexdigest()
    return f"rumpel-{pod_id}-{digest}"


def _entries(one: Carried, uid: int, gid: int) -> list[Entry]:
    """Blocking."""
    made = functools.partial(Entry, uid=uid, gid=gid)
    if not one.volume:
        mode = one.source.stat().st_mode & (0o555 if one.is_read_only else 0o777)
        return [made(one.target.lstrip("/"), one.source, mode)]
    found, size = list[Entry](), 0
    try:
        for path, name, info in _walk(one.source):
            size += info.st_size if stat.S_ISREG(info.st_mode) else 0
            if size > MAX_BYTES or len(found) >= MAX_FILES:
                raise Conflict(
                    f"{one.source} is too large to be copied for a bind mount: more than "
                    f"{text.size(MAX_BYTES)} or {MAX_FILES:,} files",
                    hint="mount a smaller folder, or leave it out and use rumpel cp",
                )
            if stat.S_ISLNK(info.st_mode):
                found.append(made(name, link=str(path.readlink())))
            elif stat.S_ISDIR(info.st_mode):
                found.append(made(name))
            elif stat.S_ISREG(info.st_mode):
                found.append(made(name, path, info.st_mode & 0o777))
    except OSError as error:
        raise RumpelError(
            f"{error.filename or one.source} cannot be copied for the pod: {error.strerror}",
            hint="make it readable for you, or leave the mount out",
        ) from error
    return found


def _walk(source: Path) -> Iterator[tuple[Path, str, os.stat_result]]:
    """Links are not followed; sockets, pipes and devices are for the caller to leave out."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(source, onerror=fail):
        for entry in sorted((*folders, *files)):
            path = Path(folder, entry)
            yield path, path.relative_to(source).as_posix(), path.lstat()

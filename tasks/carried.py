"""Bind mounts of this machine, for a pod on another one: copied once, into a volume of the pod.

No operation of its own: `container` and `replace` use it. A folder becomes a volume that outlives
the container; a file is put into each new container. What is no folder or file here, as the
engine's socket, means the other machine's. A folder with a mark in it was not filled to the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rumpel import text
from rumpel.adapters import ssh_name, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.tar_stream import Entry, chunks
from rumpel.errors import CommandFailed, Conflict, NotFound, RumpelError
from rumpel.model import ContainerSpec
from rumpel.tasks.mountpoint import SYSTEM

MARK = ".rumpel-copying"
MAX_BYTES, MAX_FILES = 2 << 30, 100_000
OWN_TIMEOUT_S = 300.0
OWN = """
user=$1 mark=$2; shift 2
owner=$(id -u "$user" 2>/dev/null || echo "$user"):$(id -g "$user" 2>/dev/null || echo 0)
for place; do
    if [ -f "$place" ]; then chown -h "$owner" "$place" || exit
    elif [ -f "$place/$mark" ]; then
        chown -Rh "$owner" "$place" && rm -f "$place/$mark" || exit
    fi
done
"""


@dataclass(frozen=True, slots=True)
class Carried:
    source: Path
    target: str
    volume: str
    """Empty for a file."""


def is_carried(host: str, source: str) -> bool:
    """Whether `source` of this machine is what a pod on `host` gets. Blocking."""
    path = Path(source)
    return ssh_name.is_ssh(host) and path.is_absolute() and (path.is_dir() or path.is_file())


async def found(spec: ContainerSpec, pod_id: str, host: str) -> list[Carried]:
    """What a pod on `host` gets of this machine; nothing where that is this machine."""
    return await threads.call(_found, spec, pod_id, host) if ssh_name.is_ssh(host) else []


def _found(spec: ContainerSpec, pod_id: str, host: str) -> list[Carried]:
    """Blocking."""
    return [
        Carried(Path(source), target, _volume(pod_id, target) if Path(source).is_dir() else "")
        for source, target in _binds(spec)
        if is_carried(host, source)
    ]


def instead(body: dict[str, Any], found: list[Carried]) -> None:
    """Put their volumes in the place of the bind mounts. What was read-only there is not."""
    config, targets = body["HostConfig"], {one.target for one in found}
    if binds := config.get("Binds"):
        config["Binds"] = [bind for bind in binds if _parts(bind)[1] not in targets]
    config["Mounts"] = [
        mount
        for mount in config["Mounts"]
        if mount.get("Type") != "bind" or _clean(mount["Target"]) not in targets
    ]
    config["Mounts"] += [
        {"Type": "volume", "Source": one.volume, "Target": one.target}
        for one in found
        if one.volume
    ]


async def fill(host: DockerHost, container_id: str, found: list[Carried]) -> None:
    """Before the container is started. Raises Conflict for what is too large or cannot be read."""
    for one in found:
        if not one.volume or await _is_due(host, container_id, one.target):
            entries = await threads.call(_entries, one)
            await host.put_archive(container_id, "/", chunks(entries), overwrite=True)


async def settle(host: DockerHost, container_id: str, found: list[Carried], user: str) -> None:
    """Once it runs: all of it is the user's."""
    if not found:
        return
    argv = ["/bin/sh", "-c", OWN, "sh", user, MARK, *(one.target for one in found)]
    done = await host.exec_run(
        container_id, argv, user="0", env=SYSTEM, cwd="/", timeout_s=OWN_TIMEOUT_S
    )
    if done.code:
        said = text.safe(done.stderr.decode("utf-8", "replace")).strip()[-500:]
        raise CommandFailed(f"what was copied for the pod cannot be given to {user}: {said}")


async def _is_due(host: DockerHost, container_id: str, target: str) -> bool:
    with contextlib.suppress(NotFound):
        async with host.get_archive(container_id, posixpath.join(target, MARK)):
            return True
    head = b""
    async with host.get_archive(container_id, target) as pieces:
        async for piece in pieces:
            head += piece
            if len(head) > tarfile.BLOCKSIZE:
                break
    return not head[tarfile.BLOCKSIZE :].strip(b"\0")  # nothing follows the folder itself


def _binds(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    for bind in spec.host_config.get("Binds", ()):
        source, target = _parts(bind)
        if source.startswith("/") and target:
            yield source, target
    for mount in (*spec.mounts, *spec.host_config.get("Mounts", ())):
        if mount.get("Type") == "bind":
            yield str(mount["Source"]), _clean(str(mount["Target"]))


def _parts(bind: str) -> tuple[str, str]:
    source, _, rest = bind.partition(":")
    return source, _clean(rest.partition(":")[0])


def _clean(target: str) -> str:
    return posixpath.normpath(target) if target else ""


def _volume(pod_id: str, target: str) -> str:
    digest = hashlib.blake2b(target.encode(), digest_size=4).hexdigest()
    return f"rumpel-{pod_id}-{digest}"


def _entries(one: Carried) -> list[Entry]:
    """Blocking. The mark comes first, so that half of it is known for that."""
    top = one.target.lstrip("/")
    if not one.volume:
        return [Entry(top, one.source, one.source.stat().st_mode & 0o777)]
    found, size = [Entry(f"{top}/{MARK}", b"")], 0
    try:
        for path, name, info in _walk(one.source, top):
            size += info.st_size if stat.S_ISREG(info.st_mode) else 0
            if size > MAX_BYTES or len(found) >= MAX_FILES:
                raise Conflict(
                    f"{one.source} is too large to be copied for a bind mount: more than "
                    f"{text.size(MAX_BYTES)} or {MAX_FILES:,} files",
                    hint="mount a smaller folder, or leave it out and use rumpel cp",
                )
            if stat.S_ISLNK(info.st_mode):
                found.append(Entry(name, link=str(path.readlink())))
            elif stat.S_ISDIR(info.st_mode):
                found.append(Entry(name))
            elif stat.S_ISREG(info.st_mode):
                found.append(Entry(name, path, info.st_mode & 0o777))
    except OSError as error:
        raise RumpelError(
            f"{error.filename or one.source} cannot be copied for the pod: {error.strerror}",
            hint="make it readable for you, or leave the mount out",
        ) from error
    return found


def _walk(source: Path, top: str) -> Iterator[tuple[Path, str, os.stat_result]]:
    """Links are not followed; sockets, pipes and devices are for the caller to leave out."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(source, onerror=fail):
        for entry in sorted((*folders, *files)):
            path = Path(folder, entry)
            name = posixpath.join(top, path.relative_to(source).as_posix())
            yield path, name, path.lstat()

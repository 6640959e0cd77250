"""The volumes of a pod besides those of its configuration, and whose an empty one is.

No operation of its own: `container` uses it. The engine makes a mount point that the image lacks,
and gives it to root. What holds anything, or has an owner already, is left as it is.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rumpel import names
from rumpel.adapters.docker_api import DockerHost
from rumpel.errors import RumpelError
from rumpel.model import ContainerSpec
from rumpel.tasks.world import World

log = logging.getLogger(__name__)

AGENTS, AGENT_HOME = "agents", "agent-home"
"""Kinds of volumes, as their labels say."""
TIMEOUT_S = 30.0
SYSTEM = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": "", "LD_PRELOAD": ""}
"""Root runs this: an image's own PATH may begin with a folder that the pod's user can write."""
GIVE = """
user=$1; shift
owner=$(id -u "$user" 2>/dev/null || echo "$user"):$(id -g "$user" 2>/dev/null || echo 0)
for folder; do
    if [ -d "$folder" ] && [ "$(stat -c %u "$folder")" = 0 ] && [ -z "$(ls -A "$folder")" ]; then
        chown "$owner" "$folder" || exit
    fi
done
"""

REGAIN_TIMEOUT_S = 300.0
REGAIN = """
owner=$(id -u "$1" 2>/dev/null || echo "$1"):$(id -g "$1" 2>/dev/null || echo 0)
exec find "$2" -xdev -user 0 -exec chown -h "$owner" {} +
"""


def of_image(spec: ContainerSpec, pod_id: str, declared: Iterable[str]) -> dict[str, str]:
    """Folder -> volume of the pod, for the VOLUMEs of its image that nothing else is mounted at.

    Named, so that what lies in them outlives the container.
    """
    mounts = [*spec.mounts, *spec.host_config.get("Mounts", ())]
    taken = {str(mount.get("Target")) for mount in mounts}
    taken |= set(spec.host_config.get("Tmpfs", ()))
    binds = spec.host_config.get("Binds", ())
    taken |= {bind.split(":")[1] for bind in binds if ":" in bind}
    taken = {folder.rstrip("/") for folder in taken}
    found = {}
    for folder in sorted(declared):
        if folder.rstrip("/") not in taken:
            digest = hashlib.blake2b(folder.encode(), digest_size=4).hexdigest()
            found[folder] = f"rumpel-{pod_id}-{digest}"
    return found


def of_agents(world: World, pod: str, pod_id: str) -> list[dict[str, Any]]:
    """Agents' programs, and what they write. The engine makes the volumes with the container.

    No part of what makes a container stale: one made before there were agents goes on without.
    """
    ours = {names.LABEL_HOME: world.home_id, **world.extra_labels}
    own = {names.LABEL_POD: pod, names.LABEL_POD_ID: pod_id, names.LABEL_KIND: AGENT_HOME}
    programs = {
        "Source": names.agents_volume_name(world.home_id),
        "Target": names.AGENTS_PATH,
        "ReadOnly": True,
        "VolumeOptions": {"NoCopy": True, "Labels": {**ours, names.LABEL_KIND: AGENTS}},
    }
    home = {
        "Source": names.agent_home_volume_name(pod_id),
        "Target": names.AGENT_HOME_PATH,
        "VolumeOptions": {"NoCopy": True, "Labels": {**ours, **own}},
    }
    return [{"Type": "volume", **programs}, {"Type": "volume", **home}]


async def give(host: DockerHost, container_id: str, spec: ContainerSpec, user: str) -> None:
    """Costs an exec where there is a volume and the user is not root. What fails is logged."""
    folders = sorted(set(volumes(spec)))
    if folders:
        await give_folders(host, container_id, folders, user)


async def give_folders(
    host: DockerHost, container_id: str, folders: Iterable[str], user: str
) -> None:
    """The same for mount points that are known."""
    if user in ("root", "0"):
        return
    argv = ["/bin/sh", "-c", GIVE, "sh", user, *folders]
    try:
        done = await host.exec_run(
            container_id, argv, user="0", env=SYSTEM, cwd="/", timeout_s=TIMEOUT_S
        )
        problem = done.stderr.decode("utf-8", "replace").strip()[-500:] if done.code else None
    except RumpelError as error:
        problem = error.message
    if problem is not None:
        log.warning("volumes at %s are not given to %s: %s", ", ".join(folders), user, problem)


async def regain(host: DockerHost, container_id: str, folder: str, user: str) -> None:
    """Podman hands a workspace out as its container's main user's: it is the pod's user's again.

    In a container that was just started. Raises RumpelError.
    """
    if host.info.kind != "podman" or user in ("root", "0"):
        return
    argv = ["/bin/sh", "-c", REGAIN, "sh", user, folder]
    done = await host.exec_run(
        container_id, argv, user="0", env=SYSTEM, cwd="/", timeout_s=REGAIN_TIMEOUT_S
    )
    if done.code:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise RumpelError(f"the workspace cannot be given to {user}: {said}")


def volumes(spec: ContainerSpec) -> Iterator[str]:
    """Where those lie that can be written."""
    mounts: list[Mapping[str, Any]] = [*spec.mounts, *spec.host_config.get("Mounts", ())]
    for mount in mounts:
        if mount.get("Type") == "volume" and not mount.get("ReadOnly"):
            yield str(mount["Target"])
    for bind in spec.host_config.get("Binds", ()):
        source, _, rest = bind.partition(":")
        target, _, options = rest.partition(":")
        if target and not source.startswith("/") and "ro" not in options.split(","):
            yield target

"""An empty volume of a pod belongs to the pod's user.

No operation of its own: `container` uses it. The engine makes a mount point that the image lacks,
and gives it to root. What holds anything, or has an owner already, is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from rumpel.adapters.docker_api import DockerHost
from rumpel.errors import RumpelError
from rumpel.model import ContainerSpec

log = logging.getLogger(__name__)

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


async def give(host: DockerHost, container_id: str, spec: ContainerSpec, user: str) -> None:
    """Costs an exec where there is a volume and the user is not root. What fails is logged."""
    folders = sorted(set(volumes(spec)))
    if not folders or user in ("root", "0"):
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

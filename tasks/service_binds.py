"""What services beside a pod mount of this machine: only what was agreed to, and only here.

No operation of its own: `services` is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from rumpel.adapters import ssh_name
from rumpel.adapters.docker_types import VolumeInfo
from rumpel.devcontainer import bound
from rumpel.errors import Conflict
from rumpel.model import ServiceSpec
from rumpel.tasks.world import PodAddress


def refuse(pod: PodAddress, services: Iterable[ServiceSpec]) -> None:
    """Of a service beside the pod nothing is copied to another machine."""
    if not ssh_name.is_ssh(pod.host):
        return
    for one in services:
        for source in _bound(one):
            raise Conflict(
                f"service {one.name} mounts {source} of this machine, "
                f"and {pod.host} is another one",
                hint="put the file into the image of the service: build with a Dockerfile",
            )


def refuse_links(pod: PodAddress, services: Iterable[ServiceSpec]) -> None:
    """Blocking. What was agreed to is where the path led then: a link in it leads elsewhere."""
    for one in services:
        for source in _bound(one):
            if not ssh_name.is_ssh(pod.host) and os.path.realpath(source) != source:
                raise Conflict(
                    f"service {one.name} mounts {source}, which leads somewhere else by now",
                    hint=f"rumpel recreate {pod.pod}   asks again",
                )


def refuse_turned(pod: PodAddress, agreed: Mapping[str, Any], made: VolumeInfo) -> None:
    """Blocking. A volume that is a folder of this machine, which its driver mounts at each start.

    It is as it was made, whatever was `agreed` to since.
    """
    folder = bound.device({"Name": made.driver, "Options": made.options})
    if not folder or ssh_name.is_ssh(pod.host):
        return
    if (real := os.path.realpath(folder)) not in (folder, agreed["options"].get("device")):
        raise Conflict(
            f"a volume of the compose project mounts {folder}, which leads to {real} by now",
            hint=f"rumpel recreate {pod.pod}   asks again",
        )


def _bound(one: ServiceSpec) -> Iterable[str]:
    """Folders and files of this machine that it mounts."""
    for volume in one.body.get("volumes", ()):
        source = volume.get("source") if isinstance(volume, dict) else volume.partition(":")[0]
        is_bind = not isinstance(volume, dict) or volume.get("type") == "bind"
        if is_bind and str(source).startswith("/") and ":" in str(volume):
            yield str(source)

"""A container that stands in for the one of a pod that cannot start, so that it can be looked into.

It has the other's layer, as an image that exists only for this, and its volumes, and runs nothing
but a wait. The engine's archive API would not do: for it the engine mounts all that the container
asks for, and a mount that is gone is the usual reason why it does not start. No operation of its
own: who makes one dismisses it; of a daemon that was killed the next one sweeps it away.
Engine API: `POST /commit`, `POST /containers/create`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rumpel import names
from rumpel.adapters.docker_types import ContainerDetail
from rumpel.tasks.seed import GATEWAY_LOOP
from rumpel.tasks.world import Access, PodAddress, World

KIND = "stand-in"


async def make(world: World, pod: PodAddress, access: Access) -> Access:
    """How to reach the one that stands in. Raises RumpelError when there can be none."""
    host = world.host(pod.host)
    world.stand_ins.add(pod.pod_id)
    await _remove(world, pod.host, pod.pod_id)
    detail = await host.inspect(access.container_id)
    labels = world.labels(KIND, _node(pod.pod_id), secrets.token_hex(8))
    # The engine hands on those of the container, and nobody shall take this one for the pod's.
    labels |= {names.LABEL_POD_ID: "", names.LABEL_POD: ""}
    image = await host.commit(access.container_id, "", {"Labels": dict(labels)})
    made = await host.create_container(None, body(detail, image, labels))
    await host.start(made)
    return into(access, made)


def into(access: Access, stand_in: str | None) -> Access:
    """How to reach the container `stand_in`, if there is one."""
    return access if stand_in is None else replace(access, container_id=stand_in, as_main=False)


async def dismiss(world: World, pod: PodAddress) -> None:
    """It goes, if there is one."""
    if pod.pod_id in world.stand_ins:
        await world.links.close(pod.pod_id)
        await _remove(world, pod.host, pod.pod_id)
        world.stand_ins.discard(pod.pod_id)


async def sweep(world: World, host_name: str) -> None:
    """Those nobody uses."""
    host = world.host(host_name)
    for state in await host.containers(world.label_filter(KIND)):
        pod_id = state.labels.get(names.LABEL_NODE, "").removeprefix(_node(""))
        if pod_id not in world.stand_ins:
            await _remove(world, host_name, pod_id)


async def _remove(world: World, host_name: str, pod_id: str) -> None:
    host, labels = world.host(host_name), world.label_filter(KIND, node=_node(pod_id))
    for state in await host.containers(labels):
        await host.remove(state.id, force=True, volumes=True)
    for image in await host.images(labels):
        await host.remove_image(image, force=True)


def _node(pod_id: str) -> str:
    return f"{KIND}/{pod_id}"


def body(detail: ContainerDetail, image: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Volumes only: what comes from elsewhere may be what is missing, and is nobody's work."""
    mounts: Any = detail.host_config.get("Mounts") or ()
    binds: Any = detail.host_config.get("Binds") or ()
    return {
        "Image": image,
        "User": "0",
        "Entrypoint": ["/bin/sh", "-c", GATEWAY_LOOP],
        "Cmd": [],
        "Labels": dict(labels),
        "WorkingDir": "/",
        "HostConfig": {
            "NetworkMode": "none",
            "Init": True,
            "PidsLimit": 256,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            "Mounts": [mount for mount in mounts if mount.get("Type") == "volume"],
            "Binds": [bind for bind in binds if not bind.startswith("/")],
        },
    }

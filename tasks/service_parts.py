"""Networks and volumes of the services of a pod, and what those leave that are dropped.

No operation of its own: `services` is. Engine API: `POST /networks/create`, `/volumes/create`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rumpel import names
from rumpel.adapters.docker_types import ContainerState
from rumpel.engine.operation import Context
from rumpel.errors import Conflict, NotFound, RumpelError
from rumpel.sealing import is_sealed
from rumpel.tasks import beside
from rumpel.tasks.beside import LABEL_SERVICE, NETWORK
from rumpel.tasks.world import World

if TYPE_CHECKING:
    from rumpel.tasks.services import Inputs

POOLS = "delete pods, or give Docker more networks: default-address-pools in its daemon.json"


def labels(ctx: Context[World], inputs: Inputs, kind: str) -> dict[str, str]:
    """The same with every attempt: compose makes a container anew when its labels change."""
    pod = inputs.address
    nonce = hashlib.blake2b(f"{pod.pod_id} {kind}".encode(), digest_size=16).hexdigest()
    return {
        **ctx.world.labels(kind, ctx.node_id, nonce),
        names.LABEL_POD: pod.pod,
        names.LABEL_POD_ID: pod.pod_id,
    }


async def networks(ctx: Context[World], inputs: Inputs) -> list[str]:
    """Names of those that were made now."""
    host, pod = ctx.world.host(inputs.address.host), inputs.address
    wanted = [one for one in inputs.project.networks.values() if not one["external"]]
    if not wanted:
        return []
    there = await host.networks(ctx.world.label_filter(NETWORK, pod_id=pod.pod_id))
    known, made = {one.name for one in there}, list[str]()
    for one in wanted:
        if one["name"] not in known:
            try:
                await host.create_network(
                    one["name"], labels(ctx, inputs, NETWORK), one["settings"]
                )
            except RumpelError as error:
                if "address pools" in error.message:
                    error.hint = POOLS
                raise
            made.append(one["name"])
            ctx.fault("network")
    return made


async def volumes(ctx: Context[World], inputs: Inputs) -> None:
    host = ctx.world.host(inputs.address.host)
    for one in inputs.project.volumes.values():
        if one["external"]:
            if await host.volume(one["name"]) is None:
                name = one["name"]
                raise NotFound(f"there is no volume {name}", hint=f"docker volume create {name}")
            continue
        if is_sealed(one) and await host.volume(one["name"]) is None:
            raise lost(inputs)
        own = labels(ctx, inputs, "volume")
        await host.create_volume(one["name"], own, driver=one["driver"], options=one["options"])


async def join(
    ctx: Context[World], inputs: Inputs, found: Iterable[ContainerState], fresh: list[str]
) -> None:
    """A network went (`docker network prune`), and its containers only know the old one."""
    world, project, pod = ctx.world, inputs.project, inputs.address
    bodies = {one.name: one.body for one in project.services}
    own = await world.host(pod.host).containers(world.label_filter(names.POD, pod_id=pod.pod_id))
    for key, network in project.networks.items():
        if network["name"] not in fresh:
            continue
        for state in found:
            service = state.labels.get(LABEL_SERVICE, "")
            given = (bodies.get(service, {}).get("networks") or {}).get(key)
            if given is not None:
                await beside.rejoin(
                    world, pod, state, network, [service, *given.get("aliases", ())]
                )
        for state in own if network["pod"] else ():
            await beside.rejoin(world, pod, state, network, network["pod"])


def lost(inputs: Inputs, what: str = "its private values are") -> Conflict:
    pod = inputs.address.pod
    return Conflict(
        f"a service of pod {pod!r} has to be made again, and {what} not kept",
        hint=f"rumpel create {pod}   makes it from the configuration",
    )


async def drop(
    ctx: Context[World], inputs: Inputs, found: Iterable[ContainerState], *, by_compose: bool
) -> None:
    """Containers of services that the project has no more go; what they kept stays with the pod.

    The pod is not replaced yet, and a service may only have another name. An anonymous volume is
    found by no label, so one of ours is made that says its name. `by_compose`: that removes them.
    """
    host, pod = ctx.world.host(inputs.address.host), inputs.address
    known = {one.name for one in inputs.project.services}
    for state in found:
        service = state.labels.get(LABEL_SERVICE, "")
        if service in known:
            continue
        for mount in (await host.inspect(state.id)).mounts:
            volume = str(mount.get("Name", ""))
            if mount.get("Type") == "volume" and beside.ANONYMOUS.fullmatch(volume):
                own = {**labels(ctx, inputs, "volume"), beside.LABEL_LEFT: volume}
                await host.create_volume(f"rumpel-{pod.pod}-{pod.pod_id[:12]}-{volume[:12]}", own)
                ctx.log(f"service {service} goes: {mount.get('Destination')} stays in {volume}")
        if not by_compose:
            await host.remove(state.id, force=True, volumes=False)

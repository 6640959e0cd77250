"""Networks and volumes of the services of a pod, and what those leave that are dropped.

No operation of its own: `services` is. Engine API: `POST /networks/create`, `/volumes/create`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from rumpel import names
from rumpel.adapters import threads
from rumpel.adapters.docker_types import ContainerState
from rumpel.engine.operation import Context
from rumpel.errors import Conflict, HostUnreachable, NotFound, RumpelError
from rumpel.sealing import is_sealed
from rumpel.tasks import beside, service_binds, service_digest
from rumpel.tasks.beside import LABEL_SERVICE, NETWORK
from rumpel.tasks.container import LABEL_SPEC
from rumpel.tasks.world import PodAddress, World

if TYPE_CHECKING:
    from rumpel.adapters.docker_networks import NetworkInfo
    from rumpel.model import ProjectSpec
    from rumpel.tasks.services import Inputs

log = logging.getLogger(__name__)

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


async def networks(
    ctx: Context[World], inputs: Inputs, found: Iterable[ContainerState]
) -> tuple[list[str], list[str]]:
    """Names of those that were made now; keys of those that stay though others are wanted.

    `found`: containers of its services.
    """
    host, pod = ctx.world.host(inputs.address.host), inputs.address
    wanted = {key: one for key, one in inputs.project.networks.items() if not one["external"]}
    if not wanted:
        return [], []
    listed = await host.networks(ctx.world.label_filter(NETWORK, pod_id=pod.pod_id))
    there, made, others = {one.name: one for one in listed}, list[str](), list[str]()
    for key, one in wanted.items():
        old, name = there.get(one["name"]), one["name"]
        made_as = _digest(inputs.project.sealed_parts["networks"][key]["settings"])
        if old is not None and _fits(old.labels, made_as):
            continue
        if old is not None and inputs.as_is:
            others.append(key)
            continue
        if is_sealed(one["settings"]):
            raise lost(inputs)
        if old is not None:
            await _clear(ctx, inputs, old, key, found)
        own = {**labels(ctx, inputs, NETWORK), LABEL_SPEC: made_as}
        try:
            await host.create_network(name, own, one["settings"])
        except RumpelError as error:
            if "address pools" in error.message:
                error.hint = POOLS
            raise
        made.append(name)
        ctx.fault("network")
    return made, others


def _digest(settings: object) -> str:
    """On a network or volume: made with these."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _fits(found: Mapping[str, str], made_as: str) -> bool:
    """One that an older version made has no such label."""
    return found.get(LABEL_SPEC, made_as) == made_as


async def _clear(
    ctx: Context[World],
    inputs: Inputs,
    network: NetworkInfo,
    key: str,
    found: Iterable[ContainerState],
) -> None:
    """It goes, to be made with other settings. Those of the pod that run in it leave it first."""
    world, pod = ctx.world, inputs.address
    host = world.host(pod.host)
    own = await host.containers(world.label_filter(names.POD, pod_id=pod.pod_id))
    ran = [one for one in (*found, *own) if one.status != "created"]
    if ran and not inputs.may_replace:
        raise Conflict(
            f"network {key} of pod {pod.pod!r} changed since it was made; it was kept",
            hint=f"rumpel recreate {pod.pod}   makes a new one",
        )
    ctx.log(f"network {key} is made anew")
    for one in ran:
        if network.name in one.networks and one.status not in ("exited", "dead"):
            await host.disconnect(one.id, network.name)
    ctx.fault("network-left")
    await host.remove_network(network.id)


async def volumes(ctx: Context[World], inputs: Inputs) -> list[str]:
    """Keys of those that stay, with their data, though they have other settings."""
    host, pod = ctx.world.host(inputs.address.host), inputs.address
    there = {one.name: one for one in await host.volumes(f"{names.LABEL_POD_ID}={pod.pod_id}")}
    others = []
    for key, one in inputs.project.volumes.items():
        name = one["name"]
        if one["external"]:
            if await host.volume(name) is None:
                raise NotFound(f"there is no volume {name}", hint=f"docker volume create {name}")
            continue
        sealed = inputs.project.sealed_parts["volumes"][key]
        made_as = _digest([sealed["driver"], sealed["options"]])
        if name in there:
            await threads.call(service_binds.refuse_turned, pod, one, there[name])
            if not _fits(there[name].labels, made_as):
                others.append(key)
            continue
        if is_sealed(one) and await host.volume(name) is None:
            raise lost(inputs)
        own = {**labels(ctx, inputs, "volume"), LABEL_SPEC: made_as}
        more = {"driver": one["driver"], "options": one["options"]}
        made = await host.create_volume(name, own, **more)
        # One of that name that was there after all is as it was made.
        await threads.call(service_binds.refuse_turned, pod, one, made)
    return others


async def join(
    ctx: Context[World], inputs: Inputs, found: Iterable[ContainerState], made: Collection[str]
) -> None:
    """Containers that only know a network that went: it was pruned, or is another one now.

    Also what a run that was interrupted had no time for. `made`: names of what was made now.
    """
    world, project, pod = ctx.world, inputs.project, inputs.address
    host, bodies = world.host(pod.host), {one.name: one.body for one in project.services}
    own = await host.containers(world.label_filter(names.POD, pod_id=pod.pod_id))
    ids = {
        one.name: one.id
        for one in await host.networks(world.label_filter(NETWORK, pod_id=pod.pod_id))
    }
    others = service_digest.changed(inputs.made_of, list(found))
    for state in (*found, *own):
        known = (await host.inspect(state.id)).network_ids
        for key, network in project.networks.items():
            name, service = network["name"], state.labels.get(LABEL_SERVICE, "")
            given = (bodies.get(service, {}).get("networks") or {}).get(key)
            aliases = list(network.get("pod", ()))
            if service:
                aliases = [] if given is None else [service, *given.get("aliases", ())]
            is_other = name in known and _is_other(known[name], ids.get(name, ""))
            has_left = name not in known and bool(service) and service not in others
            if aliases and name in ids and (name in made or is_other or has_left):
                if name in known:
                    await host.disconnect(state.id, name)
                await host.connect(state.id, name, {"Aliases": aliases})
                await world.looked(pod.host, state.id)


def _is_other(known: str, now: str) -> bool:
    """Podman tells names in the place of ids, and of what never ran nothing is told."""
    return known != now and all(beside.ANONYMOUS.fullmatch(one) for one in (known, now))


async def tidy(world: World, pod: PodAddress, project: ProjectSpec) -> None:
    """Networks that the project has no more go once no container of the pod is in them."""
    host = world.host(pod.host)
    wanted = {one["name"] for one in project.networks.values()}
    there = await host.networks(world.label_filter(NETWORK, pod_id=pod.pod_id))
    left = [one for one in there if one.name not in wanted]
    if not left:
        return
    own = await host.containers(world.label_filter(names.POD, pod_id=pod.pod_id))
    used = {name for one in (*own, *await beside.containers(world, pod)) for name in one.networks}
    for network in left:
        if network.name not in used:
            try:
                await host.remove_network(network.id)
            except HostUnreachable:
                raise
            except RumpelError as error:  # somebody else is in it
                log.warning("network %s stays: %s", network.name, error.message)


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
